"""OpenAI's list of models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from inferworks.api.wire.base import ModelList


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "inferworks"}


def _one(name: str) -> bytes:
    return msgspec.json.encode(_model(name))


def _several(names: Sequence[str], _query: str) -> bytes:
    return msgspec.json.encode({"object": "list", "data": [_model(name) for name in names]})


OPENAI_MODELS = ModelList(_one, _several)
