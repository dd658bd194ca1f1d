"""Display of text from outside: one line, all of it to be seen, and JSON that means the same."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.visible import quoted, visible, visible_json

HARMFUL = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Categories of what moves the cursor, has no width, turns the direction, or breaks a line."""
texts = st.text(st.characters(exclude_categories=()))
encoded = st.text(st.characters(codec="utf-8"))
odd = st.text(st.characters(categories=("Cc", "Cf", "Cs", "Zl", "Zp")) | st.sampled_from("a[\\日"))


@given(texts | odd)
def test_everything_can_be_seen(text: str) -> None:
    """Nothing harmful is left, whatever there was."""
    assert not {unicodedata.category(character) for character in visible(text)} & HARMFUL


@given(st.text(st.characters(exclude_categories=tuple(HARMFUL), exclude_characters="\\")))
def test_what_can_be_read_stays(text: str) -> None:
    """Readable text stays, in whatever writing."""
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;pwned\x07\x1b[31mRED", r"\x1b]0;pwned\x07\x1b[31mRED"),
        ("\x9b2J", r"\x9b2J"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("pay\u202eeel", r"pay\u202eeel"),
        ("ac\u200bme\ufeff", r"ac\u200bme\ufeff"),
        ("x\U000e0041", r"x\U000e0041"),
        ("\udcff", r"\udcff"),
        ("a\u2028b", r"a\u2028b"),
        ("日本\u3000語 é", "日本\u3000語 é"),
    ],
)
def test_escapes_are_those_of_python(text: str, shown: str) -> None:
    """A reader of an escape can look it up."""
    assert visible(text) == shown


@given(st.dictionaries(encoded, encoded, max_size=3))
def test_json_means_the_same(value: dict[str, str]) -> None:
    """Laid out in lines, with nothing in it that cannot be seen."""
    shown = visible_json(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(shown) == value
    assert (
        not {unicodedata.category(character) for character in shown if character != "\n"} & HARMFUL
    )


def test_what_is_quoted_is_short() -> None:
    """A value is written as Python has it, and cut where it is long."""
    assert quoted("a\n") == r"'a\n'"
    assert quoted(None) == "None"
    assert quoted("x" * 78) == f"'{'x' * 78}'"
    assert quoted("x" * 100_000) == f"'{'x' * 79}..."
    assert quoted(list(range(1000))).endswith("...")
