"""`inferworks customers`: who is charged, and at what price."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from inferworks.accounts.customer import Customer, customer_id
from inferworks.accounts.plan import PricePlan, plan_at
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.cli.options import config_option, data_option, json_option, read_config
from inferworks.cli.show import print_json, print_table
from inferworks.clock import SystemClock
from inferworks.folder import DataFolder
from inferworks.money import Rate


@click.group()
def customers() -> None:
    """Create customers and set their prices."""


_input = click.option("--input-price", metavar="PRICE", help="Price per million input tokens.")
_output = click.option("--output-price", metavar="PRICE", help="Price per million output tokens.")


@customers.command()
@click.argument("name")
@_input
@_output
@config_option
@data_option
def create(
    name: str,
    input_price: str | None,
    output_price: str | None,
    config_path: Path | None,
    data_path: Path | None,
) -> None:
    """Create a customer; without prices its calls earn nothing.

    \b
    Examples:
      inferworks customers create acme --input-price 0.50 --output-price 1.50
      inferworks customers create lab
    """
    config = read_config(config_path, data_path)
    now_ns = SystemClock().now_ns()
    customer = Customer(customer_id(name), now_ns)
    plan = _plan(customer, now_ns, config.books.currency, input_price, output_price)
    folder = DataFolder(Path(config.data.folder))
    folder.create()
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        accounts.add_customer(customer, plan)
    click.echo(f"Customer {name} created.")


@customers.command()
@click.argument("name")
@_input
@_output
@config_option
@data_option
def price(
    name: str,
    input_price: str | None,
    output_price: str | None,
    config_path: Path | None,
    data_path: Path | None,
) -> None:
    """Set a customer's prices from now on; past calls keep theirs.

    \b
    Example:
      inferworks customers price acme --input-price 0.60 --output-price 1.80
    """
    config = read_config(config_path, data_path)
    now_ns = SystemClock().now_ns()
    customer = Customer(customer_id(name), now_ns)
    plan = _plan(customer, now_ns, config.books.currency, input_price, output_price)
    if plan is None:
        raise click.UsageError("give --input-price and --output-price")
    with closing(SqliteAccounts(DataFolder(Path(config.data.folder)).accounts)) as accounts:
        accounts.add_plan(plan)
    click.echo(f"New prices of {name} are in force from now.")


@customers.command("list")
@config_option
@data_option
@json_option
def list_customers(config_path: Path | None, data_path: Path | None, as_json: bool) -> None:
    """List the customers with their prices of today."""
    folder = DataFolder(Path(read_config(config_path, data_path).data.folder))
    with closing(SqliteAccounts(folder.accounts, read_only=True)) as accounts:
        found, plans = accounts.customers(), accounts.plans()
    now_ns = SystemClock().now_ns()
    rows = [(c, plan_at(plans, c.id, now_ns)) for c in found]
    if as_json:
        print_json([_as_json(customer, plan) for customer, plan in rows])
        return
    columns = ("CUSTOMER", "INPUT/M", "OUTPUT/M", "CURRENCY")
    print_table(columns, [_as_row(c, plan) for c, plan in rows], right="INPUT/M OUTPUT/M")


def _plan(
    customer: Customer,
    now_ns: int,
    currency: str,
    input_price: str | None,
    output_price: str | None,
) -> PricePlan | None:
    if input_price is None and output_price is None:
        return None
    if input_price is None or output_price is None:
        raise click.UsageError("give both --input-price and --output-price, or neither")
    return PricePlan.per_million(customer.id, now_ns, currency, input_price, output_price)


def _prices(plan: PricePlan) -> tuple[str, str]:
    rates = (plan.input_pico_per_token, plan.output_pico_per_token)
    per_input, per_output = (Rate(pico, plan.currency).per_million_text() for pico in rates)
    return per_input, per_output


def _as_row(customer: Customer, plan: PricePlan | None) -> tuple[str, ...]:
    if plan is None:
        return customer.id, "-", "-", "-"
    return customer.id, *_prices(plan), plan.currency


def _as_json(customer: Customer, plan: PricePlan | None) -> dict[str, object]:
    per_input, per_output = _prices(plan) if plan else (None, None)
    return {
        "customer": customer.id,
        "input_price_per_million": per_input,
        "output_price_per_million": per_output,
        "currency": plan.currency if plan else None,
    }
