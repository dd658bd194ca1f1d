"""`inferworks keys`: make, list and revoke API keys."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from inferworks.accounts.customer import Customer, customer_id
from inferworks.accounts.key import ANY_SOURCE, DEFAULT_PROJECT, NODE_SOURCE, Grant, mint
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.cli.options import (
    config_option,
    data_folder,
    data_option,
    json_option,
    read_config,
)
from inferworks.cli.show import print_json, print_table, say
from inferworks.clock import SystemClock
from inferworks.errors import UserError
from inferworks.folder import DataFolder
from inferworks.ids import KeyId, ProjectId
from inferworks.meter.events import LONGEST_EVENT_NAME
from inferworks.meter.shipping.shipment import NODE_NAME
from inferworks.purpose import Purpose
from inferworks.wiring.accounts import pepper_of

_purpose = click.Choice([str(purpose) for purpose in Purpose])


@click.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command()
@click.option("--customer", default="default", show_default=True, help="Customer of its calls.")
@click.option("--name", default="", help="A note for people, e.g. the machine that uses it.")
@click.option(
    "--project", default=DEFAULT_PROJECT, show_default=True, help="Project of the customer."
)
@click.option(
    "--purpose", default=str(Purpose.SERVE_PAID), show_default=True, type=_purpose,
    help="Purpose of its calls.",
)  # fmt: skip
@click.option(
    "--allow", multiple=True, type=_purpose,
    help="A further purpose that a call may name in x-inferworks-purpose; may be repeated.",
)  # fmt: skip
@click.option(
    "--report", "sources", multiple=True, metavar="SOURCE",
    help="May report usage under this source, which is then its customer's "
    "(POST /v1/usage/events); may be repeated, * for all that nobody else has.",
)  # fmt: skip
@click.option(
    "--reporter", is_flag=True,
    help="May report for every customer and purpose; without --report, under every source that nobody "
    "else has.",
)  # fmt: skip
@click.option("--ours", is_flag=True, help="May report usage of no customer.")
@click.option(
    "--tell-cost", "tells_cost", is_flag=True,
    help="May report what a provider charged for a call.",
)  # fmt: skip
@click.option(
    "--monitor", is_flag=True, help="May read the metrics (GET /metrics), and nothing else."
)
@click.option(
    "--ship", "node", metavar="NODE", default="",
    help="May ship the records of this node to this gateway as its hub, and nothing else.",
)  # fmt: skip
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
    sources: tuple[str, ...],
    reporter: bool,
    ours: bool,
    tells_cost: bool,
    monitor: bool,
    node: str,
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
          --allow train-gradient --report slurm --ours
      inferworks keys create --monitor --name prometheus
      inferworks keys create --ship edge-7
    """
    if any(source.startswith(NODE_SOURCE) for source in sources):
        raise click.BadParameter(
            f"sources that begin with {NODE_SOURCE} are of nodes: --ship", param_hint="--report"
        )
    if node:
        if sources or reporter or monitor:
            raise click.UsageError("a key with --ship may do nothing else")
        if not NODE_NAME.fullmatch(node):
            raise click.BadParameter(f"{node!r} is no name of a node", param_hint="--ship")
        sources = (f"{NODE_SOURCE}{node}",)
    if (ours or tells_cost) and not (sources or reporter):
        raise click.UsageError(
            "--ours and --tell-cost say what is reported; name a source: --report SOURCE"
        )
    if not all(0 < len(source) <= LONGEST_EVENT_NAME for source in sources):
        raise click.BadParameter(
            f"a source has 1 to {LONGEST_EVENT_NAME} characters", param_hint="--report"
        )
    config = read_config(config_path, data_path)
    folder = DataFolder(Path(config.data.folder))
    folder.create()
    now_ns = SystemClock().now_ns()
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        if customer == "default" and not accounts.has_customer(customer_id(customer)):
            accounts.add_customer(Customer(customer_id(customer), now_ns))
        key, secret = mint(
            customer_id(customer),
            now_ns,
            Grant(
                purpose=Purpose(purpose),
                allowed=tuple(Purpose(text) for text in allow),
                reporter=reporter,
                monitor=monitor,
                log_content=log_content,
                sources=sources or ((ANY_SOURCE,) if reporter else ()),
                ours=ours,
                tells_cost=tells_cost,
            ),
            pepper=pepper_of(accounts, folder, config, os.environ),
            name=name,
            project=ProjectId(project),
        )
        accounts.add_key(key)
    if as_json:
        print_json({"id": key.id, "key": secret, "customer": key.customer, "purpose": key.purpose})
    else:
        say(secret, "")
        say(f"This is the only time it is shown. Its id is {key.id}.")


@keys.command("list")
@config_option
@data_option
@json_option
def list_keys(config_path: Path | None, data_path: Path | None, as_json: bool) -> None:
    """List the keys; secrets are not kept, only their last four characters (KEY)."""
    folder = data_folder(config_path, data_path)
    with closing(SqliteAccounts(folder.accounts, read_only=True)) as accounts:
        found = accounts.keys()
    if as_json:
        print_json(
            [
                {
                    "id": key.id,
                    "hint": key.hint,
                    "name": key.name,
                    "customer": key.customer,
                    "project": key.project,
                    "purpose": key.purpose,
                    "reporter": key.reporter,
                    "sources": key.sources,
                    "ours": key.ours,
                    "tells_cost": key.tells_cost,
                    "monitor": key.monitor,
                    "log_content": key.log_content,
                    "allowed": key.allowed,
                    "created": _iso(key.created_ns),
                    "revoked": None if key.revoked_ns is None else _iso(key.revoked_ns),
                }
                for key in found
            ]
        )
        return
    columns = ("ID", "KEY", "CUSTOMER", "PURPOSE", "STATE", "NAME")
    rows = [
        (
            *(key.id, f"…{key.hint}", key.customer),
            "(metrics only)" if key.monitor else "(shipping only)" if key.ships else key.purpose,
            "active" if key.revoked_ns is None else "revoked",
            key.name,
        )
        for key in found
    ]
    print_table(columns, rows)


@keys.command()
@click.argument("key_id")
@click.option("--keep", is_flag=True, help="Leave the old key valid, to be revoked later.")
@config_option
@data_option
@json_option
def rotate(
    key_id: str, keep: bool, config_path: Path | None, data_path: Path | None, as_json: bool
) -> None:
    """Replace a key: make one with the same rights, show its secret, and revoke the old one.

    A running gateway knows both within a second. With --keep its users can be moved first.

    \b
    Examples:
      inferworks keys rotate key_019a2f...
      inferworks keys rotate key_019a2f... --keep
    """
    config = read_config(config_path, data_path)
    folder = DataFolder(Path(config.data.folder))
    now_ns = SystemClock().now_ns()
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        old = accounts.key(KeyId(key_id))
        if old is None or old.revoked_ns is not None:
            state = "no such key" if old is None else "revoked already"
            raise UserError(f"{key_id}: {state}; see: inferworks keys list")
        pepper = pepper_of(accounts, folder, config, os.environ)
        fresh, secret = mint(old.customer, now_ns, pepper=pepper)
        key = msgspec.structs.replace(
            old, id=fresh.id, secret_hash=fresh.secret_hash, hint=fresh.hint, created_ns=now_ns
        )
        accounts.add_key(key)
        if not keep:
            accounts.revoke_key(old.id, now_ns)
    if as_json:
        print_json({"id": key.id, "key": secret, "replaces": old.id, "revoked": not keep})
        return
    say(secret, "")
    say(f"This is the only time it is shown. Its id is {key.id}.")
    say(f"{old.id} is still valid." if keep else f"{old.id} is revoked.")


@keys.command()
@click.argument("key_id", required=False)
@click.option("--customer", metavar="ID", help="Every key of this customer, instead of one.")
@config_option
@data_option
def revoke(
    key_id: str | None, customer: str | None, config_path: Path | None, data_path: Path | None
) -> None:
    """Revoke the key with this id, or all of a customer; a running platform refuses them within a second.

    \b
    Examples:
      inferworks keys revoke key_019a2f...
      inferworks keys revoke --customer acme
    """
    if (key_id is None) == (customer is None):
        raise click.UsageError("name one key, or --customer")
    folder = data_folder(config_path, data_path)
    now_ns = SystemClock().now_ns()
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        if key_id is not None:
            ids = [key_id]
        else:
            found = accounts.keys(customer_id(customer or ""))
            ids = [key.id for key in found if key.revoked_ns is None]
            if not ids:
                raise UserError(
                    f"customer {customer} has no key that is valid; see: inferworks keys list"
                )
        for one in ids:
            key = accounts.revoke_key(one, now_ns)
            say(f"{key.id} of {key.customer} is revoked.")


def _iso(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // 10**9, UTC).isoformat()
