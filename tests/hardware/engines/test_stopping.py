"""Stop sequences in a text that comes in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.hardware.engines.stopping import StopScanner

LETTERS = st.text("ab", max_size=12)


def read(stops: tuple[str, ...], pieces: list[str]) -> tuple[str, bool]:
    """Everything let through, and whether a stop was met."""
    scanner, out = StopScanner(stops), ""
    for piece in pieces:
        text, stopped = scanner.feed(piece)
        out += text
        if stopped:
            return out, True
    return out + scanner.rest(), False


@pytest.mark.parametrize(
    ("stops", "pieces", "expected"),
    [
        ((), ["ab", "c"], ("abc", False)),
        (("",), ["ab"], ("ab", False)),
        (("END",), ["to the E", "N", "D of it"], ("to the ", True)),
        (("END",), ["the EN", "Try"], ("the ENTry", False)),
        (("END",), ["the EN"], ("the EN", False)),
        (("aab",), ["aa", "ab"], ("a", True)),
        (("xyz", "y"), ["x", "y"], ("x", True)),
        (("\n\n",), ["one\n", "two\n", "\nthree"], ("one\ntwo", True)),
    ],
)
def test_table(stops: tuple[str, ...], pieces: list[str], expected: tuple[str, bool]) -> None:
    """A stop sequence is found across pieces and never let through, not even in part."""
    assert read(stops, pieces) == expected


@given(
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=3).map(tuple),
    st.lists(LETTERS, max_size=6),
)
def test_letter_by_letter(stops: tuple[str, ...], pieces: list[str]) -> None:
    """Letter by letter, the text ends where the first complete stop sequence begins."""
    text = "".join(pieces)
    out, stopped = read(stops, list(text))
    ends = [(text.find(s) + len(s), text.find(s)) for s in stops if s in text]
    if not ends:
        assert (out, stopped) == (text, False)
    else:
        first_end = min(ends)[0]
        begin = min(at for end, at in ends if end == first_end)
        assert (out, stopped) == (text[:begin], True)
