"""`inferworks customers`: who is charged, at what price, and what they paid ahead."""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from pathlib import Path

import click

from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import Customer, customer_id
from inferworks.accounts.plan import PricePlan, Terms, plan_at
from inferworks.accounts.plan_file import read_plan
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.cli.books.late_lines import calendar_of
from inferworks.cli.options import config_option, data_folder, data_option, json_option, read_config
from inferworks.cli.show import print_json, print_table
from inferworks.cli.wallets import list_wallets
from inferworks.clock import SystemClock
from inferworks.errors import UserError
from inferworks.folder import DataFolder
from inferworks.ids import ModelId, new_id
from inferworks.money import Rate, format_pico, parse_pico
from inferworks.units import NS_PER_SECOND, Unit


@click.group()
def customers() -> None:
    """Create customers, set their prices, sell them credit."""


_input = click.option("--input-price", metavar="PRICE", help="Price per million input tokens.")
_output = click.option("--output-price", metavar="PRICE", help="Price per million output tokens.")
_plan_option = click.option(
    "--plan",
    "plan_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A price plan (TOML), instead of the two prices.",
)


@customers.command()
@click.argument("name")
@_input
@_output
@_plan_option
@config_option
@data_option
def create(
    name: str,
    input_price: str | None,
    output_price: str | None,
    plan_path: Path | None,
    config_path: Path | None,
    data_path: Path | None,
) -> None:
    """Create a customer; without prices its calls earn nothing.

    \b
    Examples:
      inferworks customers create acme --input-price 0.50 --output-price 1.50
      inferworks customers create burns --plan plan.toml
      inferworks customers create lab
    """
    config = read_config(config_path, data_path)
    customer = Customer(customer_id(name), SystemClock().now_ns())
    plan = _plan(customer, config.books.currency, input_price, output_price, plan_path)
    folder = DataFolder(Path(config.data.folder))
    folder.create()
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        accounts.add_customer(customer, plan)
    click.echo(f"Customer {name} created.")
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

    \b
    Examples:
      inferworks customers price acme --input-price 0.60 --output-price 1.80
      inferworks customers price acme --plan plan.toml
    """
    config = read_config(config_path, data_path)
    customer = Customer(customer_id(name), SystemClock().now_ns())
    plan = _plan(customer, config.books.currency, input_price, output_price, plan_path)
    if plan is None:
        raise click.UsageError("give --input-price and --output-price, or --plan")
    with closing(SqliteAccounts(DataFolder(Path(config.data.folder)).accounts)) as accounts:
        accounts.add_plan(plan)
    click.echo(f"New prices of {name} are in force from {_date(plan.effective_ns)}.")
    _note_closed(plan, DataFolder(Path(config.data.folder)))


@customers.command("list")
@config_option
@data_option
@json_option
def list_customers(config_path: Path | None, data_path: Path | None, as_json: bool) -> None:
    """List the customers with their prices of today."""
    folder = data_folder(config_path, data_path)
    with closing(SqliteAccounts(folder.accounts, read_only=True)) as accounts:
        found, plans = accounts.customers(), accounts.plans()
    now_ns = SystemClock().now_ns()
    rows = [(c, plan_at(plans, c.id, now_ns)) for c in found]
    if as_json:
        print_json([_as_json(customer, plan) for customer, plan in rows])
        return
    columns = ("CUSTOMER", "INPUT/M", "OUTPUT/M", "CURRENCY", "PLAN")
    print_table(columns, [_as_row(c, plan) for c, plan in rows], right="INPUT/M OUTPUT/M")


@customers.command("plans")
@click.argument("name")
@config_option
@data_option
@json_option
def list_plans(name: str, config_path: Path | None, data_path: Path | None, as_json: bool) -> None:
    """List every price plan a customer ever had, with the hash that its amounts carry."""
    folder = data_folder(config_path, data_path)
    with closing(SqliteAccounts(folder.accounts, read_only=True)) as accounts:
        plans = [plan for plan in accounts.plans() if plan.customer == customer_id(name)]
    if as_json:
        print_json([_plan_json(plan) for plan in plans])
        return
    rows = [
        (_date(p.effective_ns), p.terms.name or "-", p.currency, p.terms.sha256[:12]) for p in plans
    ]
    print_table(("FROM", "NAME", "CURRENCY", "SHA-256"), rows)


@customers.command()
@click.argument("name")
@click.option("--amount", required=True, metavar="AMOUNT", help="What was paid ahead.")
@click.option(
    "--expires",
    type=click.DateTime(["%Y-%m-%d"]),
    help="The day (UTC) from which it can no longer be used.",
)
@config_option
@data_option
def credit(
    name: str,
    amount: str,
    expires: dt.datetime | None,
    config_path: Path | None,
    data_path: Path | None,
) -> None:
    """Sell a customer credit. It is owed to the customer until it is used, or expires.

    \b
    Example:
      inferworks customers credit acme --amount 100.00 --expires 2027-11-01
    """
    config = read_config(config_path, data_path)
    bought = Credit(
        id=new_id("credit"),
        customer=customer_id(name),
        bought_ns=SystemClock().now_ns(),
        amount_pico=parse_pico(amount),
        currency=config.books.currency,
        expires_ns=None if expires is None else _midnight_ns(expires),
    )
    with closing(SqliteAccounts(DataFolder(Path(config.data.folder)).accounts)) as accounts:
        accounts.add_credit(bought)
    click.echo(f"{name} has {format_pico(bought.amount_pico)} {bought.currency} more credit.")


customers.add_command(list_wallets)


def _plan(
    customer: Customer,
    currency: str,
    input_price: str | None,
    output_price: str | None,
    plan_path: Path | None,
) -> PricePlan | None:
    """The plan that the options give, in force from the customer's moment unless its file has one."""
    match input_price, output_price, plan_path:
        case None, None, None:
            return None
        case None, None, Path() as path:
            return _plan_from(path, customer, currency)
        case str(per_input), str(per_output), None:
            now_ns = customer.created_ns
            return PricePlan.per_million(customer.id, now_ns, currency, per_input, per_output)
    raise click.UsageError("give both --input-price and --output-price, or --plan alone")


def _plan_from(path: Path, customer: Customer, currency: str) -> PricePlan:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the plan file {path}: {error}") from error
    file = read_plan(text, path.name)
    if file.terms.currency != currency:
        raise UserError(
            f"{path.name}: in {file.terms.currency}, the books are kept in {currency}; "
            "state the prices in that"
        )
    begins_ns = customer.created_ns if file.effective_ns is None else file.effective_ns
    return PricePlan(customer.id, begins_ns, file.terms)


def _note_closed(plan: PricePlan, folder: DataFolder) -> None:
    """Say so when `plan` begins inside a closed period, which keeps the prices that were sealed."""
    calendar = calendar_of(folder)
    until_ns = calendar.closed_until_ns
    if until_ns is not None and plan.effective_ns < until_ns:
        click.echo(
            f"Note: {calendar.holding(plan.effective_ns).name} is closed and keeps its prices; the new "
            f"ones count from {_date(until_ns)} on. To charge it anew, reopen it: inferworks books reopen",
            err=True,
        )


def _as_row(customer: Customer, plan: PricePlan | None) -> tuple[str, ...]:
    if plan is None:
        return customer.id, "-", "-", "-", "-"
    prices = (text or "see plan" for text in _per_million(plan.terms))
    return customer.id, *prices, plan.currency, plan.terms.sha256[:12]


def _as_json(customer: Customer, plan: PricePlan | None) -> dict[str, object]:
    per_input, per_output = _per_million(plan.terms) if plan else (None, None)
    return {
        "customer": customer.id,
        "input_price_per_million": per_input,
        "output_price_per_million": per_output,
        "currency": plan.currency if plan else None,
        "plan_sha256": plan.terms.sha256 if plan else None,
    }


def _per_million(terms: Terms) -> tuple[str | None, str | None]:
    """What a million input and output tokens of any model cost, where that is one price."""
    any_model = ModelId("")
    rates = (terms.rate_of(unit, any_model) for unit in (Unit.INPUT_TOKENS, Unit.OUTPUT_TOKENS))
    per_input, per_output = (
        None if pico is None else Rate(pico, terms.currency).per_million_text() for pico in rates
    )
    return per_input, per_output


def _plan_json(plan: PricePlan) -> dict[str, object]:
    return {
        "customer": plan.customer,
        "effective_ns": plan.effective_ns,
        "sha256": plan.terms.sha256,
        "terms": plan.terms,
    }


def _midnight_ns(day: dt.datetime) -> int:
    return int(day.replace(tzinfo=dt.UTC).timestamp()) * NS_PER_SECOND


def _date(at_ns: int) -> str:
    moment = dt.datetime.fromtimestamp(at_ns // NS_PER_SECOND, dt.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
