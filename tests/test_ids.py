"""Ids: unique, telling their kind, and sorting by when they were made."""

from __future__ import annotations

import re
import time

from inferworks.ids import new_call_id, new_id


def test_form():
    """An id is its prefix, the milliseconds it was made at and 64 random bits, in hex."""
    made = time.time_ns() // 1_000_000
    match = re.fullmatch(r"key_([0-9a-f]{12})[0-9a-f]{16}", new_id("key"))
    assert match
    assert 0 <= int(match[1], 16) - made < 60_000


def test_unique():
    """Ids made in the same millisecond differ."""
    assert len({new_id("x") for _ in range(10_000)}) == 10_000


def test_later_ids_sort_later(monkeypatch):
    """Ids of different milliseconds sort as they were made."""
    made = []
    for milliseconds in (1, 255, 256, 1_700_000_000_000, 1_700_000_000_001):
        monkeypatch.setattr(time, "time_ns", lambda ms=milliseconds: ms * 1_000_000)
        made.append(new_id("x"))
    assert made == sorted(made)


def test_an_id_says_when_what_it_names_began():
    """A call's id and its record agree, whatever the wall clock says meanwhile."""
    assert new_call_id(1_800_000_000_123_999_999).startswith(f"call_{1_800_000_000_123:012x}")
    assert new_id("x", -5).startswith("x_000000000000")


def test_call_id():
    """A call's id says that it is one."""
    assert new_call_id().startswith("call_")
