"""Prepaid credit of customers: entered, voided, and what is left of it."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

import msgspec

from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import currency_at
from inferworks.accounts.directory import directory_of
from inferworks.books.accounting.prepaid import Prepaid, Wallet, days_in_parts, wallets
from inferworks.books.calendar.calendars import calendars_of
from inferworks.books.calendar.moments import utc_text
from inferworks.books.calendar.span import Span, utc_day
from inferworks.books.revenue.rating import RatingContext, Revenue
from inferworks.books.statement.counted_facts import counted_facts
from inferworks.books.workspace.gathering import customers_of, facts_of, plans_of
from inferworks.books.workspace.late_lines import calendar_of
from inferworks.books.workspace.prepaid import parts_of
from inferworks.books.workspace.settings import Settings
from inferworks.errors import DataFolderError, UserError
from inferworks.ids import CustomerId, new_id


class CreditEntry(NamedTuple):
    """A purchase or refund of credit that was entered."""

    credit: Credit
    excess_pico: int
    """Part of the amount to refund that is beyond what was left, and was not entered."""
    counts_for: CustomerId
    """The customer whose credit it is: another where the named one was merged with it."""


def wallets_of(settings: Settings, at_ns: int) -> list[Wallet]:
    """Return the wallets of all customers who had credit by `at_ns`, as of then.

    DataFolderError when there are no customers.
    """
    folder = settings.folder
    if not settings.has_accounts:
        raise DataFolderError(
            f"there are no customers in {folder.path}; name the folder with --data (open_books: folder)"
        )
    with settings.accounts() as accounts:
        bought = [credit for credit in accounts.credits() if credit.bought_ns <= at_ns]
    if not bought:
        return []
    first_ns = min(credit.bought_ns for credit in bought)
    directory = customers_of(settings)
    calendars = calendars_of(directory)
    span = Span(calendars.since_ns(first_ns), at_ns + 1)
    customers = {credit.customer for credit in bought} | {one.into for one in directory.moves()}
    plans = [plan for plan in directory.plans(plans_of(settings)) if plan.customer in customers]
    facts = counted_facts(facts_of(settings, span), directory)
    calls = (usage for usage in facts.usages if usage.customer in customers)
    edges, currency = parts_of(span, calendar_of(folder).closed), settings.currency
    days = days_in_parts(
        calls, plans, customers, edges, currency, RatingContext(calendars=calendars)
    )
    prepaid = Prepaid(tuple(bought), to_date=())
    return list(wallets(Revenue(()), prepaid, span, directory, days))


def enter_credit(
    settings: Settings,
    customer: CustomerId,
    amount_pico: int,
    paid_ns: int | None,
    expires: dt.date | None,
    reason: str,
) -> CreditEntry:
    """Enter a purchase of credit or, with a negative amount, a refund of at most what is left.

    It expires at the beginning of a day of the customer's time zone. UserError for a payment that is yet to
    come or in a closed period, for a customer who is unknown or pays in another currency than that of the
    books, and when nothing is left to refund.
    """
    now_ns = settings.clock.now_ns()
    calendar = calendars_of(customers_of(settings)).of(customer)
    credit = Credit(
        id=new_id("credit"),
        customer=customer,
        bought_ns=now_ns if paid_ns is None else paid_ns,
        amount_pico=amount_pico,
        currency=settings.currency,
        expires_ns=None if expires is None else calendar.begins_ns(expires),
        reason=reason,
    )
    _refuse_currency(settings, credit)
    if credit.bought_ns > now_ns:
        raise UserError(
            f"{utc_text(credit.bought_ns)} is yet to come; enter the credit when it has been paid"
        )
    _refuse_closed(settings, credit.bought_ns, "date it later, or reopen the period")
    excess_pico = 0
    if credit.is_refund:
        left_pico = sum(
            wallet.closing_pico
            for wallet in wallets_of(settings, credit.bought_ns)
            if wallet.customer == customer
        )
        if not left_pico:
            raise UserError(
                f"nothing is left of the credit of {customer}: there is nothing to pay back"
            )
        excess_pico = max(0, -amount_pico - left_pico)
        credit = msgspec.structs.replace(credit, amount_pico=amount_pico + excess_pico)
    with settings.change_accounts() as accounts:
        accounts.add_credit(credit)
        facts = accounts.facts()
    counts_for = directory_of(facts).survivor(customer, credit.bought_ns)
    return CreditEntry(credit, excess_pico, counts_for)


def void_credit(settings: Settings, credit_id: str, reason: str) -> Credit:
    """Void a purchase or refund, which stays on record; UserError when its period is closed."""
    with settings.change_accounts() as accounts:
        for one in accounts.credits():
            if one.id == credit_id:
                _refuse_closed(settings, one.bought_ns, "pay it back with a negative amount")
        return accounts.void_credit(credit_id, settings.clock.now_ns(), reason)


def _refuse_currency(settings: Settings, paid: Credit) -> None:
    """UserError when the customer pays in another currency than the books, in which credit is kept."""
    if not settings.has_accounts:
        return
    with settings.accounts() as accounts:
        facts = accounts.facts()
    payer = directory_of(facts).survivor(paid.customer, paid.bought_ns)
    currency = currency_at(facts, payer, paid.bought_ns, paid.currency)
    if currency != paid.currency:
        raise UserError(
            f"{payer} pays in {currency}: credit is kept in {paid.currency}, as the books are, for "
            "customers who pay in that; book the payment in your general ledger"
        )


def _refuse_closed(settings: Settings, at_ns: int, advice: str) -> None:
    """UserError when the moment lies in a closed period, in which nothing can be entered."""
    calendar = calendar_of(settings.folder)
    if calendar.closed_until_ns is not None and at_ns < calendar.closed_until_ns:
        raise UserError(
            f"{utc_day(at_ns)} is in {calendar.holding(at_ns).name}, which is closed; {advice}"
        )
