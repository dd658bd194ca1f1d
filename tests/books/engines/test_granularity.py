"""Parties: labels and customers by number, in the order of their names, and back."""

from __future__ import annotations

import pyarrow as pa
import pytest

from inferworks.books.engines.duckdb import DuckEngine
from inferworks.books.engines.granularity import UNPLACED, Parties

pytestmark = pytest.mark.slow

CALLED = [
    ("serve-paid", "zoë", 1),
    ("serve-free", "acme", 2),
    ("serve-paid", "acme", 3),
    ("serve-paid", "", 4),
    ("serve-paid", "acme", 5),
]
OTHERS = [(UNPLACED, ""), ("Unallocated:network", ""), ("train-gradient", "acme")]


def the_parties(engine: DuckEngine) -> Parties:
    """The parties of `CALLED` and `OTHERS`."""
    return Parties(engine, [engine.table(rows_of(CALLED))], OTHERS)


def rows_of(called: list[tuple[str, str, int]]) -> pa.Table:
    """`called` as columns."""
    labels, customers, weights = zip(*called, strict=True)
    return pa.table({"label": labels, "customer": customers, "weight": weights})


def test_parties_are_numbered_in_the_order_of_their_names(duck: DuckEngine) -> None:
    """A tie that is settled by number is settled as it would be by label and customer."""
    names = duck.fetch(the_parties(duck).names).to_pylist()
    ordered = sorted(names, key=lambda row: row["party"])
    pairs = [(row["label"], row["customer"]) for row in ordered]
    assert pairs == sorted({(label, customer) for label, customer, _ in CALLED} | set(OTHERS))


def test_a_number_stands_for_one_name(duck: DuckEngine) -> None:
    """Numbered and named again, every row is what it was; none is lost, none comes twice."""
    parties = the_parties(duck)
    named = parties.named(parties.numbered(duck.table(rows_of(CALLED))))
    rows = duck.fetch(named.select("label", "customer", "weight")).to_pylist()
    assert sorted(tuple(row.values()) for row in rows) == sorted(CALLED)


def test_a_label_without_a_customer_is_found(duck: DuckEngine) -> None:
    """Work without a customer has a number too; a customer's calls of the same label have another."""
    parties = the_parties(duck)
    numbers = parties.nameless([UNPLACED, "serve-paid", "train-gradient"])
    assert set(numbers) == {UNPLACED, "serve-paid"}
    [row] = duck.fetch(parties.names.filter(parties.names.party == numbers[UNPLACED])).to_pylist()
    assert (row["label"], row["customer"]) == (UNPLACED, "")
