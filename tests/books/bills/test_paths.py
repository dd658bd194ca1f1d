"""Paths into the JSON that a cell may hold."""

from __future__ import annotations

import pytest

from inferworks.books.bills.paths import roots_of, text_at, texts_at

CELLS = {
    "project": '{"id": "p-1", "labels": [{"key": "team", "value": "a"}, {"key": "x", "value": null}]}',
    "credits": '[{"amount": -1.5}, {"amount": -0.25, "name": "promo"}, "odd"]',
    "a.b": "dotted",
    "nested": '{"inner": "{\\"deep\\": 7}", "flag": true}',
    "empty": "null",
    "broken": "{",
    "plain": "  text ",
}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("plain", "text"),
        ("a.b", "dotted"),
        ("project.id", "p-1"),
        ("project.labels[].value", "a"),
        ("credits[].amount", "-1.5"),
        ("nested.inner.deep", "7"),
        ("nested.flag", ""),
        ("project.nothing", ""),
        ("project.labels", ""),
        ("empty", ""),
        ("empty.id", ""),
        ("nowhere", ""),
        ("nowhere.id", ""),
    ],
)
def test_the_first_text_at_a_path(path: str, text: str) -> None:
    """Numbers as they are written; objects, truth values and what is missing say nothing."""
    assert text_at(CELLS, path) == text


def test_all_texts_through_an_array() -> None:
    """Every item that has the name, in order; what is no object is passed over."""
    assert texts_at(CELLS, "credits[].amount") == ["-1.5", "-0.25"]
    assert texts_at(CELLS, "project.labels[].key") == ["team", "x"]
    assert texts_at(CELLS, "plain") == ["text"]
    assert texts_at(CELLS, "empty") == texts_at(CELLS, "nowhere[].x") == []


def test_a_cell_that_is_no_json_is_named() -> None:
    """The message quotes the cell and says what to do."""
    with pytest.raises(ValueError, match=r"'\{' is no JSON; export the column as JSON"):
        text_at(CELLS, "broken.id")


def test_json_that_is_nested_beyond_reason_is_no_json() -> None:
    """A hostile depth is refused and does not end the program."""
    with pytest.raises(ValueError, match="is no JSON"):
        text_at({"deep": "[" * 100_000}, "deep[].x")


def test_the_columns_that_a_path_may_lead_into() -> None:
    """The path itself first, then ever shorter beginnings of it."""
    assert list(roots_of("a.b[].c")) == ["a.b[].c", "a.b.[]", "a.b", "a"]
