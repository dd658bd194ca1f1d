"""Anthropic's list of models.

Everything is on one page, whatever was asked for. When a model came out is not known here.

Source: https://platform.claude.com/docs/en/api/models-list
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from inferworks.api.wire.base import ModelList

_UNKNOWN: Final = "1970-01-01T00:00:00Z"
"""What Anthropic says of a model whose day of release is not known."""


def _model(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": _UNKNOWN}


def _one(name: str) -> bytes:
    return msgspec.json.encode(_model(name))


def _several(names: Sequence[str]) -> bytes:
    page = {
        "data": [_model(name) for name in names],
        "has_more": False,
        "first_id": names[0] if names else None,
        "last_id": names[-1] if names else None,
    }
    return msgspec.json.encode(page)


ANTHROPIC_MODELS = ModelList(_one, _several)
