"""Paths into the JSON that a cell may hold: `project.id`, `credits[].amount`. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from inferworks.books.bills.spelling import NOTHING

Cells = Mapping[str, str]


def roots_of(path: str) -> Iterator[str]:
    """The columns that a path may lead into."""
    yield path
    steps = re.findall(r"\[\]|[^.\[\]]+", path)
    for count in range(len(steps) - 1, 0, -1):
        yield ".".join(steps[:count])


def text_at(cells: Cells, path: str) -> str:
    """The text of a cell, or of what is at a path within the JSON in it."""
    text = cells.get(path)
    if text is None and ("." in path or "[]" in path):
        return next(iter(texts_at(cells, path)), "")
    text = (text or "").strip()
    return "" if text in NOTHING else text


def texts_at(cells: Cells, path: str) -> list[str]:
    """The texts at a path into JSON: all of them, where it goes through arrays."""
    if path in cells:
        text = cells[path].strip()
        return [] if text in NOTHING else [text]
    steps = re.findall(r"\[\]|[^.\[\]]+", path)
    counts = range(len(steps) - 1, 0, -1)
    count = next((count for count in counts if ".".join(steps[:count]) in cells), 0)
    text = cells[".".join(steps[:count])] if count else ""
    if text.strip() in NOTHING:
        return []
    found = [_json_in(text)]
    for step in steps[count:]:
        found = [
            _json_in(one) if isinstance(one, str) and one[:1] in "{[" else one for one in found
        ]
        if step == "[]":
            found = [item for one in found if isinstance(one, list) for item in one]
        else:
            found = [one[step] for one in found if isinstance(one, dict) and step in one]
    plain = [one for one in found if one is not None and not isinstance(one, dict | list | bool)]
    return [str(one) for one in plain]


@lru_cache(maxsize=2048)
def _json_in(text: str) -> Any:
    """The JSON in a cell, kept for the other columns of its batch that are made of it."""
    try:
        return json.loads(text, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        raise ValueError(f"{text[:40]!r} is no JSON; export the column as JSON") from None
