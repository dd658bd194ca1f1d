"""`inferworks limits`: what keys, projects, customers and organisations may use."""

from __future__ import annotations

import os
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import msgspec

from inferworks.accounts.customer import customer_id
from inferworks.accounts.limit import FOR_EVER_NS, Limit, Measure, Scope, ScopeKind, Window
from inferworks.accounts.plan import plan_at
from inferworks.accounts.prepaid_limit import credited
from inferworks.accounts.stores.records import no_limit
from inferworks.accounts.zone import zone_name
from inferworks.cli.books.opening import print_note, workspace_of
from inferworks.cli.options import config_option, data_folder, data_option, json_option, read_config
from inferworks.cli.show import print_json, print_table, say
from inferworks.clock import SystemClock
from inferworks.errors import UserError
from inferworks.ids import new_id
from inferworks.limits.warnings import LimitWarning
from inferworks.money import entered_pico, format_pico
from inferworks.wiring.accounts import change_accounts, read_accounts
from inferworks.wiring.limits import LimitsUse, limits_store

_COUNT = re.compile(r"([0-9][0-9_,]*)([kM]?)")
_TIMES = {"": 1, "k": 1000, "M": 1_000_000}
_SHARE = re.compile("[1-9][0-9]?|100")
_MOST_SHARES = 10
_PER = [window.value for window in Window]


@click.group()
def limits() -> None:
    """Limit money, tokens, requests and calls at once."""


@limits.command()
@click.option("--key", metavar="ID", help="Limit one key.")
@click.option("--project", metavar="CUSTOMER/NAME", help="Limit a project of a customer.")
@click.option("--customer", metavar="NAME", help="Limit a customer.")
@click.option("--organisation", metavar="NAME", help="Limit an organisation.")
@click.option("--money", metavar="AMOUNT", help="Most that calls may cost their customer.")
@click.option(
    "--prepaid", is_flag=True, help="A customer's prepaid credit, as it is bought and paid back."
)
@click.option("--currency", default="USD", show_default=True, help="Currency of --money.")
@click.option("--tokens", metavar="COUNT", help="Most tokens, of input and output; 200k, 5M.")
@click.option("--requests", metavar="COUNT", help="Most calls.")
@click.option("--calls", metavar="COUNT", help="Most calls at once.")
@click.option(
    "--per", type=click.Choice(_PER), default="total", show_default=True,
    help="Window: a calendar day or month, or an hour or minute over which it refills.",
)  # fmt: skip
@click.option("--zone", default="UTC", show_default=True, help="Time zone of days and months.")
@click.option("--soft", is_flag=True, help="Count and warn; refuse nothing.")
@click.option(
    "--warn",
    metavar="SHARES",
    help="Percentages at which to warn: 50,80,100.  [default: 100 if soft]",
)
@config_option
@data_option
def create(config_path: Path | None, data_path: Path | None, **given: Any) -> None:
    """Set a limit. A running gateway keeps it within a second.

    A call counts towards every limit of its key, project, customer and organisation.

    \b
    Examples:
      inferworks limits create --customer acme --money 100 --currency EUR --per month
      inferworks limits create --customer acme --tokens 200k --per minute
      inferworks limits create --key key_019a2f... --requests 60 --per minute
      inferworks limits create --organisation group --calls 20
      inferworks limits create --customer acme --money 500 --per month --soft --warn 50,80,100
      inferworks limits create --customer acme --prepaid --warn 80
    """
    if given["prepaid"]:
        limit = _prepaid(config_path, data_path, given)
        with change_accounts(read_config(config_path, data_path), os.environ) as accounts:
            accounts.add_limit(limit)
        [shown] = [one for one in _limits(config_path, data_path) if one.id == limit.id]
        say(f"{limit.id}: {_told(shown)}.")
        return
    scopes = [Scope(kind, given[kind.value]) for kind in ScopeKind if given[kind.value] is not None]
    measures = [measure for measure in Measure if given[measure.value] is not None]
    if len(scopes) != 1 or len(measures) != 1:
        raise click.UsageError(
            "name one of --key, --project, --customer, --organisation, and one of --money, --tokens, "
            "--requests, --calls"
        )
    [measure] = measures
    text = given[measure.value]
    is_money = measure is Measure.MONEY
    now_ns = SystemClock().now_ns()
    limit = Limit(
        id=new_id("limit", now_ns),
        scope=scopes[0],
        measure=measure,
        window=Window(given["per"]),
        amount=entered_pico(text) if is_money else _count(text, f"--{measure}"),
        currency=given["currency"] if is_money else "",
        zone=zone_name(given["zone"]),
        is_hard=not given["soft"],
        warn_at=_shares(given["warn"] or ("100" if given["soft"] else "")),
        created_ns=now_ns,
    )
    data_folder(config_path, data_path).create()
    with change_accounts(read_config(config_path, data_path), os.environ) as accounts:
        accounts.add_limit(limit)
    say(f"{limit.id}: {_told(limit)}.")


@limits.command("list")
@click.option("--all", "with_withdrawn", is_flag=True, help="Withdrawn ones too.")
@config_option
@data_option
@json_option
def list_limits(
    with_withdrawn: bool, config_path: Path | None, data_path: Path | None, as_json: bool
) -> None:
    """List the limits, and what is left of each in the window of this moment.

    USED is what calls have used and what running gateways have taken to give to calls. It is more than
    the limit where an upstream used more than it was asked for.

    \b
    Examples:
      inferworks limits list
      inferworks limits list --json
    """
    found = _limits(config_path, data_path)
    now_ns = SystemClock().now_ns()
    config = read_config(config_path, data_path)
    used = LimitsUse(config.store, data_folder(config_path, data_path)).in_use(found, now_ns)
    rows = [
        (limit, used[limit.id]) for limit in found if limit.withdrawn_ns is None or with_withdrawn
    ]
    if as_json:
        print_json([_as_json(limit, taken, now_ns) for limit, taken in rows])
        return
    if not rows:
        say("Nothing is limited; see: inferworks limits create --help")
        return
    columns = ("LIMIT", "OF", "MOST", "USED", "LEFT", "PER")
    print_table(
        columns,
        [
            (
                limit.id,
                limit.scope.id,
                f"{_amount(limit, limit.amount)} {limit.currency or limit.measure}",
                _amount(limit, taken),
                _amount(limit, max(0, limit.amount - taken))
                if limit.withdrawn_ns is None
                else "withdrawn",
                limit.window if limit.is_hard else f"{limit.window}, soft",
            )
            for limit, taken in rows
        ],
        right="USED LEFT",
    )


@limits.command()
@click.argument("limit_id", metavar="LIMIT")
@click.option("--amount", metavar="AMOUNT", help="New amount of money, or new count.")
@click.option("--hard/--soft", "is_hard", default=None, help="Refuse calls over it, or only count.")
@click.option(
    "--warn", metavar="SHARES", help="Percentages at which to warn, 50,80; none: nowhere."
)
@config_option
@data_option
def change(
    limit_id: str,
    amount: str | None,
    is_hard: bool | None,
    warn: str | None,
    config_path: Path | None,
    data_path: Path | None,
) -> None:
    """Change the amount of a limit, whether it refuses, or when it warns.

    An amount below what is used already refuses the next call.

    \b
    Examples:
      inferworks limits change limit_01a2f... --amount 250
      inferworks limits change limit_01a2f... --soft --warn 80,100
    """
    old = _one(_recorded(config_path, data_path), limit_id)
    new = old.amount
    if amount is not None:
        if old.spent_before is not None:
            raise UserError(
                "the amount of a prepaid limit is the customer's credit; see: inferworks customers credit"
            )
        new = entered_pico(amount) if old.measure is Measure.MONEY else _count(amount, "--amount")
    hard = old.is_hard if is_hard is None else is_hard
    shares = old.warn_at if warn is None else _shares("" if warn == "none" else warn)
    limit = msgspec.structs.replace(
        old, amount=new, is_hard=hard, warn_at=shares, revision=old.revision + 1
    )
    with change_accounts(read_config(config_path, data_path), os.environ) as accounts:
        accounts.change_limit(limit)
    say(f"{limit.id}: {_told(limit)}.")


@limits.command()
@click.argument("limit_id", metavar="LIMIT")
@config_option
@data_option
def withdraw(limit_id: str, config_path: Path | None, data_path: Path | None) -> None:
    """Withdraw a limit. It stays on record and limits nothing from now on.

    \b
    Example:
      inferworks limits withdraw limit_01a2f...
    """
    old = _one(_recorded(config_path, data_path), limit_id)
    now_ns = SystemClock().now_ns()
    limit = msgspec.structs.replace(old, withdrawn_ns=now_ns, revision=old.revision + 1)
    with change_accounts(read_config(config_path, data_path), os.environ) as accounts:
        accounts.change_limit(limit)
    say(f"{limit.id} is withdrawn.")


@limits.command("warnings")
@click.option("--most", type=click.IntRange(1, 10_000), default=50, show_default=True, metavar="N",
              help="Newest ones to list.")  # fmt: skip
@config_option
@data_option
@json_option
def list_warnings(
    most: int, config_path: Path | None, data_path: Path | None, as_json: bool
) -> None:
    """List the newest warnings of limits, and what became of their webhooks.

    \b
    Examples:
      inferworks limits warnings
      inferworks limits warnings --json
    """
    config, folder = read_config(config_path, data_path), data_folder(config_path, data_path)
    with closing(limits_store(config.store, folder)) as store:
        found = store.transact(lambda rows: rows.newest_warnings(most))
    told = [(one, msgspec.json.decode(one.body)) for one in found]
    if as_json:
        print_json(
            [
                body | {"id": one.id, "webhook": _webhook(one), "attempts": one.tries}
                for one, body in told
            ]
        )
        return
    if not told:
        say("No limit has warned.")
        return
    print_table(
        ("WHEN", "LIMIT", "OF", "SHARE", "USED", "WEBHOOK"),
        [
            (
                body["timestamp"][:19],
                body["data"]["limit"],
                body["data"]["of"],
                f"{body['data']['share_percent']} %",
                f"{body['data']['used']} {body['data']['currency'] or body['data']['measure']}",
                _webhook(one),
            )
            for one, body in told
        ],
        right="SHARE USED",
    )


def _webhook(warning: LimitWarning) -> str:
    """Return what became of a warning's webhook."""
    if warning.sent_ns:
        return "sent"
    if warning.due_ns:
        return "waits"
    return "given up" if warning.tries else "none"


def _prepaid(config_path: Path | None, data_path: Path | None, given: dict[str, Any]) -> Limit:
    """Return the limit of a customer to its prepaid credit, as the books have it now."""
    others = [name for name in (*Measure, *ScopeKind) if name != "customer" and given[name]]
    if not given["customer"] or others or given["soft"] or given["per"] != "total":
        raise click.UsageError("--prepaid goes with --customer, and with --warn")
    workspace = workspace_of(config_path, data_path)
    name, now_ns = customer_id(given["customer"]), SystemClock().now_ns()
    with read_accounts(read_config(config_path, data_path)) as accounts:
        plan = plan_at(accounts.plans(name), name, now_ns)
        bought_pico = sum(one.amount_pico for one in accounts.credits(name))
        prepaid = [one for one in accounts.limits() if one.spent_before is not None]
    if any(one.scope.id == name and one.withdrawn_ns is None for one in prepaid):
        raise UserError(f"{name} has a prepaid limit already; see: inferworks limits list")
    if plan is None:
        raise UserError(
            f"{name} has no price plan, so its calls use up no credit in the books; set one with: "
            "inferworks customers price"
        )
    if not plan.terms.is_plain:
        print_note(
            f"the plan of {name} has fees, minimums or tiers, which use up its credit beside its calls: "
            "the limit does not know them (docs/limits.md)"
        )
    left_pico = sum(one.closing_pico for one in workspace.wallets() if one.customer == name)
    return Limit(
        id=new_id("limit", now_ns),
        scope=Scope(ScopeKind.CUSTOMER, name),
        measure=Measure.MONEY,
        window=Window.TOTAL,
        amount=0,
        currency=workspace.settings.currency,
        warn_at=_shares(given["warn"] or ""),
        created_ns=now_ns,
        spent_before=bought_pico - left_pico,
    )


def _recorded(config_path: Path | None, data_path: Path | None) -> list[Limit]:
    """Return the limits as they are on record."""
    with read_accounts(read_config(config_path, data_path)) as accounts:
        return accounts.limits()


def _limits(config_path: Path | None, data_path: Path | None) -> list[Limit]:
    """Return the limits, prepaid ones with the amounts that they have now."""
    with read_accounts(read_config(config_path, data_path)) as accounts:
        limits_ = accounts.limits()
        return credited(limits_, accounts.credits(), accounts.voided_credits()).limits


def _one(found: list[Limit], limit_id: str) -> Limit:
    for limit in found:
        if limit.id == limit_id and limit.withdrawn_ns is None:
            return limit
    raise no_limit(limit_id)


def _count(text: str, option: str) -> int:
    """Return the count that `text` names: `60`, `200_000`, `200k`, `5M`."""
    match = _COUNT.fullmatch(text.strip())
    if match is None:
        raise click.BadParameter(
            f"{text[:80]!r} is no count; write 60, 200k or 5M", param_hint=option
        )
    return int(re.sub("[_,]", "", match[1])) * _TIMES[match[2]]


def _shares(text: str) -> tuple[int, ...]:
    """Return the percentages in `text`, `50,80,100`, in rising order."""
    parts = [part.strip().removesuffix("%") for part in text.split(",")] if text else []
    if len(parts) > _MOST_SHARES or not all(_SHARE.fullmatch(part) for part in parts):
        raise click.BadParameter(
            f"{text[:80]!r} are no percentages from 1 to 100; write at most {_MOST_SHARES}, as 50,80,100",
            param_hint="--warn",
        )
    return tuple(sorted({int(part) for part in parts}))


def _amount(limit: Limit, amount: int) -> str:
    return format_pico(amount) if limit.measure is Measure.MONEY else f"{amount:,}"


def _told(limit: Limit) -> str:
    """`limit` for people."""
    what = limit.currency or ("calls at once" if limit.measure is Measure.CALLS else limit.measure)
    per = "" if limit.window is Window.TOTAL else f" per {limit.window}"
    zone = f" in {limit.zone}" if limit.window in (Window.DAY, Window.MONTH) else ""
    may = "may use" if limit.is_hard else "is counted up to"
    warns = f", with a warning at {_percentages(limit)}" if limit.warn_at else ""
    amount = _amount(limit, limit.amount)
    prepaid = " of prepaid credit" if limit.spent_before is not None else ""
    return f"{limit.scope.kind} {limit.scope.id} {may} {amount} {what}{prepaid}{per}{zone}{warns}"


def _percentages(limit: Limit) -> str:
    return ", ".join(f"{share} %" for share in limit.warn_at)


def _as_json(limit: Limit, taken: int, now_ns: int) -> dict[str, Any]:
    start_ns, until_ns = limit.window_ns(now_ns)
    return {
        "id": limit.id,
        "scope": limit.scope.kind,
        "of": limit.scope.id,
        "measure": limit.measure,
        "amount": _plain(limit, limit.amount),
        "currency": limit.currency or None,
        "window": limit.window,
        "zone": limit.zone,
        "window_start_ns": start_ns or None,
        "window_end_ns": until_ns if until_ns < FOR_EVER_NS else None,
        "used": _plain(limit, taken),
        "left": _plain(limit, max(0, limit.amount - taken)),
        "hard": limit.is_hard,
        "warn_at": list(limit.warn_at),
        "prepaid": limit.spent_before is not None,
        "revision": limit.revision,
        "withdrawn_ns": limit.withdrawn_ns,
    }


def _plain(limit: Limit, amount: int) -> str | int:
    return format_pico(amount) if limit.measure is Measure.MONEY else amount
