"""Texts of questions and notices about files."""

from __future__ import annotations

import pytest

from inferworks.books.deliveries.arriving import Total
from inferworks.books.deliveries.saying import (
    Lot,
    amounts,
    beside_text,
    instead_text,
    negated,
    older_text,
    plain,
    question_text,
    together,
)

DAY_NS = 86_400 * 10**9
USD = {"USD": Total("1.4", 1_400_000_000_000)}
ONE = Lot(1, USD, ((0, DAY_NS),), ("a.csv",))
MORE = Lot(2, {"USD": Total("3", 3 * 10**12)}, ((DAY_NS // 2, 2 * DAY_NS),), ("b.csv", "c.csv"))


@pytest.mark.parametrize(
    ("exact", "text"),
    [
        ("1.4", "1.40"),
        ("0", "0.00"),
        ("1E+3", "1000.00"),
        ("-0.125", "-0.125"),
        ("1E-7", "0.0000001"),
    ],
)
def test_an_amount_is_written_out(exact: str, text: str) -> None:
    """No exponent, at least two places, every digit."""
    assert plain(exact) == text


def test_amounts_of_several_currencies() -> None:
    """In the order of their names; of none, nothing."""
    totals = {"USD": Total("1.4", 0), "EUR": Total("2", 0)}
    assert amounts(totals) == "2.00 EUR and 1.40 USD"
    assert amounts({}) == "nothing"
    assert amounts(negated(totals)) == "-2.00 EUR and -1.40 USD"


def test_lots_together() -> None:
    """Lines and totals are summed, times merged, files named once."""
    both = together([ONE, MORE, ONE])
    assert (both.lines, both.files) == (4, ("a.csv", "b.csv", "c.csv"))
    assert both.totals["USD"].pico == 5_800_000_000_000
    assert both.days == "from 1970-01-01 to 1970-01-03"
    assert both.text == "4 lines of a.csv, b.csv, c.csv (5.80 USD)"
    assert ONE.text == "1 line of a.csv (1.40 USD)"


def test_a_question_says_what_each_answer_comes_to() -> None:
    """Rows here and rows to come, with either option, and where the two overlap."""
    text = question_text("A Cloud's November", ONE, MORE, {"USD": Total("3", 3 * 10**12)})
    assert text.startswith(
        "a.csv: its 1 line (1.40 USD) of A Cloud's November overlap 2 lines of b.csv"
    )
    assert "from 1970-01-01T12:00:00Z to 1970-01-02" in text
    assert "nothing of it was imported" in text
    assert "--part if both count (4.40 USD in all)" in text
    assert "--replace if it stands instead (1.40 USD in all)" in text
    assert text.endswith('as ImportOptions: overlap="part" or "replace"')
    assert "import the two one after the other" in beside_text("A Cloud's November", ONE, MORE)


def test_notices() -> None:
    """Of lines that were replaced, with those that stay; and of an older copy."""
    nothing = Lot(0, {}, (), ())
    assert instead_text(ONE, nothing) == (
        "in place of 1 line of a.csv (1.40 USD) from 1970-01-01 to 1970-01-02"
    )
    assert instead_text(ONE, MORE).endswith(
        "(3.00 USD) from 1970-01-01T12:00:00Z to 1970-01-03 stay"
    )
    assert "change nothing, 3.00 USD stay" in older_text("November", ONE, MORE.totals)
