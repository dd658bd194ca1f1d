"""Prepaid credit: entered with its moment, refused where it cannot be, and what is left of it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from tests.support.book_settings import (
    DECEMBER_NS,
    JANUARY_NS,
    NOVEMBER_NS,
    a_folder,
    enter,
    record,
    settings_of,
)

from inferworks.accounts.customer import Customer, CustomerFact
from inferworks.accounts.plan import PricePlan
from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.books.closing.close import CloseRequest, close_period
from inferworks.books.closing.ledger import Ledger
from inferworks.books.period import Periods
from inferworks.books.workspace.credit import CreditEntry, enter_credit, void_credit, wallets_of
from inferworks.books.workspace.recorded import RecordedSource
from inferworks.books.workspace.settings import Settings
from inferworks.errors import DataFolderError, UserError
from inferworks.folder import DataFolder
from inferworks.ids import CustomerId
from inferworks.meter.usage import Tokens
from inferworks.testing.books import a_charge, a_usage

ACME, BURNS = CustomerId("acme"), CustomerId("burns")
USD = 10**12


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> DataFolder:
    """A folder with two customers who pay 2 for a million tokens of input."""
    folder = a_folder(tmp_path)
    with settings_of(folder).change_accounts() as accounts:
        for customer in (ACME, BURNS):
            plan = PricePlan.per_million(customer, 5, "USD", "2", "0")
            accounts.add_customer(Customer(customer, 5), plan)
    return folder


def entered(
    settings: Settings, amount: int, paid_ns: int | None = None, **more: Any
) -> CreditEntry:
    """A payment of acme, in dollars."""
    given = {"customer": ACME, "expires": None, "reason": "a test"} | more
    return enter_credit(settings, amount_pico=amount * USD, paid_ns=paid_ns, **given)


def a_fact(at_ns: int, **changes: Any) -> CustomerFact:
    """Changes to acme from a moment on."""
    return CustomerFact(customer=ACME, effective_ns=at_ns, recorded_ns=7, by="ann", **changes)


def left(settings: Settings, at_ns: int = JANUARY_NS) -> dict[str, int]:
    """Rest of each customer's credit, in dollars."""
    return {one.customer: one.closing_pico // USD for one in wallets_of(settings, at_ns)}


def test_without_customers_there_are_no_wallets(tmp_path: Path) -> None:
    """The folder is named."""
    folder = a_folder(tmp_path)
    with pytest.raises(DataFolderError, match=f"there are no customers in {folder.path}"):
        wallets_of(settings_of(folder), 5)


def test_without_credit_there_are_no_wallets(folder: DataFolder) -> None:
    """Nor before it was bought."""
    settings = settings_of(folder)
    assert wallets_of(settings, JANUARY_NS) == []
    entered(settings, 5, NOVEMBER_NS)
    assert wallets_of(settings, NOVEMBER_NS - 1) == []
    assert left(settings, NOVEMBER_NS) == {"acme": 5}


def test_credit_is_entered_as_of_now_or_of_when_it_was_paid(folder: DataFolder) -> None:
    """In the currency of the books, with an id of its own."""
    settings = settings_of(folder)
    now, earlier = entered(settings, 5), entered(settings, 7, NOVEMBER_NS)
    assert (now.credit.bought_ns, earlier.credit.bought_ns) == (JANUARY_NS, NOVEMBER_NS)
    assert (now.credit.amount_pico, now.credit.currency) == (5 * USD, "USD")
    assert (now.excess_pico, now.counts_for, now.credit.expires_ns) == (0, ACME, None)
    assert now.credit.id != earlier.credit.id
    assert left(settings) == {"acme": 12}


def test_credit_expires_at_a_midnight_of_the_customer(folder: DataFolder) -> None:
    """By its own clock."""
    settings = settings_of(folder)
    day = dt.date(2027, 6, 1)
    assert entered(settings, 1, expires=day).credit.expires_ns == parse_moment_ns("2027-06-01")
    with settings.change_accounts() as accounts:
        accounts.add_fact(a_fact(6, zone="Europe/Berlin"))
    assert entered(settings, 1, expires=day).credit.expires_ns == parse_moment_ns(
        "2027-05-31T22:00:00Z"
    )


def test_calls_use_credit_up(folder: DataFolder) -> None:
    """A million tokens for 2 of 5; those of others use none of it."""
    settings = settings_of(folder)
    entered(settings, 5, NOVEMBER_NS)
    calls = [
        a_usage(name, customer=name, opened_ns=DECEMBER_NS, tokens=Tokens(10**6))
        for name in ("acme", "burns")
    ]
    record(folder, *calls)
    assert left(settings, DECEMBER_NS - 1) == {"acme": 5}
    assert left(settings) == {"acme": 3}


def test_a_payment_that_is_yet_to_come_is_refused(folder: DataFolder) -> None:
    """To the nanosecond."""
    settings = settings_of(folder)
    with pytest.raises(UserError) as refused:
        entered(settings, 5, JANUARY_NS + 10**9)
    assert str(refused.value) == (
        "2027-01-01 00:00:01 is yet to come; enter the credit when it has been paid"
    )
    assert left(settings) == {}
    entered(settings, 5, JANUARY_NS)


def test_a_refund_is_of_at_most_what_is_left(folder: DataFolder) -> None:
    """The excess is told and not entered; of nothing there is no refund."""
    settings = settings_of(folder)
    with pytest.raises(UserError) as refused:
        entered(settings, -5)
    assert str(refused.value) == (
        "nothing is left of the credit of acme: there is nothing to pay back"
    )
    entered(settings, 5, NOVEMBER_NS)
    part = entered(settings, -2)
    assert (part.credit.amount_pico, part.excess_pico) == (-2 * USD, 0)
    rest = entered(settings, -9)
    assert (rest.credit.amount_pico, rest.excess_pico) == (-3 * USD, 6 * USD)
    assert left(settings) == {"acme": 0}


def test_a_customer_who_pays_in_another_currency_has_no_credit(folder: DataFolder) -> None:
    """Credit is kept in that of the books."""
    settings = settings_of(folder)
    with settings.change_accounts() as accounts:
        accounts.add_fact(a_fact(6, currency="EUR"))
    with pytest.raises(UserError) as refused:
        entered(settings, 5)
    assert str(refused.value) == (
        "acme pays in EUR: credit is kept in USD, as the books are, for customers who pay in that; book "
        "the payment in your general ledger"
    )


def test_credit_counts_for_whom_its_customer_was_merged_with(folder: DataFolder) -> None:
    """By when it was paid."""
    settings = settings_of(folder)
    with settings.change_accounts() as accounts:
        accounts.add_fact(a_fact(DECEMBER_NS, merged_into=BURNS))
    assert entered(settings, 5, NOVEMBER_NS).counts_for == ACME
    assert entered(settings, 7, DECEMBER_NS).counts_for == BURNS


def test_nothing_is_entered_or_voided_in_a_closed_period(folder: DataFolder) -> None:
    """The advice is another for each."""
    settings = settings_of(folder)
    early = entered(settings, 5, NOVEMBER_NS).credit
    enter(folder, "bill", a_charge("a", "1", (NOVEMBER_NS, DECEMBER_NS)))
    with Ledger(folder.ledger) as ledger:
        request = CloseRequest(Periods().named("2026-11"), "ann", 1_000)
        close_period(ledger, RecordedSource(settings), request)
    with pytest.raises(UserError) as refused:
        entered(settings, 5, DECEMBER_NS - 1)
    assert str(refused.value) == (
        "2026-11-30 is in 2026-11, which is closed; date it later, or reopen the period"
    )
    with pytest.raises(UserError, match="which is closed; pay it back with a negative amount"):
        void_credit(settings, early.id, "a mistake")
    later = entered(settings, 5, DECEMBER_NS).credit
    voided = void_credit(settings, later.id, "a mistake")
    assert (voided.id, voided.voided_ns, voided.reason) == (later.id, JANUARY_NS, "a mistake")
    assert left(settings) == {"acme": 5}


def test_credit_that_is_not_there_is_not_voided(folder: DataFolder) -> None:
    """Nor is it voided twice."""
    settings = settings_of(folder)
    bought = entered(settings, 5).credit
    void_credit(settings, bought.id, "a mistake")
    for id_ in ("nothing", bought.id):
        with pytest.raises(UserError):
            void_credit(settings, id_, "again")
