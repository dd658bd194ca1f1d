"""Sorts of values in the columns of our kinds of file."""

from __future__ import annotations

import pytest

from inferworks.books.bills.columns import FOCUS_SORTS, KINDS, OUR_SORTS, Kind, sorts_of
from inferworks.books.bills.spelling import Sort


def test_sorts_are_those_of_the_kind_of_file() -> None:
    """A FOCUS bill by its own columns, invoices to reconcile by theirs, any other file by ours."""
    assert sorts_of(["BilledCost", "Tags", "date"]) == {"BilledCost": Sort.NUMBER}
    assert sorts_of(["issuer", "total", "currency", "date"]) == {
        "total": Sort.NUMBER, "currency": Sort.CURRENCY,
    }  # fmt: skip
    assert sorts_of(["start", "minutes", "person", "currency"]) == {
        "start": Sort.MOMENT, "minutes": Sort.NUMBER, "currency": Sort.CURRENCY,
    }  # fmt: skip
    assert sorts_of([]) == {}


def test_no_column_has_two_sorts() -> None:
    """Neither in a bill nor in a file of ours."""
    assert FOCUS_SORTS.keys().isdisjoint(OUR_SORTS)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_kind_names_each_column_once(name: str) -> None:
    """Needed ones first; what is needed is not optional, but for one of several."""
    kind = KINDS[name]
    assert len(set(kind.columns)) == len(kind.columns)
    assert kind.columns[: len(kind.required)] == kind.required
    assert not set(kind.required) & {*kind.optional, *kind.one_of, *kind.empty}


def test_columns_of_a_kind_are_in_the_order_of_need() -> None:
    """Needed, one of several, in the header though empty, optional."""
    kind = Kind(("a",), ("d", "b"), {}, one_of=("b",), empty=("c",))
    assert kind.columns == ("a", "b", "c", "d")
