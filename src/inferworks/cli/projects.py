"""`inferworks projects`: projects of customers, on record."""

from __future__ import annotations

import os
from pathlib import Path

import click

from inferworks.accounts.customer import customer_id
from inferworks.accounts.organisation import Project, project_id
from inferworks.cli.options import config_option, data_option, json_option, read_config
from inferworks.cli.show import iso, print_json, print_table, say
from inferworks.clock import SystemClock
from inferworks.ids import ProjectId
from inferworks.wiring.accounts import change_accounts, read_accounts


@click.group()
def projects() -> None:
    """Record the projects of customers, and close them."""


@projects.command()
@click.argument("customer")
@click.argument("name")
@click.option("--called", default="", metavar="NAME", help="Name for people.")
@config_option
@data_option
def create(
    customer: str, name: str, called: str, config_path: Path | None, data_path: Path | None
) -> None:
    """Record a project of a customer.

    A customer without recorded projects may have keys for any. From the first one on, a new key names one
    that is recorded and open, one that another key names already, or `default`.

    \b
    Examples:
      inferworks projects create acme search
      inferworks projects create acme search --called "Search and ads"
    """
    made = Project(customer_id(customer), project_id(name), SystemClock().now_ns(), called)
    with change_accounts(read_config(config_path, data_path), os.environ) as accounts:
        accounts.add_project(made)
    say(f"Project {made.id} of {made.customer} created.")


@projects.command("list")
@click.option("--customer", metavar="ID", help="Projects of this customer alone.")
@config_option
@data_option
@json_option
def list_projects(
    customer: str | None, config_path: Path | None, data_path: Path | None, as_json: bool
) -> None:
    """List the projects that are on record."""
    with read_accounts(read_config(config_path, data_path)) as accounts:
        found = accounts.projects(None if customer is None else customer_id(customer))
    if as_json:
        print_json([_as_json(one) for one in found])
        return
    rows = [
        (one.customer, one.id, one.name, "open" if one.closed_ns is None else "closed")
        for one in found
    ]
    print_table(("CUSTOMER", "PROJECT", "NAME", "STATE"), rows)


@projects.command()
@click.argument("customer")
@click.argument("name")
@config_option
@data_option
def close(customer: str, name: str, config_path: Path | None, data_path: Path | None) -> None:
    """Close a project: no new key may name it. Keys that name it must be revoked first.

    \b
    Example:
      inferworks projects close acme search
    """
    with change_accounts(read_config(config_path, data_path), os.environ) as accounts:
        now_ns = SystemClock().now_ns()
        accounts.close_project(customer_id(customer), ProjectId(name), now_ns)
    say(f"Project {name} of {customer} is closed.")


def _as_json(one: Project) -> dict[str, object]:
    return {
        "customer": one.customer,
        "id": one.id,
        "name": one.name,
        "created": iso(one.created_ns),
        "closed": None if one.closed_ns is None else iso(one.closed_ns),
    }
