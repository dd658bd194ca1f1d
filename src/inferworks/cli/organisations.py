"""`inferworks organisations`: groups of customers."""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec

from inferworks.accounts.customer import customer_id
from inferworks.accounts.organisation import Organisation, organisation_id
from inferworks.cli.options import config_option, data_folder, data_option, json_option, read_config
from inferworks.cli.show import iso, print_json, print_table, say
from inferworks.clock import SystemClock
from inferworks.errors import UserError
from inferworks.wiring.accounts import change_accounts, read_accounts


@click.group()
def organisations() -> None:
    """Create organisations, and put customers into them."""


@organisations.command()
@click.argument("name")
@click.option("--called", default="", metavar="NAME", help="Name for people.")
@config_option
@data_option
def create(name: str, called: str, config_path: Path | None, data_path: Path | None) -> None:
    """Create an organisation, a group of customers.

    \b
    Examples:
      inferworks organisations create acme-group
      inferworks organisations create acme-group --called "Acme Group"
    """
    config = read_config(config_path, data_path)
    data_folder(config_path, data_path).create()
    made = Organisation(organisation_id(name), SystemClock().now_ns(), called)
    with change_accounts(config, os.environ) as accounts:
        accounts.add_organisation(made)
    say(f"Organisation {made.id} created.")


@organisations.command("list")
@config_option
@data_option
@json_option
def list_organisations(config_path: Path | None, data_path: Path | None, as_json: bool) -> None:
    """List organisations."""
    with read_accounts(read_config(config_path, data_path)) as accounts:
        found = accounts.organisations()
    if as_json:
        print_json([_as_json(one) for one in found])
        return
    rows = [(one.id, one.name, "open" if one.closed_ns is None else "closed") for one in found]
    print_table(("ORGANISATION", "NAME", "STATE"), rows)


@organisations.command()
@click.argument("name")
@config_option
@data_option
@json_option
def show(name: str, config_path: Path | None, data_path: Path | None, as_json: bool) -> None:
    """Show an organisation and its customers.

    \b
    Example:
      inferworks organisations show acme-group
    """
    with read_accounts(read_config(config_path, data_path)) as accounts:
        found = _named(accounts.organisations(), name)
        inside = [
            one.id for one in accounts.customers() if accounts.organisation_of(one.id) == name
        ]
    if as_json:
        print_json({**_as_json(found), "customers": inside})
        return
    say(f"{found.id}{f' ({found.name})' if found.name else ''}")
    print_table(("CUSTOMER",), [(customer,) for customer in inside])


@organisations.command()
@click.argument("name")
@click.option("--called", metavar="NAME", help="Name for people.")
@click.option("--close/--reopen", "closes", default=None, help="Take customers no more, or again.")
@config_option
@data_option
def change(
    name: str, called: str | None, closes: bool | None, config_path: Path | None,
    data_path: Path | None,
) -> None:  # fmt: skip
    """Rename an organisation, close it, or open it again.

    \b
    Examples:
      inferworks organisations change acme-group --called "Acme Holdings"
      inferworks organisations change acme-group --close
    """
    if called is None and closes is None:
        raise click.UsageError("give --called, --close or --reopen")
    with change_accounts(read_config(config_path, data_path), os.environ) as accounts:
        old = _named(accounts.organisations(), name)
        closed_ns = old.closed_ns
        if closes is not None:
            closed_ns = (old.closed_ns or SystemClock().now_ns()) if closes else None
        changed = msgspec.structs.replace(
            old, name=old.name if called is None else called, closed_ns=closed_ns
        )
        accounts.change_organisation(changed)
    say(f"Organisation {name} changed.")


@organisations.command("put-in")
@click.argument("name")
@click.argument("customers", nargs=-1, required=True, metavar="CUSTOMER...")
@config_option
@data_option
def put_in(
    name: str, customers: tuple[str, ...], config_path: Path | None, data_path: Path | None
) -> None:
    """Put customers into an organisation; a customer is in one at most.

    \b
    Example:
      inferworks organisations put-in acme-group acme burns
    """
    config = read_config(config_path, data_path)
    with change_accounts(config, os.environ) as accounts, accounts.transaction():
        for customer in customers:
            accounts.place_customer(customer_id(customer), organisation_id(name))
    say(f"{', '.join(customers)}: in {name} from now on.")


@organisations.command("take-out")
@click.argument("customers", nargs=-1, required=True, metavar="CUSTOMER...")
@config_option
@data_option
def take_out(customers: tuple[str, ...], config_path: Path | None, data_path: Path | None) -> None:
    """Take customers out of their organisation.

    \b
    Example:
      inferworks organisations take-out burns
    """
    config = read_config(config_path, data_path)
    with change_accounts(config, os.environ) as accounts, accounts.transaction():
        for customer in customers:
            accounts.place_customer(customer_id(customer), None)
    say(f"{', '.join(customers)}: in no organisation from now on.")


def _named(found: list[Organisation], name: str) -> Organisation:
    for one in found:
        if one.id == name:
            return one
    raise UserError(f"no organisation {name[:80]}; see: inferworks organisations list")


def _as_json(one: Organisation) -> dict[str, object]:
    return {
        "id": one.id,
        "name": one.name,
        "created": iso(one.created_ns),
        "closed": None if one.closed_ns is None else iso(one.closed_ns),
    }
