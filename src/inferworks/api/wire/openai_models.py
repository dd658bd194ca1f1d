"""OpenAI's list of models."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from inferworks.dialects.openai_models import Model, Models


def openai_model(name: str) -> bytes:
    """Encode one model."""
    return msgspec.json.encode(Model(name))


def openai_models(names: Sequence[str], _query: str) -> bytes:
    """Encode all models."""
    return msgspec.json.encode(Models("list", [Model(name) for name in names]))
