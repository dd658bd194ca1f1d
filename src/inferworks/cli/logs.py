"""`inferworks logs`: the calls that have ended, and new ones as they end."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import click

from inferworks.cli.calls import (
    Arrivals,
    Span,
    calls_between,
    filter_options,
    money,
    priced,
    short,
    span_text,
    time_text,
    wanted,
)
from inferworks.cli.options import config_option, data_option, read_config
from inferworks.cli.show import say
from inferworks.clock import SystemClock
from inferworks.config import Config
from inferworks.errors import UserError
from inferworks.folder import DataFolder
from inferworks.meter.usage import Outcome, Usage
from inferworks.observe.access import Cost, fields_of, iso, json_line, text_line
from inferworks.wiring.accounts import read_accounts

_LOOK_S = 0.5
"""Seconds between two looks at the journal."""
_MOST_AT_ONCE = 10_000
"""Most calls shown of those that ended between two looks."""


@click.command(short_help="Show the calls that ended, and follow them.")
@click.option("--follow", "-f", is_flag=True, help="Follow calls as they end.")
@click.option(
    "--number", "-n", type=click.IntRange(0, 1_000_000), default=20, show_default=True,
    help="Number of calls.",
)  # fmt: skip
@click.option(
    "--since", "since_ns", type=Span(), default="1d", show_default=True,
    help="Period of the calls, up to now: 30s, 15m, 1h, 7d.",
)  # fmt: skip
@filter_options
@click.option("--long", "as_text", is_flag=True, help="All fields of a call, as name=value.")
@click.option("--json", "as_json", is_flag=True, help="All fields of a call, as a line of JSON.")
@config_option
@data_option
def logs(
    follow: bool,
    number: int,
    since_ns: int,
    model: str | None,
    customer: str | None,
    status: str | None,
    outcome: str | None,
    call: str | None,
    as_text: bool,
    as_json: bool,
    config_path: Path | None,
    data_path: Path | None,
) -> None:
    """Show the last calls that ended, a line each, and with --follow those that end from now on.

    They come from the journal and the lake, so no log has to be configured. A line has the time (UTC),
    status, duration, tokens in and out, cost, customer and model, and the reason of a failed call.
    --long and --json are the lines of the access log (docs/observability.md). Requests that were refused
    before they became a call are in that log alone.

    \b
    Examples:
      inferworks logs -f
      inferworks logs --status 4xx --customer acme --long
      inferworks logs --call call_019a2f --json
    """
    is_wanted = wanted(model, customer, status, outcome, call)
    given = {
        "model": model,
        "customer": customer,
        "status": status,
        "outcome": outcome,
        "call": call,
    }
    config = read_config(config_path, data_path)
    arrivals = Arrivals(DataFolder(Path(config.data.folder)))
    with suppress(KeyboardInterrupt), priced(config) as cost:
        now_ns = SystemClock().now_ns()
        newest = arrivals.new(number)
        last = [u for u in newest if is_wanted(u) and u.opened_ns >= now_ns - since_ns]
        if len(last) < number:  # some are not wanted, or further back
            found = filter(is_wanted, calls_between(config, now_ns - since_ns, now_ns + since_ns))
            last = sorted(deque(found, maxlen=number), key=lambda usage: usage.closed_ns)
        if not last and number:
            _none(config, since_ns, customer, given)
        _print(last, cost, as_text=as_text, as_json=as_json)
        shown = {usage.call_id for usage in last}
        while follow:
            time.sleep(_LOOK_S)
            new = [
                u for u in arrivals.new(_MOST_AT_ONCE) if is_wanted(u) and u.call_id not in shown
            ]
            _print(new, cost, as_text=as_text, as_json=as_json)
            shown = {usage.call_id for usage in new}


def _none(
    config: Config, since_ns: int, customer: str | None, given: Mapping[str, str | None]
) -> None:
    """Say that there is no such call; UserError where `customer` is none of ours."""
    accounts = DataFolder(Path(config.data.folder)).accounts
    if customer is not None and accounts.exists():
        with read_accounts(config) as held:
            if customer not in {known.id for known in held.customers()}:
                raise UserError(f"no customer {customer}; see: inferworks customers list")
    chosen = "".join(f" --{name} {value}" for name, value in given.items() if value is not None)
    of_these = f" of those with{chosen}" if chosen else ""
    say(f"no call{of_these} has ended in the last {span_text(since_ns)} (--since)", err=True)


def _print(usages: Iterable[Usage], cost: Cost, *, as_text: bool, as_json: bool) -> None:
    """Print each call in one line; unless all fields are wanted, of 80 columns but for long names."""
    for usage in usages:
        price = cost(usage)
        if as_json or as_text:
            fields = fields_of(usage, price)
            say(json_line(fields) if as_json else text_line(fields))
            continue
        at = iso(usage.closed_ns)
        took = time_text((usage.closed_ns - usage.opened_ns) / 1e6)
        if usage.outcome is Outcome.ANSWERED:
            tokens = f"{short(usage.tokens.input)} + {short(usage.tokens.output)}"
            what = f"{tokens:>13} {money(*price) if price else '-':>12}"
        else:
            what = f"{usage.error_code or usage.outcome:<26}"
        when, status = f"{at[5:10]} {at[11:19]}", usage.status or "---"
        say(f"{when} {status} {took:>6} {what} {usage.customer} {usage.model}")
