"""Pieces of cost: those of a subject alone, summing to its figure, however few of them are shown."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.support.explained import GAAP, RULES, USD, company

from inferworks.books.allocation.allocate import Target
from inferworks.books.analysis.breakdown import Bounds
from inferworks.books.analysis.explain_cost import (
    KINDS,
    LEVELS,
    Collected,
    Kind,
    Level,
    Piece,
    Subject,
    collect,
    target_text,
)
from inferworks.books.calendar.span import Span
from inferworks.books.statement.computation import Computation, Inputs, compute
from inferworks.books.statement.statement import Dimension, build_statement
from inferworks.ids import CustomerId
from inferworks.meter.facts import NO_FACTS
from inferworks.purpose import Purpose
from inferworks.testing.books import a_charge

WIDE = Bounds(9, 10**6)
COMPANY = company()


def pieces(subject: str, computation: Computation = COMPANY, bounds: Bounds = WIDE) -> list[Piece]:
    """The pieces of a subject, written `kind:name`."""
    return collected(subject, computation, bounds).pieces()


def collected(subject: str, computation: Computation, bounds: Bounds) -> Collected:
    """Pieces of a subject, and those that are not kept."""
    kind, _, name = subject.partition(":")
    return collect(computation, Subject(kind, name), None, bounds)


def total(found: list[Piece]) -> int:
    """Sum of pieces."""
    return sum(piece.amount_pico for piece in found)


def test_subjects_are_the_cuts_of_a_statement_calls_and_charges() -> None:
    """Each with a name."""
    assert (*map(str, Dimension), "call", "charge") == KINDS
    assert str(Subject("customer", "acme")) == "customer:acme"


@pytest.mark.parametrize("dimension", list(Dimension))
def test_pieces_of_all_rows_of_a_cut_are_the_whole_cost(dimension: Dimension) -> None:
    """To the picounit, row by row."""
    for row in build_statement(COMPANY).by(dimension):
        cost = row.cost_of_revenue_pico + row.research_and_development_pico + row.other_pico
        assert total(pieces(f"{dimension}:{row.name}")) == cost


def test_pieces_of_a_customer_are_of_its_charges() -> None:
    """3 of the machine, 3 of its repair, 1 of the disk and 0.60 of the web server."""
    found = {
        piece.item.charge.line: piece.amount_pico * 10 // USD for piece in pieces("customer:acme")
    }
    assert found == {"machine": 30, "repair": 30, "disk": 10, "web": 6}
    assert all(piece.leaf is None for piece in pieces("customer:acme"))


def test_pieces_of_a_call_name_its_leaves() -> None:
    """Its input on the machine and of the repair, and its bytes; other calls' are no part of it."""
    found = pieces("call:call-a")
    assert sorted((p.leaf[0], p.leaf[2], p.amount_pico * 10 // USD) for p in found if p.leaf) == [
        ("call", "", 6),
        ("call", "Input", 30),
        ("call", "Input", 30),
    ]
    assert {piece.leaf[1] for piece in found if piece.leaf} == {"call-a"}
    assert total(pieces("call:call-b")) == 2 * USD


def test_pieces_of_a_charge_are_all_of_it() -> None:
    """And of no other."""
    for item in COMPANY.allocated:
        found = pieces(f"charge:{item.charge.id}")
        assert total(found) == item.charge.amount_pico
        assert {piece.item.charge.id for piece in found} == {item.charge.id}
    assert len(COMPANY.allocated) == 5


@pytest.mark.parametrize("subject", ["call:none", "charge:none", "customer:none", "pool:none"])
def test_a_name_that_is_nowhere_has_no_pieces(subject: str) -> None:
    """Its figure is zero."""
    assert pieces(subject) == []
    assert collected(subject, COMPANY, WIDE).unseen == {}


def test_a_piece_has_the_line_that_it_is_part_of() -> None:
    """With the target and the method of its split."""
    for piece in pieces("pool:machines"):
        assert piece.line.pool == "machines"
        assert (piece.line.target, piece.line.method) == (
            piece.portion.target,
            piece.portion.method,
        )


def test_levels_take_a_piece_apart_from_the_top() -> None:
    """Function, pool, charge and split, each by a name that a reader knows."""
    [piece] = pieces("call:call-b")
    charge = piece.item.charge
    assert [level.of(piece) for level in Level] == [
        "cost-of-revenue",
        "pool providers",
        f"charge {charge.id}",
        f"{piece.portion.method} {piece.portion.stage} -> {target_text(piece.portion.target)}",
    ]


def test_levels_that_a_subject_fixes_are_left_out() -> None:
    """A pool has one pool, and a charge is one charge of one pool."""
    assert Level.POOL not in LEVELS[Dimension.POOL]
    assert LEVELS[Kind.CHARGE] == (Level.FUNCTION, Level.SPLIT)


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (Target(purpose=Purpose.SERVE_PAID, customer=CustomerId("acme")), "serve-paid acme"),
        (Target(purpose=Purpose.SERVE_PAID, direction="Input"), "serve-paid Input"),
        (Target(unallocated="web"), "Unallocated:web"),
    ],
)
def test_a_target_in_words_leaves_out_what_is_not_known(target: Target, text: str) -> None:
    """From the use to the day."""
    assert target_text(target) == text


def many(amounts: list[int]) -> Computation:
    """A computation of charges of these dollars that nobody drives."""
    charges = [
        replace(a_charge(f"c-{n}", "0", (0, 100), category="Databases"), amount_pico=amount * USD)
        for n, amount in enumerate(amounts)
    ]
    return compute(Inputs(charges, NO_FACTS, (), GAAP, "USD", Span(0, 100), RULES))


def test_pieces_that_will_not_be_shown_are_counted_and_summed() -> None:
    """Of 300 charges of 1 to 300 the three largest stay, and whatever came since the last sorting."""
    computation = many(list(range(1, 301)))
    found = collected("pool:other", computation, Bounds(9, 3))
    kept = found.pieces()
    [unseen] = found.unseen.values()
    assert len(kept) + unseen.parts == 300
    assert total(kept) + unseen.amount_pico == sum(range(1, 301)) * USD
    assert len(kept) <= 2 * 3 + 100
    largest = sorted((piece.amount_pico // USD for piece in kept), reverse=True)[:3]
    assert largest == [300, 299, 298]


def test_credits_are_as_large_as_charges() -> None:
    """A credit of 500 is shown before a charge of 300."""
    computation = many([*range(1, 301), -500])
    kept = collected("pool:other", computation, Bounds(9, 1)).pieces()
    assert min(piece.amount_pico for piece in kept) == -500 * USD


def test_few_pieces_are_all_kept() -> None:
    """Up to twice the width, and some more."""
    found = collected("pool:other", many([1] * 100), Bounds(9, 3))
    assert (len(found.pieces()), dict(found.unseen)) == (100, {})
