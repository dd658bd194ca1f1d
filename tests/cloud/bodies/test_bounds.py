"""Bounds on the number of values in a JSON text."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.cloud.bodies.aside import LARGE_BYTES
from inferworks.cloud.bodies.bounds import Bounds, check_answer, excess
from inferworks.errors import UnreadableError

JSON = st.recursive(
    st.none() | st.integers(0, 9) | st.text('a,[{"\\', max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("k,{", max_size=2), inner, max_size=4)
    ),
    max_leaves=20,
)


def commas_and_containers(value: Any) -> tuple[int, int]:
    """The commas between members, and the lists and objects, of a value."""
    inner = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(inner, list):
        return 0, 0
    below = [commas_and_containers(one) for one in inner]
    commas = max(0, len(inner) - 1) + sum(one[0] for one in below)
    return commas, 1 + sum(one[1] for one in below)


@settings(max_examples=15)
@given(JSON)
def test_what_is_in_strings_does_not_count(value: Any) -> None:
    """Exactly as many values and containers may be there as there are."""
    data = msgspec.json.encode(value)
    commas, containers = commas_and_containers(value)
    assert excess(data, Bounds(commas, containers)) is None
    if commas:
        assert "values" in str(excess(data, Bounds(commas - 1, containers)))
    if containers:
        assert "lists and objects" in str(excess(data, Bounds(commas, containers - 1)))


def test_a_string_that_never_ends_holds_what_follows() -> None:
    """A text that is cut off within a string has no values after it."""
    assert excess(b'["' + b",[" * 100, Bounds(1, 1)) is None
    assert excess(b'["\\"' + b",[" * 100, Bounds(1, 1)) is None


def test_a_long_string_is_passed_over_in_steps() -> None:
    """Megabytes of commas and escapes in one string are one value."""
    text = b'["' + b'\\",' * 1_000_000 + b'"]'
    assert excess(text, Bounds(0, 1)) is None
    assert excess(text[:-1] + b",1,2]", Bounds(1, 1)) == "more than 1 values"


def test_only_large_answers_are_counted() -> None:
    """A small answer costs nothing; a large one with too much in it is refused before it is decoded."""
    crowded = b"[" + b"1," * LARGE_BYTES + b"1]"
    check_answer(crowded[:LARGE_BYTES], Bounds(1, 1))
    with pytest.raises(UnreadableError, match="more than 1,000 values"):
        check_answer(crowded, Bounds(1000, 10))
    check_answer(crowded)
