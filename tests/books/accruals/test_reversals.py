"""Sealed estimates of bills: reversed by a bill, and booked again when that bill is taken back."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from inferworks.books.accruals.reversals import is_first, is_reversal, reversal, with_reversals
from inferworks.books.charge import Charge
from inferworks.testing.books import a_charge

ESTIMATE = replace(a_charge("estimate", "12.50", (0, 100)), quantity="3")


def standing_pico(charges: list[Charge]) -> int:
    """Sum of the estimates that stand, in picounits."""
    return sum(charge.amount_pico for charge in charges)


def posted(sealed: list[Charge], *, is_billed: bool) -> list[Charge]:
    """All estimates after one more look at what is billed."""
    return list(with_reversals(sealed, lambda _: is_billed))


def test_a_reversal_is_the_exact_opposite_under_a_name_of_its_own() -> None:
    """Amount and quantity are turned; it is known as a reversal and says why it is there."""
    opposite = reversal(ESTIMATE)
    assert opposite.amount_pico == -ESTIMATE.amount_pico
    assert opposite.quantity == "-3"
    assert opposite.id != ESTIMATE.id
    assert is_reversal(opposite)
    assert not is_reversal(ESTIMATE)
    assert "reversed, for the bill has arrived" in opposite.description
    assert reversal(replace(ESTIMATE, quantity=None)).quantity is None


def test_a_bill_reverses_and_its_void_books_again() -> None:
    """Each step is posted beside what was sealed, under names that never repeat."""
    billed = posted([ESTIMATE], is_billed=True)
    assert [is_reversal(charge) for charge in billed] == [False, True]
    voided = posted(billed, is_billed=False)
    assert [charge.line for charge in voided] == [
        "estimate", "estimate/reversed", "estimate/again-2",
    ]  # fmt: skip
    assert [is_first(charge) for charge in voided] == [True, False, False]
    again = posted(voided, is_billed=True)
    assert again[-1].line == "estimate/again-2/reversed"


@settings(max_examples=15)
@given(st.lists(st.booleans(), max_size=8))
def test_whatever_comes_and_goes_the_estimate_stands_once_or_not_at_all(
    looks: list[bool],
) -> None:
    """An estimate stands while there is no bill; looking twice posts nothing; all names differ."""
    sealed = [ESTIMATE]
    for is_billed in looks:
        sealed = posted(sealed, is_billed=is_billed)
        assert posted(sealed, is_billed=is_billed) == sealed
        assert standing_pico(sealed) == (0 if is_billed else ESTIMATE.amount_pico)
    assert len({charge.id for charge in sealed}) == len(sealed)


def test_families_are_told_apart() -> None:
    """One estimate is billed and another is not; one that was sealed twice counts once."""
    other = a_charge("other", "1.00", (0, 100))
    found = list(with_reversals([ESTIMATE, other, ESTIMATE], lambda one: one.line == "other"))
    assert [charge.line for charge in found] == ["estimate", "other", "other/reversed"]
