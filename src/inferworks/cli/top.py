"""`inferworks top`: calls of this moment, by model or customer."""

from __future__ import annotations

import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

import click

from inferworks.cli.calls import KEYS, Arrivals, Span, calls_between, priced, sums_by
from inferworks.cli.options import config_option, data_option, json_option, read_config
from inferworks.cli.show import clear_screen, print_json, say
from inferworks.cli.status import print_sums
from inferworks.clock import SystemClock
from inferworks.folder import DataFolder
from inferworks.units import NS_PER_SECOND

_MOST_HELD = 200_000
"""Calls that are looked at; of more, the newest."""
_LONGEST_NS = 600 * NS_PER_SECOND
"""Longest time from the opening of a call to its end in the window, for the first display."""


@click.command(short_help="Show the calls of the last minute, live.")
@click.option("--by", type=click.Choice(list(KEYS)), default="model", show_default=True,
              help="Key by which calls are summed.")  # fmt: skip
@click.option("--window", "window_ns", type=Span(), default="1m", show_default=True,
              help="Period of the calls, up to now.")  # fmt: skip
@click.option("--every", "every_s", type=click.FloatRange(0.2, 3600), default=2.0, show_default=True,
              help="Seconds between two looks.")  # fmt: skip
@click.option("--once", is_flag=True, help="Show it once and end, as when it is piped.")
@config_option
@data_option
@json_option
def top(
    by: str,
    window_ns: int,
    every_s: float,
    once: bool,
    config_path: Path | None,
    data_path: Path | None,
    as_json: bool,
) -> None:
    """Show the calls that ended within the last minute, by model or customer, until Ctrl-C.

    They come from the journal as they end. Where the output is no terminal, or with --once or --json, it is
    shown once.

    \b
    Examples:
      inferworks top
      inferworks top --by customer --window 15m --json
    """
    config = read_config(config_path, data_path)
    arrivals = Arrivals(DataFolder(Path(config.data.folder)))
    try:
        in_terminal = sys.stdout.isatty()
    except (AttributeError, ValueError):  # it is closed
        in_terminal = False
    once = once or as_json or not in_terminal
    clock = SystemClock()
    with suppress(KeyboardInterrupt), priced(config) as cost:
        arrivals.new(0)  # from now on; what ended before is looked up by when it was opened
        since_ns = clock.now_ns() - window_ns
        before = calls_between(config, since_ns - _LONGEST_NS, since_ns + 2 * window_ns)
        held = {usage.call_id: usage for usage in deque(before, maxlen=_MOST_HELD)}
        while True:
            since_ns = clock.now_ns() - window_ns
            held |= {usage.call_id: usage for usage in arrivals.new(_MOST_HELD)}
            held = {name: usage for name, usage in held.items() if usage.closed_ns >= since_ns}
            sums = sums_by(held.values(), cost, KEYS[by])
            if as_json:
                told = {name: one.as_json() for name, one in sums.items()}
                print_json({"window_s": window_ns // NS_PER_SECOND, "by": by, "sums": told})
            else:
                if not once:
                    clear_screen()
                minutes = window_ns / NS_PER_SECOND / 60
                calls = sum(one.calls for one in sums.values())
                tokens = sum(one.output_tokens for one in sums.values())
                rate = f"{calls / minutes:,.1f} calls and {tokens / minutes:,.0f} output tokens"
                print_sums(sums, by.upper(), f"inferworks top: {rate} a minute")
            if once:
                return
            say("", "Ctrl-C ends.")
            time.sleep(every_s)
