"""OpenAI's list of models."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from inferworks.api.wire.base import ModelList
from inferworks.dialects.openai_models import Model, Models


def _one(name: str) -> bytes:
    return msgspec.json.encode(Model(name))


def _several(names: Sequence[str], _query: str) -> bytes:
    return msgspec.json.encode(Models("list", [Model(name) for name in names]))


OPENAI_MODELS = ModelList(_one, _several)
