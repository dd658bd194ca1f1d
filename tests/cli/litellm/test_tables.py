"""Tables of a LiteLLM file: each setting is taken once, and what is not taken is told."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from inferworks.cli.litellm.tables import Notes, Table


def table(**settings: Any) -> tuple[Table, Notes]:
    """A table called `t` with these settings, and the notes that it makes."""
    notes = Notes()
    return Table("t", {"t": settings}, notes), notes


def test_a_setting_is_taken_once() -> None:
    """The first take has the value, a second one nothing; the others are left, in order."""
    taken, notes = table(a=1, b=2, c=None)
    assert (taken.take("b"), taken.take("b"), taken.take("z")) == (2, None, None)
    assert taken.left() == ["a", "c"]
    assert notes.lines() == ()


def test_the_rest_is_told_with_its_reason() -> None:
    """Known settings have a reason of their own, others the usual one; null was never set."""
    taken, notes = table(master_key="x", odd=1, empty=None, taken=1)
    taken.take("taken")
    taken.rest()
    assert notes.lines() == (
        "t.master_key: make keys with: inferworks keys create",
        "t.odd: no counterpart",
    )


@pytest.mark.parametrize("document", [{}, {"t": None}, {"t": {}}])
def test_a_table_that_is_not_there_is_empty(document: dict[str, Any]) -> None:
    """Nothing is left in it and nothing is told."""
    notes = Notes()
    assert Table("t", document, notes).left() == []
    assert notes.lines() == ()


@pytest.mark.parametrize("value", [[], "x", 0, False])
def test_another_kind_of_value_is_no_table(value: object) -> None:
    """A list, a text or a number where a table should be is told, and read as empty."""
    notes = Notes()
    assert Table("t", {"t": value}, notes).left() == []
    assert notes.lines() == ("t: not a table; set it by hand",)


def test_names_of_settings_are_texts() -> None:
    """YAML also has numbers as keys; they are names here."""
    notes = Notes()
    assert Table("t", {"t": {1: "x"}}, notes).left() == ["1"]


def test_a_note_names_four_models_at_most() -> None:
    """One line for each setting, however many models have it, each named once and in order."""
    notes = Notes()
    for number in (1, 2, 2, 3, 4):
        notes.add("a.mode", model=f"m{number}")
    reason = "not needed: the path of a request says it"
    assert notes.lines() == (f"a.mode (m1, m2, m3, m4): {reason}",)
    notes.add("a.mode", model="m5")
    notes.add("a.mode", "another reason")
    assert notes.lines() == (
        f"a.mode (m1, m2, m3, m4 and 1 more): {reason}",
        "a.mode: another reason",
    )


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0, "0"),
        ("0.1", "0.1"),
        (0.1, "0.1"),
        ("1e12", "1E+12"),
        (10**12 + 1, None),
        (-1, None),
        ("-0.5", None),
        ("nan", None),
        ("inf", None),
        ("abc", None),
        ([], None),
        (True, None),
    ],
)
def test_a_number_is_exact_and_within_bounds(value: object, number: str | None) -> None:
    """From 0 to 10**12, as it is written; anything else is told and not taken."""
    taken, notes = table(n=value)
    assert taken.number("n") == (None if number is None else Decimal(number))
    told = () if number is not None else ("t.n: no number that can be taken; set it by hand",)
    assert notes.lines() == told


@pytest.mark.parametrize(
    ("value", "count", "why"),
    [
        (7, 7, ""),
        ("7.0", 7, ""),
        (None, None, ""),
        (0.5, None, "no whole number; set it by hand"),
        (-1, None, "no number that can be taken; set it by hand"),
    ],
)
def test_a_count_is_whole(value: object, count: int | None, why: str) -> None:
    """A fraction is told as one; a number that is none at all is told once."""
    taken, notes = table(n=value)
    assert taken.count("n") == count
    assert notes.lines() == ((f"t.n: {why}",) if why else ())


@pytest.mark.parametrize(
    ("value", "flag", "told"),
    [(True, True, 0), (False, False, 0), (None, False, 0), ("true", False, 1), (1, False, 1)],
)
def test_a_flag_is_true_or_false(value: object, flag: bool, told: int) -> None:
    """Only a boolean is one; another value counts as no, and is told."""
    taken, notes = table(f=value)
    assert taken.flag("f") is flag
    assert notes.lines() == ("t.f: neither true nor false; set it by hand",) * told


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), ("", ""), (0, "0"), ("x", "x"), (1.5, "1.5")]
)
def test_a_text_is_any_value_as_it_is_written(value: object, text: str) -> None:
    """A number is as good; nothing is the empty text."""
    assert table(x=value)[0].text("x") == text


@pytest.mark.parametrize(
    ("value", "names", "told"),
    [(None, [], 0), ("a", ["a"], 0), (["a", "b"], ["a", "b"], 0), (["a", 1], ["a"], 1), (5, [], 1)],
)
def test_names_are_one_or_several(value: object, names: list[str], told: int) -> None:
    """A single name is a list of one; other values are left out, and told once."""
    taken, notes = table(n=value)
    assert taken.names("n") == names
    assert notes.lines() == ("t.n: not only names; the others are left out",) * told


def test_a_table_within_a_table() -> None:
    """Its keys are texts; another value is told, and read as empty."""
    taken, notes = table(a={1: "x"}, b=[1], c=None)
    assert [taken.table(name) for name in "abc"] == [{"1": "x"}, {}, {}]
    assert notes.lines() == ("t.b: not a table; set it by hand",)


def test_lists_by_name_stand_in_one_table_or_several() -> None:
    """Several tables are joined, a later one counts; a single name is a list of one."""
    taken, notes = table(
        one={"a": ["x"], "b": "y"}, several=[{"a": ["x"]}, {"a": ["z"]}], none=None
    )
    assert taken.lists("one") == {"a": ["x"], "b": ["y"]}
    assert taken.lists("several") == {"a": ["z"]}
    assert taken.lists("none") == {}
    assert notes.lines() == ()


def test_lists_of_something_else_are_told() -> None:
    """Values that are no table are left out; one within a table is told by its own place."""
    taken, notes = table(f=["x", {"a": ["y", 1]}])
    assert taken.lists("f") == {"a": ["y"]}
    assert notes.lines() == (
        "t.f: no table of lists; set it by hand",
        "f.a: not only names; the others are left out",
    )


def test_variables_of_the_environment_are_filled_in() -> None:
    """A missing one is told and read as not set; one that is empty is empty; some stay as they are."""
    taken, notes = table(
        a="os.environ/A", b="os.environ/B", c="os.environ/C", key="os.environ/K", d="A", n=1
    )
    taken.expand({"A": "1", "C": ""}, but={"key"})
    assert [taken.take(name) for name in ("a", "b", "c", "key", "d", "n")] == [
        *("1", None, "", "os.environ/K", "A", 1),
    ]
    assert notes.lines() == ("t.b: B is not set here; write it by hand",)


def test_notes_of_an_entry_name_its_model() -> None:
    """The rest of an entry, and values that cannot be taken, are told with the model."""
    notes = Notes()
    entry = Table("params", {"params": {"n": "x", "odd": 1}}, notes, "m")
    entry.number("n")
    entry.rest()
    assert notes.lines() == (
        "params.n (m): no number that can be taken; set it by hand",
        "params.odd (m): no counterpart",
    )
