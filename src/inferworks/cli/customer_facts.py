"""`inferworks customers rename|set|merge|show`: dated facts on record of a customer."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from inferworks.accounts.author import current_user
from inferworks.accounts.customer import (
    CustomerFact,
    currency_at,
    currency_code,
    customer_id,
    written_name,
)
from inferworks.accounts.directory import Merge, directory_of, refuse_circle
from inferworks.accounts.plan import plan_at
from inferworks.accounts.plan_file import utc_midnight_ns
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.accounts.zone import UTC, zone_name
from inferworks.books.calendar.calendars import Calendar, calendars_of
from inferworks.books.calendar.moments import utc_text
from inferworks.books.calendar.months import DAY_NS
from inferworks.books.calendar.span import utc_day
from inferworks.books.workspace.late_lines import calendar_of
from inferworks.cli.options import (
    config_option,
    data_option,
    json_option,
    moment_ns,
    read_config,
)
from inferworks.cli.show import print_json, print_table, say
from inferworks.clock import SystemClock
from inferworks.errors import UserError
from inferworks.folder import DataFolder
from inferworks.ids import CustomerId
from inferworks.wiring.accounts import change_accounts, read_accounts

_reason = click.option(
    "--reason",
    required=True,
    metavar="TEXT",
    help="Reason; it stays on record, with author and time.",
)


@click.command()
@click.argument("customer")
@click.option("--name", metavar="NAME", help='Name in statements; "" for its id again.')
@click.option("--legal-name", metavar="NAME", help='Name in contracts; "" for none.')
@click.option("--from", "effective", metavar="MOMENT", help="Start.  [default: now]")
@_reason
@config_option
@data_option
def rename(
    customer: str,
    name: str | None,
    legal_name: str | None,
    effective: str | None,
    reason: str,
    config_path: Path | None,
    data_path: Path | None,
) -> None:
    """Give a customer a display name; former names stay on record.

    The id stays, since calls are metered under it: files and JSON have both id and name. A statement shows
    the names at its end, and the statement of a closed period those at its close. Two customers of the same
    name are shown with their ids.

    \b
    Examples:
      inferworks customers rename acme --name "Acme Robotics" --reason "as they sign"
      inferworks customers rename acme --name Acmex --legal-name "Acmex SE" --from 2026-12-01 \\
        --reason "new name in the register"
    """
    if name is None and legal_name is None:
        raise click.UsageError("give --name, --legal-name, or both")
    config, now_ns = read_config(config_path, data_path), SystemClock().now_ns()
    effective_ns = now_ns if effective is None else moment_ns(effective, "--from")
    fact = CustomerFact(
        customer=customer_id(customer),
        effective_ns=effective_ns,
        recorded_ns=now_ns,
        by=current_user(),
        reason=_said(reason),
        display_name=None if name is None else written_name(name),
        legal_name=None if legal_name is None else written_name(legal_name),
    )
    with change_accounts(config, os.environ) as accounts:
        accounts.add_fact(fact)
    known = name or legal_name or customer
    say(f"{customer} is called {known} from {utc_text(effective_ns)} UTC.")


@click.command("set")
@click.argument("customer")
@click.option("--zone", metavar="ZONE", help="Time zone, such as Europe/Berlin; or UTC.")
@click.option("--currency", metavar="CODE", help="Currency of its prices, such as EUR.")
@click.option(
    "--from", "effective", metavar="DATE", help="The first day, or moment, of it.  [default: now]"
)
@_reason
@config_option
@data_option
def set_facts(
    customer: str,
    zone: str | None,
    currency: str | None,
    effective: str | None,
    reason: str,
    config_path: Path | None,
    data_path: Path | None,
) -> None:
    """Set a customer's time zone and currency.

    Tiers, fees, minimums and included units are counted by months of the time zone, and credit expires by
    its days. The books stay in UTC: usage on the evening of 30 November in New York is in the books'
    December, at the tier reached in the customer's November. The month in which a zone changes begins in
    the old zone and ends in the new one. A closed period stays as it was closed.

    Prices that begin later are in the currency. Amounts owed are computed in it, and booked at the
    exchange rate of each day; a statement shows both.

    \b
    Examples:
      inferworks customers set acme --zone Europe/Berlin --currency EUR --reason "as they sign"
      inferworks customers set burns --zone America/New_York --from 2026-12-01 --reason "moved"
    """
    if zone is None and currency is None:
        raise click.UsageError("give --zone, --currency, or both")
    config = read_config(config_path, data_path)
    folder, now_ns = DataFolder(Path(config.data.folder)), SystemClock().now_ns()
    wanted, until_ns = customer_id(customer), calendar_of(folder).closed_until_ns
    with change_accounts(config, os.environ) as accounts:
        known = [fact for fact in accounts.facts() if fact.customer == wanted]
        known.sort(key=lambda fact: fact.effective_ns)
        clock = zone_at(known, now_ns) if zone is None else zone_name(zone)
        effective_ns = now_ns if effective is None else _first_ns(effective, clock, until_ns)
        if zone is not None:
            _refuse_closed(effective_ns, until_ns, "let it hold from that day on")
        if currency is not None:
            _refuse_credit(accounts, wanted, currency_code(currency), config.books.currency)
        said = _said(reason)
        accounts.add_fact(
            clock_and_currency(wanted, zone and clock, currency, effective_ns, now_ns, said)
        )
        facts, plans = accounts.facts(), accounts.plans()
    note_merged(facts, wanted, effective_ns, "the other's clock and prices count")
    since = f"from {utc_text(effective_ns)} UTC"
    if zone is not None:
        month = calendars_of(directory_of(facts)).of(wanted).month(effective_ns)
        ends = f"the month then ends at {utc_text(month.end_ns)} UTC"
        say(f"{customer} pays by the clock of {clock} {since}; {ends}.")
    if currency is not None:
        say(f"{customer} has its prices in {currency} {since}.")
        plan = plan_at(plans, wanted, effective_ns)
        if plan is not None and plan.currency != currency:
            say(
                f"Note: its plan in force then is in {plan.currency}, and goes on until one in {currency} "
                "begins; see: inferworks customers price --help",
                err=True,
            )


def clock_and_currency(
    customer: CustomerId,
    zone: str | None,
    currency: str | None,
    effective_ns: int,
    now_ns: int,
    reason: str,
) -> CustomerFact:
    """Return the fact, recorded now, that sets the time zone and currency of `customer`."""
    return CustomerFact(
        customer=customer,
        effective_ns=effective_ns,
        recorded_ns=now_ns,
        by=current_user(),
        reason=reason,
        zone=zone,
        currency=currency,
    )


def _refuse_credit(
    accounts: SqliteAccounts, customer: CustomerId, currency: str, books: str
) -> None:
    """UserError when a customer would pay in another currency than that of the `books`, and its credit."""
    heirs = {fact.customer for fact in accounts.facts() if fact.merged_into == customer}
    if currency != books and any(one.customer in {customer, *heirs} for one in accounts.credits()):
        raise UserError(
            f"{customer} has bought credit, which is in {books}: it cannot pay in {currency}; pay it back "
            "and give it another id for that, or price it in the currency of the books"
        )


@click.command()
@click.argument("customer")
@click.option("--into", metavar="CUSTOMER", help="Customer as which it counts from then on.")
@click.option("--undo", is_flag=True, help="Let it stand on its own again from then on.")
@click.option("--from", "effective", required=True, metavar="DATE", help="The first day (UTC).")
@_reason
@config_option
@data_option
def merge(
    customer: str,
    into: str | None,
    undo: bool,
    effective: str,
    reason: str,
    config_path: Path | None,
    data_path: Path | None,
) -> None:
    """Count a customer as another from a day on: one bought the other, or both were one all along.

    From that day its calls and activities belong to the other, at the other's prices and in the other's
    tiers. Its own plan ends, its subscription and minimum are prorated, and its remaining credit passes to
    the other. Earlier usage is not moved. The day cannot lie in a closed period.

    \b
    Examples:
      inferworks customers merge burns --into acme --from 2026-12-01 --reason "bought by acme"
      inferworks customers merge burns --undo --from 2026-12-01 --reason "it was another Burns"
    """
    if (into is None) is not undo:
        raise click.UsageError("give --into CUSTOMER, or --undo")
    config = read_config(config_path, data_path)
    folder = DataFolder(Path(config.data.folder))
    effective_ns = moment_ns(effective, "--from")
    merged = customer_id(customer)
    survivor = merged if into is None else customer_id(into)
    if effective_ns % DAY_NS:
        raise UserError("--from: a merge begins with a day (UTC), for fees and credit go by days")
    _refuse_closed(effective_ns, calendar_of(folder).closed_until_ns, "merge from that day on")
    with change_accounts(config, os.environ) as accounts:
        directory = directory_of(accounts.facts())
        now = directory.into(merged, effective_ns)
        if survivor == now:
            raise UserError(
                f"{merged} stands on its own on {utc_day(effective_ns)} already"
                if now == merged
                else f"{merged} counts as {now} on {utc_day(effective_ns)} already"
            )
        refuse_circle(directory, Merge(merged, effective_ns, survivor))
        _refuse_currencies(accounts, merged, survivor, effective_ns, config.books.currency)
        accounts.add_fact(
            CustomerFact(
                customer=merged,
                effective_ns=effective_ns,
                recorded_ns=SystemClock().now_ns(),
                by=current_user(),
                reason=_said(reason),
                merged_into=survivor,
            )
        )
        has_plan = plan_at(accounts.plans(), survivor, effective_ns) is not None
    day = utc_day(effective_ns)
    if undo:
        say(f"{merged} stands on its own again from {day}.")
    else:
        say(f"{merged} counts as {survivor} from {day}.")
    if not has_plan:
        say(
            f"Note: {survivor} has no price plan in force then; what it uses earns nothing.",
            err=True,
        )


@click.command()
@click.argument("customer")
@config_option
@data_option
@json_option
def show(customer: str, config_path: Path | None, data_path: Path | None, as_json: bool) -> None:
    """Show the record of a customer: each fact with its start, its author and its reason.

    \b
    Example:
      inferworks customers show acme
    """
    config, wanted = read_config(config_path, data_path), customer_id(customer)
    currency = config.books.currency
    with read_accounts(config) as accounts:
        if not accounts.has_customer(wanted):
            raise UserError(f"there is no customer {customer}; see: inferworks customers list")
        facts = accounts.facts()
    directory = directory_of(facts)
    own = sorted(
        (fact for fact in facts if fact.customer == wanted), key=lambda fact: fact.effective_ns
    )
    others = [fact for fact in facts if fact.merged_into == wanted and fact.customer != wanted]
    now_ns = SystemClock().now_ns()
    survivor = directory.survivor(wanted, now_ns)
    now = {
        "name": _last(own, "display_name", now_ns),
        "legal_name": _last(own, "legal_name", now_ns),
        "zone": zone_at(own, now_ns),
        "currency": currency_at(own, wanted, now_ns, currency),
        "counts_as": survivor,
    }
    if as_json:
        print_json({"customer": wanted, **now, "facts": own, "merged_with_it": others})
        return
    say(f"Customer {wanted}")
    for caption, text in (
        ("name", now["name"]),
        ("legal name", now["legal_name"]),
        ("time zone", now["zone"]),
        ("counts as", survivor if survivor != wanted else None),
        ("prices in", now["currency"]),
    ):
        if text:
            say(f"  {caption}: {text}")
    rows = [
        (
            utc_text(fact.effective_ns) if fact.effective_ns else "always",
            *(what, utc_day(fact.recorded_ns), fact.by, fact.reason),
        )
        for fact in (*own, *others)
        for what in _told(fact)
    ]
    if rows:
        say()
        print_table(("FROM", "WHAT", "RECORDED", "BY", "REASON"), rows)


def note_merged(facts: Iterable[CustomerFact], customer: CustomerId, at_ns: int, what: str) -> None:
    """Print a note when `what` is entered for a customer that counts as another then."""
    survivor = directory_of(facts).survivor(customer, at_ns)
    if survivor != customer:
        say(f"Note: {customer} counts as {survivor} then; {what}", err=True)


def zone_at(facts: Iterable[CustomerFact], at_ns: int) -> str:
    """Return the time zone at a moment of the customer of `facts`, which are in order of time."""
    return _last(list(facts), "zone", at_ns) or UTC


def _last(facts: list[CustomerFact], field: str, at_ns: int) -> str | None:
    said = [getattr(fact, field) for fact in facts if fact.effective_ns <= at_ns]
    return next((text or None for text in reversed(said) if text is not None), None)


def _told(fact: CustomerFact) -> Iterator[str]:
    if fact.display_name is not None:
        yield f"name: {fact.display_name or '-'}"
    if fact.legal_name is not None:
        yield f"legal name: {fact.legal_name or '-'}"
    if fact.zone is not None:
        yield f"time zone: {fact.zone}"
    if fact.currency is not None:
        yield f"prices in {fact.currency}"
    if fact.merged_into == fact.customer:
        yield f"{fact.customer} on its own again"
    elif fact.merged_into is not None:
        yield f"{fact.customer} counts as {fact.merged_into}"


def _refuse_currencies(
    accounts: SqliteAccounts, merged: CustomerId, into: CustomerId, at_ns: int, books: str
) -> None:
    """UserError when two customers pay in two currencies from `at_ns` on."""
    facts, plans = accounts.facts(), accounts.plans()

    def pays_in(customer: CustomerId) -> set[str]:
        plan = plan_at(plans, customer, at_ns)
        later = (one for one in plans if one.customer == customer and one.effective_ns > at_ns)
        found = {one.currency for one in (*((plan,) if plan else ()), *later)}
        return found or {currency_at(facts, customer, at_ns, books)}

    one, other = (" and ".join(sorted(pays_in(customer))) for customer in (merged, into))
    if one != other:
        raise UserError(
            f"{merged} pays in {one}, {into} in {other}: a customer is merged with one that pays in the "
            "same currency; give it prices in that first: inferworks customers set --currency"
        )


def _refuse_closed(effective_ns: int, until_ns: int | None, advice: str) -> None:
    """Raise UserError when a moment lies in a closed period."""
    if until_ns is not None and effective_ns < until_ns:
        raise UserError(
            f"--from {utc_day(effective_ns)}: it is closed until {utc_day(until_ns)}, and what is closed "
            f"stays; {advice}, or reopen first: inferworks books reopen"
        )


def _first_ns(text: str, zone: str, until_ns: int | None) -> int:
    """The moment `text`; a date begins by the clock of `zone`, but not within a day that is closed."""
    try:
        date = dt.date.fromisoformat(text)
    except ValueError:
        return moment_ns(text, "--from")
    own_ns, utc_ns = Calendar([(0, zone)]).begins_ns(date), utc_midnight_ns(date)
    return until_ns if until_ns is not None and own_ns < until_ns <= utc_ns else own_ns


def _said(reason: str) -> str:
    if not reason.strip():
        raise UserError("say why, with --reason")
    return reason.strip()
