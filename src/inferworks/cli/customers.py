"""`inferworks customers`: customers, their names, prices and prepaid credit."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path

import click

from inferworks.accounts.customer import (
    Customer,
    CustomerFact,
    currency_at,
    currency_code,
    customer_id,
)
from inferworks.accounts.directory import directory_of
from inferworks.accounts.plan import PricePlan, Terms, plan_at
from inferworks.accounts.plan_file import read_plan
from inferworks.accounts.zone import UTC, zone_name
from inferworks.books.calendar.calendars import Calendar, calendars_of
from inferworks.books.calendar.moments import utc_text
from inferworks.books.calendar.span import utc_day
from inferworks.books.workspace.late_lines import calendar_of
from inferworks.cli.credits import credit, list_credits, void
from inferworks.cli.customer_facts import (
    clock_and_currency,
    merge,
    note_merged,
    rename,
    set_facts,
    show,
)
from inferworks.cli.options import (
    FilePath,
    config_option,
    data_option,
    json_option,
    moment_ns,
    read_config,
)
from inferworks.cli.show import print_json, print_table, say
from inferworks.cli.wallets import list_wallets
from inferworks.clock import SystemClock
from inferworks.errors import MoneyError, UserError
from inferworks.files import text_of
from inferworks.folder import DataFolder
from inferworks.ids import ModelId
from inferworks.money import Rate, parse_pico
from inferworks.units import Unit
from inferworks.wiring.accounts import change_accounts, read_accounts


@click.group()
def customers() -> None:
    """Create customers, name and merge them, set clocks and prices, sell them credit."""


def _price(_: click.Context, option: click.Parameter, text: str | None) -> str | None:
    """Return `text`, a price per million tokens; UsageError when it is no number."""
    if text is not None:
        try:
            parse_pico(text)
        except MoneyError as error:
            raise click.BadParameter(str(error), param=option) from error
    return text


_input = click.option(
    "--input-price", metavar="PRICE", callback=_price, help="Price per million input tokens."
)
_output = click.option(
    "--output-price", metavar="PRICE", callback=_price, help="Price per million output tokens."
)
_plan_option = click.option(
    "--plan",
    "plan_path",
    type=FilePath(folders=False),
    help="A price plan (TOML), instead of the two prices.",
)


@customers.command()
@click.argument("name")
@_input
@_output
@_plan_option
@click.option("--zone", metavar="ZONE", help="Time zone.  [default: UTC]")
@click.option(
    "--currency", metavar="CODE", help="Currency of its prices.  [default: that of the books]"
)
@config_option
@data_option
def create(
    name: str,
    input_price: str | None,
    output_price: str | None,
    plan_path: Path | None,
    zone: str | None,
    currency: str | None,
    config_path: Path | None,
    data_path: Path | None,
) -> None:
    """Create a customer; without prices its calls earn nothing.

    \b
    Examples:
      inferworks customers create acme --input-price 0.50 --output-price 1.50
      inferworks customers create burns --plan plan.toml --zone Europe/Berlin --currency EUR
      inferworks customers create lab
    """
    config = read_config(config_path, data_path)
    customer = Customer(customer_id(name), SystemClock().now_ns())
    folder = DataFolder(Path(config.data.folder))
    facts: tuple[CustomerFact, ...] = ()
    if zone is not None or currency is not None:
        clock = None if zone is None else zone_name(zone)
        code = None if currency is None else currency_code(currency)
        since_ns = calendar_of(folder).closed_until_ns or 0  # from its start, unless that is closed
        made_ns = customer.created_ns
        facts = (clock_and_currency(customer.id, clock, code, since_ns, made_ns, ""),)
    calendar = calendars_of(directory_of(facts)).of(customer.id)
    paid_in = currency or config.books.currency
    plan = _plan(customer, lambda _: paid_in, calendar, input_price, output_price, plan_path)
    folder.create()
    with change_accounts(config, os.environ) as accounts:
        accounts.add_customer(customer, plan)
        for fact in facts:
            accounts.add_fact(fact)
    say(f"Customer {name} created.")
    if plan is not None:
        _note_closed(plan, folder)


@customers.command()
@click.argument("name")
@_input
@_output
@_plan_option
@config_option
@data_option
def price(
    name: str,
    input_price: str | None,
    output_price: str | None,
    plan_path: Path | None,
    config_path: Path | None,
    data_path: Path | None,
) -> None:
    """Set a customer's prices, from now or from the plan's own date on; past calls keep theirs.

    A plan with the same start as an existing one replaces it, which corrects a typing error; the old one
    stays on record. Closed periods keep the prices with which they were closed.

    \b
    Examples:
      inferworks customers price acme --input-price 0.60 --output-price 1.80
      inferworks customers price acme --plan plan.toml
    """
    config = read_config(config_path, data_path)
    now_ns = SystemClock().now_ns()
    customer = Customer(customer_id(name), now_ns)
    with change_accounts(config, os.environ) as accounts:
        facts, usual = accounts.facts(), config.books.currency
        calendar = calendars_of(directory_of(facts)).of(customer.id)
        plan = _plan(
            customer,
            lambda at_ns: currency_at(facts, customer.id, at_ns, usual),
            calendar,
            input_price,
            output_price,
            plan_path,
        )
        if plan is None:
            raise click.UsageError("give --input-price and --output-price, or --plan")
        moment = (plan.customer, plan.effective_ns)
        if moment in ((one.customer, one.effective_ns) for one in accounts.plans()):
            old = accounts.replace_plan(plan, now_ns)
            say(f"The plan of {name} with SHA-256 {old.terms.sha256[:12]} is withdrawn.")
        else:
            accounts.add_plan(plan)
    note_merged(facts, plan.customer, plan.effective_ns, "its own plans do not hold")
    say(f"New prices of {name} are in force from {utc_text(plan.effective_ns)} UTC.")
    _note_closed(plan, DataFolder(Path(config.data.folder)))


@customers.command()
@click.argument("name")
@click.option(
    "--from",
    "effective",
    required=True,
    metavar="MOMENT",
    help="Start of the plan, as `inferworks customers plans` or its file has it.",
)
@config_option
@data_option
def withdraw(name: str, effective: str, config_path: Path | None, data_path: Path | None) -> None:
    """Withdraw a price plan that was a mistake: the one before it goes on.

    The plan stays on record, and periods closed with it stay as they were closed.

    \b
    Example:
      inferworks customers withdraw acme --from 2026-12-01
    """
    config = read_config(config_path, data_path)
    with change_accounts(config, os.environ) as accounts:
        calendar = calendars_of(directory_of(accounts.facts())).of(customer_id(name))
        try:  # a date begins by the customer's calendar, as it does in the file of a plan
            begun_ns = calendar.begins_ns(dt.date.fromisoformat(effective))
        except ValueError:
            begun_ns = moment_ns(effective, "--from")
        old = accounts.withdraw_plan(customer_id(name), begun_ns, SystemClock().now_ns())
    say(f"The plan of {name} from {utc_text(old.effective_ns)} UTC is withdrawn.")
    _note_closed(old, DataFolder(Path(config.data.folder)))


@customers.command("list")
@config_option
@data_option
@json_option
def list_customers(config_path: Path | None, data_path: Path | None, as_json: bool) -> None:
    """List customers and their current prices."""
    config = read_config(config_path, data_path)
    with read_accounts(config) as accounts:
        found, plans, facts = accounts.customers(), accounts.plans(), accounts.facts()
    now_ns = SystemClock().now_ns()
    directory = directory_of(facts)
    called = {one.customer: one.name for one in directory.names if one.from_ns <= now_ns}
    zones = {one.customer: one.zone for one in directory.zones if one.from_ns <= now_ns}
    zone_column = ("ZONE",) if zones else ()
    described: list[dict[str, object]] = []
    rows: list[tuple[str, ...]] = []
    for customer in found:
        name, zone = called.get(customer.id) or None, zones.get(customer.id, UTC)
        survivor = directory.survivor(customer.id, now_ns)
        plan = plan_at(plans, survivor, now_ns)
        per_input, per_output = _per_million(plan.terms) if plan else (None, None)
        described.append(
            {
                "customer": customer.id,
                "input_price_per_million": per_input,
                "output_price_per_million": per_output,
                "currency": plan.currency if plan else None,
                "plan_sha256": plan.terms.sha256 if plan else None,
                "name": name,
                "counts_as": survivor,
                "zone": zone,
            }
        )
        merged = "" if survivor == customer.id else f"counts as {survivor}"
        prices = (text or ("see plan" if plan else "-") for text in (per_input, per_output))
        rows.append(
            (
                *(customer.id, ", ".join(filter(None, (name, merged))) or "-"),
                *(zone for _ in zone_column),
                *prices,
                *((plan.currency, plan.terms.sha256[:12]) if plan else ("-", "-")),
            )
        )
    if as_json:
        print_json(described)
        return
    columns = ("CUSTOMER", "NAME", *zone_column, "INPUT/M", "OUTPUT/M", "CURRENCY", "PLAN")
    print_table(columns, rows, right="INPUT/M OUTPUT/M")


@customers.command("plans")
@click.argument("name")
@config_option
@data_option
@json_option
def list_plans(name: str, config_path: Path | None, data_path: Path | None, as_json: bool) -> None:
    """List every price plan a customer has had, with the hash its amounts carry."""
    config = read_config(config_path, data_path)
    with read_accounts(config) as accounts:
        if not accounts.has_customer(customer_id(name)):
            raise UserError(f"there is no customer {name}; see: inferworks customers list")
        found: list[tuple[PricePlan, int | None]] = [(plan, None) for plan in accounts.plans()]
        found += [(one.plan, one.withdrawn_ns) for one in accounts.withdrawn_plans()]
    own = [pair for pair in found if pair[0].customer == customer_id(name)]
    own.sort(key=lambda pair: (pair[0].effective_ns, pair[1] or 2**63))
    if as_json:
        print_json(
            [
                {
                    "customer": plan.customer,
                    "effective_ns": plan.effective_ns,
                    "sha256": plan.terms.sha256,
                    "terms": plan.terms,
                    "withdrawn_ns": at_ns,
                }
                for plan, at_ns in own
            ]
        )
        return
    if not own:
        say(f"{name} has no price plan; give it one with: inferworks customers price {name}")
        return
    rows = [
        (
            *(f"{utc_text(plan.effective_ns)} UTC", plan.terms.name or "-", plan.currency),
            *(plan.terms.sha256[:12], "-" if at_ns is None else utc_day(at_ns)),
        )
        for plan, at_ns in own
    ]
    print_table(("FROM", "NAME", "CURRENCY", "SHA-256", "WITHDRAWN"), rows)


customers.add_command(rename)
customers.add_command(set_facts)
customers.add_command(merge)
customers.add_command(show)
customers.add_command(credit)
customers.add_command(list_credits)
customers.add_command(void)
customers.add_command(list_wallets)


def _plan(
    customer: Customer,
    paid_in: Callable[[int], str],
    calendar: Calendar,
    input_price: str | None,
    output_price: str | None,
    plan_path: Path | None,
) -> PricePlan | None:
    """The plan that the options give, in force from the customer's moment unless its file has one."""
    match input_price, output_price, plan_path:
        case None, None, None:
            return None
        case None, None, Path() as path:
            file = read_plan(text_of(path, "plan file"), path.name, calendar.begins_ns)
            begins_ns = customer.created_ns if file.effective_ns is None else file.effective_ns
            terms, currency = file.terms, paid_in(begins_ns)
            if terms.currency != currency:
                raise UserError(
                    f"{path.name}: in {terms.currency}, {customer.id} pays in {currency}; state the prices "
                    f"in that, or first: inferworks customers set {customer.id} --currency {terms.currency}"
                )
            return PricePlan(customer.id, begins_ns, terms)
        case str(per_input), str(per_output), None:
            now_ns, currency = customer.created_ns, paid_in(customer.created_ns)
            return PricePlan.per_million(customer.id, now_ns, currency, per_input, per_output)
    raise click.UsageError("give both --input-price and --output-price, or --plan alone")


def _note_closed(plan: PricePlan, folder: DataFolder) -> None:
    """Say so when `plan` begins inside a closed period, which keeps the prices that were sealed."""
    calendar = calendar_of(folder)
    until_ns = calendar.closed_until_ns
    if until_ns is not None and plan.effective_ns < until_ns:
        say(
            f"Note: {calendar.holding(plan.effective_ns).name} is closed and keeps its prices; the new "
            f"ones count from {utc_text(until_ns)} UTC on. To charge it anew, reopen it: "
            "inferworks books reopen",
            err=True,
        )


def _per_million(terms: Terms) -> tuple[str | None, str | None]:
    """Return prices per million input and output tokens of any model; None where there is no single one."""
    any_model = ModelId("")
    rates = (terms.rate_of(unit, any_model) for unit in (Unit.INPUT_TOKENS, Unit.OUTPUT_TOKENS))
    per_input, per_output = (
        None if pico is None else Rate(pico, terms.currency).per_million_text() for pico in rates
    )
    return per_input, per_output
