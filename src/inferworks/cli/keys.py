"""`inferworks keys`: make, list and revoke API keys."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import click

from inferworks.accounts.customer import Customer, customer_id
from inferworks.accounts.key import DEFAULT_PROJECT, Key, mint
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.cli.options import config_option, data_folder, data_option, json_option
from inferworks.cli.show import print_json, print_table
from inferworks.clock import SystemClock
from inferworks.ids import ProjectId
from inferworks.purpose import Purpose

_purpose = click.Choice([str(purpose) for purpose in Purpose])


@click.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command()
@click.option("--customer", default="default", show_default=True, help="Who its calls are for.")
@click.option("--name", default="", help="A note for people, e.g. the machine that uses it.")
@click.option(
    "--project", default=DEFAULT_PROJECT, show_default=True, help="A part of the customer."
)
@click.option(
    "--purpose", default=str(Purpose.SERVE_PAID), show_default=True, type=_purpose,
    help="What its calls are for.",
)  # fmt: skip
@click.option(
    "--allow", multiple=True, type=_purpose,
    help="A further purpose that a call may name in x-inferworks-purpose; may be repeated.",
)  # fmt: skip
@click.option(
    "--reporter", is_flag=True,
    help="May report usage for every customer and purpose (POST /v1/usage/events).",
)  # fmt: skip
@click.option(
    "--monitor", is_flag=True, help="May read the metrics (GET /metrics), and nothing else."
)
@click.option(
    "--log-content", is_flag=True,
    help="Keep the prompts and answers of its calls in the data folder (docs/observability.md).",
)  # fmt: skip
@config_option
@data_option
@json_option
def create(
    customer: str,
    name: str,
    project: str,
    purpose: str,
    allow: tuple[str, ...],
    reporter: bool,
    monitor: bool,
    log_content: bool,
    config_path: Path | None,
    data_path: Path | None,
    as_json: bool,
) -> None:
    """Make a key and show its secret, once.

    \b
    Examples:
      inferworks keys create
      inferworks keys create --customer acme --name laptop
      inferworks keys create --customer lab --purpose train-inference \\
          --allow train-gradient
      inferworks keys create --monitor --name prometheus
    """
    folder = data_folder(config_path, data_path)
    folder.create()
    now_ns = SystemClock().now_ns()
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        known = {c.id for c in accounts.customers()}
        if customer == "default" and customer not in known:
            accounts.add_customer(Customer(customer_id(customer), now_ns))
        key, secret = mint(
            customer_id(customer),
            now_ns,
            name=name,
            project=ProjectId(project),
            purpose=Purpose(purpose),
            allowed=tuple(Purpose(text) for text in allow),
            reporter=reporter,
            monitor=monitor,
            log_content=log_content,
        )
        accounts.add_key(key)
    if as_json:
        print_json({"id": key.id, "key": secret, "customer": key.customer, "purpose": key.purpose})
    else:
        click.echo(f"{secret}\n")
        click.echo(f"This is the only time it is shown. Its id is {key.id}.")


@keys.command("list")
@config_option
@data_option
@json_option
def list_keys(config_path: Path | None, data_path: Path | None, as_json: bool) -> None:
    """List the keys; secrets are not kept, only their last four characters."""
    folder = data_folder(config_path, data_path)
    with closing(SqliteAccounts(folder.accounts, read_only=True)) as accounts:
        found = accounts.keys()
    if as_json:
        print_json([_as_json(key) for key in found])
        return
    columns = ("ID", "KEY", "CUSTOMER", "PURPOSE", "STATE", "NAME")
    print_table(columns, [_as_row(key) for key in found])


@keys.command()
@click.argument("key_id")
@config_option
@data_option
def revoke(key_id: str, config_path: Path | None, data_path: Path | None) -> None:
    """Revoke the key with this id; a running platform refuses it within a second.

    \b
    Example:
      inferworks keys revoke key_019a2f...
    """
    folder = data_folder(config_path, data_path)
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        key = accounts.revoke_key(key_id, SystemClock().now_ns())
    click.echo(f"{key.id} of {key.customer} is revoked.")


def _as_row(key: Key) -> tuple[str, ...]:
    state = "active" if key.revoked_ns is None else "revoked"
    purpose = "(metrics only)" if key.monitor else key.purpose
    return key.id, f"iw_…{key.hint}", key.customer, purpose, state, key.name


def _as_json(key: Key) -> dict[str, object]:
    return {
        "id": key.id,
        "hint": key.hint,
        "name": key.name,
        "customer": key.customer,
        "project": key.project,
        "purpose": key.purpose,
        "reporter": key.reporter,
        "monitor": key.monitor,
        "log_content": key.log_content,
        "allowed": key.allowed,
        "created": _iso(key.created_ns),
        "revoked": None if key.revoked_ns is None else _iso(key.revoked_ns),
    }


def _iso(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // 10**9, UTC).isoformat()
