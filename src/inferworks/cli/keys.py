"""`inferworks keys`: make, list, replace and revoke API keys."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from inferworks.accounts.customer import Customer, customer_id
from inferworks.accounts.key import ANY_SOURCE, DEFAULT_PROJECT, NODE_SOURCE, Grant, Key, mint
from inferworks.cli.options import (
    config_option,
    data_option,
    duration_ns,
    end_ns,
    json_option,
    read_config,
)
from inferworks.cli.show import print_json, print_table, say
from inferworks.clock import SystemClock
from inferworks.cloud.operation import Operation
from inferworks.errors import UserError
from inferworks.folder import DataFolder
from inferworks.ids import KeyId, ProjectId
from inferworks.meter.events import LONGEST_EVENT_NAME
from inferworks.meter.shipping.shipment import NODE_NAME
from inferworks.purpose import Purpose
from inferworks.wiring.accounts import change_accounts, pepper_of, read_accounts

_purpose = click.Choice([str(purpose) for purpose in Purpose])
_operation = click.Choice([str(one) for one in Operation if one is not Operation.CONVERSE])


@click.group()
def keys() -> None:
    """Make, list, replace and revoke API keys."""


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
    "--model", "models", multiple=True, metavar="NAME",
    help="May call this model alone; gpt-* for all whose names begin so; may be repeated.",
)  # fmt: skip
@click.option(
    "--operation", "operations", multiple=True, type=_operation, metavar="NAME",
    help="May call this operation alone, e.g. chat.completions or embeddings; may be repeated.",
)  # fmt: skip
@click.option(
    "--region", "regions", multiple=True, metavar="PREFIX",
    help="Its calls run only in regions whose names begin so (eu-); may be repeated.",
)  # fmt: skip
@click.option(
    "--network", "networks", multiple=True, metavar="CIDR",
    help="May be used from this network alone, by the address of the connection; may be repeated.",
)  # fmt: skip
@click.option(
    "--expires", metavar="TIME",
    help="Is refused from then on: a moment (2027-01-01), or how long from now (90d).",
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
    models: tuple[str, ...],
    operations: tuple[str, ...],
    regions: tuple[str, ...],
    networks: tuple[str, ...],
    expires: str | None,
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
      inferworks keys create --customer acme --model "gpt-*" --operation embeddings \\
          --region eu- --network 192.0.2.0/24 --expires 90d
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
    expires_ns = None if expires is None else end_ns(expires, "--expires", now_ns)
    with change_accounts(config, os.environ) as accounts:
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
                models=models,
                operations=operations,
                regions=regions,
                networks=networks,
            ),
            pepper=pepper_of(accounts, folder, config, os.environ),
            name=name,
            project=ProjectId(project),
        )
        accounts.add_key(msgspec.structs.replace(key, expires_ns=expires_ns))
    if as_json:
        print_json({"id": key.id, "key": secret, "customer": key.customer, "purpose": key.purpose})
    else:
        say(secret, "")
        say(f"This is the only time it is shown. Its id is {key.id}.")


@keys.command("list")
@click.option("--customer", metavar="ID", help="Keys of this customer only.")
@config_option
@data_option
@json_option
def list_keys(
    customer: str | None, config_path: Path | None, data_path: Path | None, as_json: bool
) -> None:
    """List the keys; secrets are not kept, only their last four characters (KEY)."""
    config = read_config(config_path, data_path)
    now_ns = SystemClock().now_ns()
    with read_accounts(config) as accounts:
        found = accounts.keys(None if customer is None else customer_id(customer))
    if as_json:
        print_json([_as_json(key) for key in found])
        return
    columns = ("ID", "KEY", "CUSTOMER", "PURPOSE", "STATE", "NAME")
    rows = [
        (
            *(key.id, f"…{key.hint}", key.customer),
            "(metrics only)" if key.monitor else "(shipping only)" if key.ships else key.purpose,
            _state(key, now_ns),
            key.name,
        )
        for key in found
    ]
    print_table(columns, rows)


@keys.command()
@click.argument("key_id")
@config_option
@data_option
@json_option
def show(key_id: str, config_path: Path | None, data_path: Path | None, as_json: bool) -> None:
    """Show a key: whose it is, what it may do, and until when.

    The id of a key stands in the key itself, between iw_ and the next _, behind key_.

    \b
    Examples:
      inferworks keys show key_mfrggzdfmztwq2lk
      inferworks keys show key_mfrggzdfmztwq2lk --json
    """
    config = read_config(config_path, data_path)
    with read_accounts(config) as accounts:
        key = accounts.key(KeyId(key_id))
    if key is None:
        raise UserError(f"{key_id}: no such key; see: inferworks keys list")
    if as_json:
        print_json(_as_json(key))
        return
    state = _state(key, SystemClock().now_ns())
    for name, value in {**_as_json(key), "state": state}.items():
        if value not in (None, "", False, ()):
            text = ", ".join(value) if isinstance(value, tuple) else str(value)
            say(f"{name + ':':13}{'yes' if value is True else text}")


@keys.command()
@click.argument("key_id")
@click.option(
    "--overlap", metavar="TIME", help="Leave the old key valid for so long (24h), and then no more."
)
@click.option("--keep", is_flag=True, help="Leave the old key valid, to be revoked later.")
@click.option(
    "--expires", metavar="TIME", help="End of the new key.  [default: that of the old one]"
)
@config_option
@data_option
@json_option
def rotate(
    key_id: str,
    overlap: str | None,
    keep: bool,
    expires: str | None,
    config_path: Path | None,
    data_path: Path | None,
    as_json: bool,
) -> None:
    """Replace a key: make one with the same rights, show its secret, and revoke the old one.

    A running gateway knows both within a second. With --overlap its users can be moved meanwhile.

    \b
    Examples:
      inferworks keys rotate key_mfrggzdfmztwq2lk
      inferworks keys rotate key_mfrggzdfmztwq2lk --overlap 24h
      inferworks keys rotate key_mfrggzdfmztwq2lk --keep
    """
    if keep and overlap is not None:
        raise click.UsageError("the old key stays (--keep) or ends (--overlap); choose one")
    config = read_config(config_path, data_path)
    folder = DataFolder(Path(config.data.folder))
    now_ns = SystemClock().now_ns()
    until_ns = None if overlap is None else now_ns + duration_ns(overlap, "--overlap")
    with change_accounts(config, os.environ) as accounts:
        old = accounts.key(KeyId(key_id))
        if old is None or _state(old, now_ns) in {"revoked", "expired"}:
            state = "no such key" if old is None else f"{_state(old, now_ns)} already"
            raise UserError(f"{key_id}: {state}; see: inferworks keys list")
        pepper = pepper_of(accounts, folder, config, os.environ)
        fresh, secret = mint(old.customer, now_ns, pepper=pepper)
        key = msgspec.structs.replace(
            old,
            id=fresh.id,
            secret_hash=fresh.secret_hash,
            hint=fresh.hint,
            created_ns=now_ns,
            expires_ns=old.expires_ns if expires is None else end_ns(expires, "--expires", now_ns),
        )
        accounts.add_key(key)
        if until_ns is not None:
            old = accounts.expire_key(old.id, until_ns)
        elif not keep:
            old = accounts.revoke_key(old.id, now_ns)
    if as_json:
        ends = {"revoked": old.revoked_ns is not None, "until": _iso(old.expires_ns)}
        print_json({"id": key.id, "key": secret, "replaces": old.id, **ends})
        return
    say(secret, "")
    say(f"This is the only time it is shown. Its id is {key.id}.")
    say(f"{old.id} is {_until(old)}.")


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
      inferworks keys revoke key_mfrggzdfmztwq2lk
      inferworks keys revoke --customer acme
    """
    if (key_id is None) == (customer is None):
        raise click.UsageError("name one key, or --customer")
    config = read_config(config_path, data_path)
    now_ns = SystemClock().now_ns()
    with change_accounts(config, os.environ) as accounts:
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


def _state(key: Key, now_ns: int) -> str:
    if key.revoked_ns is not None:
        return "revoked"
    return "expired" if key.expires_ns is not None and key.expires_ns <= now_ns else "active"


def _until(key: Key) -> str:
    """Validity of `key` after it was replaced, in words."""
    if key.revoked_ns is not None:
        return "revoked"
    return "still valid" if key.expires_ns is None else f"valid until {_iso(key.expires_ns)}"


def _as_json(key: Key) -> dict[str, object]:
    return {
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
        "models": key.models,
        "operations": key.operations,
        "regions": key.regions,
        "networks": key.networks,
        "created": _iso(key.created_ns),
        "expires": _iso(key.expires_ns),
        "revoked": _iso(key.revoked_ns),
    }


def _iso(at_ns: int | None) -> str | None:
    return None if at_ns is None else datetime.fromtimestamp(at_ns // 10**9, UTC).isoformat()
