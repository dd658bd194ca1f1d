"""`inferworks customers credit|credits|void`: purchases, refunds and voids of prepaid credit."""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from pathlib import Path

import click
import msgspec

from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import currency_at, customer_id
from inferworks.accounts.directory import directory_of
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.books.calendar.calendars import Calendar, calendars_of
from inferworks.books.calendar.span import utc_day
from inferworks.books.workspace.gathering import customers_of
from inferworks.books.workspace.late_lines import calendar_of
from inferworks.cli.books.opening import workspace_of
from inferworks.cli.customer_facts import note_merged
from inferworks.cli.options import (
    config_option,
    data_folder,
    data_option,
    json_option,
    moment_ns,
)
from inferworks.cli.show import print_json, print_table, say
from inferworks.cli.wallets import left_pico
from inferworks.clock import SystemClock
from inferworks.errors import UserError
from inferworks.folder import DataFolder
from inferworks.ids import new_id
from inferworks.money import format_pico, parse_pico


@click.command()
@click.argument("name")
@click.option(
    "--amount", required=True, metavar="AMOUNT", help="Amount paid ahead; negative: paid back."
)
@click.option("--at", metavar="MOMENT", help="Day or moment of the payment.  [default: now]")
@click.option(
    "--expires",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Day, in the customer's time zone, from which it can no longer be used.",
)
@click.option("--reason", default="", metavar="TEXT", help="Reason of a refund.")
@config_option
@data_option
def credit(
    name: str,
    amount: str,
    at: str | None,
    expires: dt.datetime | None,
    reason: str,
    config_path: Path | None,
    data_path: Path | None,
) -> None:
    """Sell a customer credit, or pay back what is left of it.

    Credit is a liability until it is used, paid back, or expires. A refund cannot exceed the remaining
    credit, and a closed period accepts no entries.

    \b
    Examples:
      inferworks customers credit acme --amount 100.00 --expires 2027-11-01
      inferworks customers credit acme --amount 40.00 --at 2026-11-28
      inferworks customers credit acme --amount=-50.00 --reason "contract ended"
    """
    settings = workspace_of(config_path, data_path).settings
    folder, now_ns = settings.folder, SystemClock().now_ns()
    calendar = calendars_of(customers_of(settings)).of(customer_id(name))
    paid = Credit(
        id=new_id("credit"),
        customer=customer_id(name),
        bought_ns=now_ns if at is None else moment_ns(at, "--at"),
        amount_pico=parse_pico(amount),
        currency=settings.currency,
        expires_ns=None if expires is None else calendar.begins_ns(expires.date()),
        reason=reason,
    )
    _refuse_currency(folder, paid)
    if paid.bought_ns > now_ns:
        raise UserError(f"--at {at}: is yet to come; enter the credit when it has been paid")
    _refuse_closed(folder, paid.bought_ns, "date it later, or reopen the period")
    asked_pico = -paid.amount_pico
    if paid.is_refund:
        left = left_pico(settings, paid.customer, paid.bought_ns)
        if not left:
            raise UserError(
                f"nothing is left of the credit of {name}: there is nothing to pay back"
            )
        paid = msgspec.structs.replace(paid, amount_pico=-min(left, asked_pico))
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        accounts.add_credit(paid)
        facts = accounts.facts()
    note_merged(facts, paid.customer, paid.bought_ns, "it is the other's credit")
    if not paid.is_refund:
        say(f"Added {format_pico(paid.amount_pico)} {paid.currency} of credit to {name}.")
        return
    say(f"Paid back {format_pico(-paid.amount_pico)} {paid.currency} of credit to {name}.")
    if -paid.amount_pico < asked_pico:
        beyond = format_pico(asked_pico + paid.amount_pico)
        say(
            f"Note: that is all that was left; {beyond} beyond it is no credit, and not entered.",
            err=True,
        )


@click.command("credits")
@click.argument("name")
@config_option
@data_option
@json_option
def list_credits(
    name: str, config_path: Path | None, data_path: Path | None, as_json: bool
) -> None:
    """List a customer's purchases and refunds of prepaid credit, voided ones too.

    \b
    Example:
      inferworks customers credits acme
    """
    folder = data_folder(config_path, data_path)
    with closing(SqliteAccounts(folder.accounts, read_only=True)) as accounts:
        found = [*accounts.credits(), *accounts.voided_credits()]
        calendar = calendars_of(directory_of(accounts.facts())).of(customer_id(name))
    own = [one for one in found if one.customer == customer_id(name)]
    own.sort(key=lambda one: (one.bought_ns, one.id))
    if as_json:
        print_json([_as_json(one) for one in own])
        return
    rows = [
        (one.id, utc_day(one.bought_ns), format_pico(one.amount_pico), _until(one, calendar))
        for one in own
    ]
    print_table(("CREDIT", "PAID", "AMOUNT", "EXPIRES"), rows, right="AMOUNT")
    say("", f"Amounts in {', '.join(sorted({one.currency for one in own})) or '-'}.")


@click.command()
@click.argument("credit_id", metavar="CREDIT")
@click.option("--reason", required=True, metavar="TEXT", help="Reason, for the record.")
@config_option
@data_option
def void(credit_id: str, reason: str, config_path: Path | None, data_path: Path | None) -> None:
    """Void a purchase or refund of credit that was a mistake: it counts as if it had never been.

    The entry stays on record. One in a closed period cannot be voided; pay the credit back instead.

    \b
    Example:
      inferworks customers void credit_01hx3 --reason "entered twice"
    """
    folder = data_folder(config_path, data_path)
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        for one in accounts.credits():
            if one.id == credit_id:
                _refuse_closed(folder, one.bought_ns, "pay it back with a negative amount")
        voided = accounts.void_credit(credit_id, SystemClock().now_ns(), reason)
    amount = f"{format_pico(voided.amount_pico)} {voided.currency}"
    say(f"The credit of {amount} to {voided.customer} is void.")


def _refuse_currency(folder: DataFolder, paid: Credit) -> None:
    """UserError when the customer pays in another currency than the books, in which credit is kept."""
    if not folder.accounts.exists():
        return
    with closing(SqliteAccounts(folder.accounts, read_only=True)) as accounts:
        facts = accounts.facts()
    whose = directory_of(facts).survivor(paid.customer, paid.bought_ns)
    currency = currency_at(facts, whose, paid.bought_ns, paid.currency)
    if currency != paid.currency:
        raise UserError(
            f"{whose} pays in {currency}: credit is kept in {paid.currency}, as the books are, for "
            "customers who pay in that; book the payment in your general ledger"
        )


def _refuse_closed(folder: DataFolder, at_ns: int, advice: str) -> None:
    """UserError when the moment lies in a closed period, in which nothing can be entered."""
    calendar = calendar_of(folder)
    if calendar.closed_until_ns is not None and at_ns < calendar.closed_until_ns:
        raise UserError(
            f"{utc_day(at_ns)} is in {calendar.holding(at_ns).name}, which is closed; {advice}"
        )


def _until(credit: Credit, calendar: Calendar) -> str:
    if credit.voided_ns is not None:
        return "voided"
    return "-" if credit.expires_ns is None else calendar.date(credit.expires_ns).isoformat()


def _as_json(credit: Credit) -> dict[str, object]:
    return {
        "id": credit.id,
        "customer": credit.customer,
        "paid_ns": credit.bought_ns,
        "amount": format_pico(credit.amount_pico),
        "currency": credit.currency,
        "expires_ns": credit.expires_ns,
        "voided_ns": credit.voided_ns,
        "reason": credit.reason,
    }
