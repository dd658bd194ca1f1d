"""OpenAI's list of models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec


def model_body(model: str) -> dict[str, Any]:
    """One model as `GET /v1/models` shows it."""
    return {"id": model, "object": "model", "created": 0, "owned_by": "inferworks"}


def models_body(models: Iterable[str]) -> bytes:
    """The body of `GET /v1/models`."""
    return msgspec.json.encode({"object": "list", "data": [model_body(m) for m in models]})
