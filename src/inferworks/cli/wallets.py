"""`inferworks customers wallets`: customers' remaining prepaid credit."""

from __future__ import annotations

from pathlib import Path

import click

from inferworks.books.accounting.prepaid import Prepaid, Wallet, days_in_parts, wallets
from inferworks.books.calendar.calendars import Calendar, calendars_of
from inferworks.books.calendar.span import Span
from inferworks.books.revenue.rating import RatingContext, Revenue
from inferworks.books.statement.counted_facts import counted_facts
from inferworks.books.workspace.gathering import customers_of, facts_of, plans_of
from inferworks.books.workspace.late_lines import calendar_of
from inferworks.books.workspace.prepaid import parts_of
from inferworks.books.workspace.settings import Settings
from inferworks.cli.books.opening import workspace_of
from inferworks.cli.options import config_option, data_option, json_option
from inferworks.cli.show import print_json, print_table, say
from inferworks.clock import SystemClock
from inferworks.errors import DataFolderError, UserError
from inferworks.ids import CustomerId
from inferworks.money import format_pico


@click.command("wallets")
@click.argument("name", required=False)
@config_option
@data_option
@json_option
def list_wallets(
    name: str | None, config_path: Path | None, data_path: Path | None, as_json: bool
) -> None:
    """List prepaid credit: bought, used, and remaining.

    Remaining credit is owed to the customer: a liability. EXPIRES is the first day on which some of it
    expires. MOVED is the credit received from merged customers, less the credit passed on in a merge.

    \b
    Examples:
      inferworks customers wallets
      inferworks customers wallets acme --json
    """
    settings = workspace_of(config_path, data_path).settings
    now_ns = SystemClock().now_ns()
    found = [one for one in _wallets(settings, now_ns) if name in (None, str(one.customer))]
    if name is not None and not found:
        raise UserError(f"customer {name!r} never bought credit; see: inferworks customers credit")
    if as_json:
        print_json([_as_json(one, settings.currency) for one in found])
    elif not found:
        say("No customer has bought credit; see: inferworks customers credit --help")
    else:
        moved = ("MOVED",) if any(one.moved_pico for one in found) else ()
        columns = ("CUSTOMER", "BOUGHT", *moved, "USED", "REFUNDED", "EXPIRED", "LEFT", "EXPIRES")
        calendars = calendars_of(customers_of(settings))
        rows = [_row(one, calendars.of(one.customer), is_moved=bool(moved)) for one in found]
        print_table(columns, rows, right="BOUGHT MOVED USED REFUNDED EXPIRED LEFT")
        say("", f"Amounts in {settings.currency}.")


def left_pico(settings: Settings, customer: CustomerId, at_ns: int) -> int:
    """Return the remaining credit of `customer` at a moment, in picounits."""
    found = _wallets(settings, at_ns)
    return sum(wallet.closing_pico for wallet in found if wallet.customer == customer)


def _wallets(settings: Settings, at_ns: int) -> list[Wallet]:
    """Return the wallets of all customers who had credit by `at_ns`, as of then."""
    folder = settings.folder
    if not folder.accounts.exists():
        raise DataFolderError(f"there are no customers in {folder.path}; name it with --data")
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


def _row(wallet: Wallet, calendar: Calendar, *, is_moved: bool) -> tuple[str, ...]:
    amounts = (
        wallet.bought_pico,
        *((wallet.moved_pico,) if is_moved else ()),
        *(wallet.used_pico, wallet.refunded_pico, wallet.expired_pico, wallet.closing_pico),
    )
    expires = "-" if wallet.expires_ns is None else calendar.date(wallet.expires_ns).isoformat()
    return (wallet.customer, *map(format_pico, amounts), expires)


def _as_json(wallet: Wallet, currency: str) -> dict[str, object]:
    return {
        "customer": wallet.customer,
        "currency": currency,
        "bought": format_pico(wallet.bought_pico),
        "moved": format_pico(wallet.moved_pico),
        "used": format_pico(wallet.used_pico),
        "refunded": format_pico(wallet.refunded_pico),
        "expired": format_pico(wallet.expired_pico),
        "left": format_pico(wallet.closing_pico),
        "expires_ns": wallet.expires_ns,
    }
