"""Anthropic's list of models.

Everything is on one page, unless a `limit` is asked for. When a model came out is not known here.

Source: https://platform.claude.com/docs/en/api/models-list
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from inferworks.errors import CallError

_MOST_ON_PAGE: Final = 1000
_MOST_FIELDS: Final = 16
_UNKNOWN: Final = "1970-01-01T00:00:00Z"
"""Release date that Anthropic gives a model whose release is not known."""


def _fields(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": _UNKNOWN}


def anthropic_model(name: str) -> bytes:
    """Encode one model."""
    return msgspec.json.encode(_fields(name))


def anthropic_models(names: Sequence[str], query: str) -> bytes:
    """Encode the models on the page that `query` asks for. CallError 400 for a bad query."""
    try:
        asked = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError as error:
        raise CallError(400, "The query has too many fields.") from error
    limit = asked.get("limit", str(_MOST_ON_PAGE))
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:9]) <= _MOST_ON_PAGE:
        raise CallError(400, f"limit: it must be a whole number from 1 to {_MOST_ON_PAGE}.")
    most = int(limit)
    if "before_id" in asked:
        left = names[: _place(names, asked["before_id"])]
        on_page = left[-most:]
    else:
        left = names[_place(names, asked["after_id"]) + 1 :] if "after_id" in asked else names
        on_page = left[:most]
    page = {
        "data": [_fields(name) for name in on_page],
        "has_more": len(left) > most,
        "first_id": on_page[0] if on_page else None,
        "last_id": on_page[-1] if on_page else None,
    }
    return msgspec.json.encode(page)


def _place(names: Sequence[str], name: str) -> int:
    if name not in names:
        raise CallError(400, f"There is no model {name[:256]!r} to list others from.")
    return names.index(name)
