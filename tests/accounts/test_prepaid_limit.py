"""Prepaid limits: their amounts follow the credit of their customers."""

from __future__ import annotations

import random

import pytest

from inferworks.accounts.credit import Credit
from inferworks.accounts.limit import Limit, Measure, Scope, ScopeKind, Window
from inferworks.accounts.prepaid_limit import credited
from inferworks.errors import UserError
from inferworks.ids import CustomerId

ACME = CustomerId("acme")


def limit(spent_before: int = 0, **more: object) -> Limit:
    """Return a prepaid limit of acme, made at the moment 100."""
    fields: dict[str, object] = {
        "id": "limit_1", "scope": Scope(ScopeKind.CUSTOMER, ACME), "measure": Measure.MONEY,
        "window": Window.TOTAL, "amount": 0, "currency": "USD", "created_ns": 100,
        "spent_before": spent_before,
    }  # fmt: skip
    return Limit(**(fields | more))  # type: ignore[arg-type]


def credit(pico: int, expires_ns: int | None = None, customer: str = ACME) -> Credit:
    """Return credit that was bought, or paid back."""
    return Credit("credit", CustomerId(customer), 1, pico, "USD", expires_ns)


def test_the_amount_is_what_was_bought_less_what_was_paid_back_and_spent_before() -> None:
    """Credit of others and limits of other kinds are no part of it."""
    other = limit(id="limit_2", spent_before=None, amount=7)
    bought = [credit(100), credit(50), credit(-30), credit(1000, customer="globex")]
    found, expiries = credited([limit(20), other], bought, [])
    assert [one.amount for one in found] == [100, 7]
    assert found[1] is other
    assert expiries == []
    assert credited([limit(500)], bought, []).limits[0].amount == 0
    assert credited([limit()], [], []).limits[0].amount == 0


def test_each_change_of_credit_or_limit_makes_a_higher_revision() -> None:
    """Purchases, voids and changes in any order: the number only ever rises."""
    chance = random.Random(3)
    bought: list[Credit] = []
    voided: list[Credit] = []
    of = limit()
    newest = -1
    for _ in range(300):
        deed = chance.randrange(3)
        if deed == 0 or not bought:
            bought.append(credit(chance.randrange(1, 100)))
        elif deed == 1:
            voided.append(bought.pop(chance.randrange(len(bought))))
        else:
            of = limit(revision=of.revision + 1)
        revision = credited([of], bought, voided).limits[0].revision
        assert revision > newest
        newest = revision


def test_credit_that_expires_must_be_gone_by_then() -> None:
    """The soonest first: at each expiry so much must be used as has expired, less what went before."""
    bought = [credit(100, 500), credit(40, 300), credit(70), credit(-10), credit(9, 50)]
    found, expiries = credited([limit(25)], bought, [])
    assert found[0].amount == 184
    assert [(one.at_ns, one.least) for one in expiries] == [(300, 14), (500, 114)]
    assert credited([limit(200)], bought, []).expiries == []


@pytest.mark.parametrize(
    "change",
    [
        {"is_hard": False},
        {"window": Window.MONTH},
        {"measure": Measure.TOKENS, "currency": ""},
        {"scope": Scope(ScopeKind.KEY, "key_1")},
    ],
)
def test_only_a_hard_limit_on_the_money_of_a_customer_is_prepaid(change: dict[str, object]) -> None:
    """Anything else has no credit that it could follow."""
    with pytest.raises(UserError, match="a prepaid limit is a hard one on the money of a customer"):
        limit(**change)
