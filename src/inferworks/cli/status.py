"""`inferworks status`: the health of the gateway, and the figures of its calls."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import msgspec

from inferworks.cli.calls import (
    COLUMNS,
    KEYS,
    Span,
    Sum,
    calls_between,
    priced,
    row_of,
    span_text,
    sums_by,
)
from inferworks.cli.options import config_option, data_option, json_option, read_config
from inferworks.cli.show import counted, print_json, print_table, say
from inferworks.clock import SystemClock
from inferworks.errors import UpstreamError
from inferworks.folder import DataFolder
from inferworks.http.client import HttpClient, Origin, Timeouts
from inferworks.meter.archive.journals import JournalsReader
from inferworks.meter.archive.manifest import read_manifest
from inferworks.meter.lakes.detect import lake_at
from inferworks.meter.usage import Outcome
from inferworks.units import NS_PER_SECOND

_TIMEOUTS = Timeouts(connect_s=2.0, first_byte_s=2.0, between_bytes_s=2.0)
_MOST_ERRORS = 10
"""Lines of errors that are shown."""


@click.command(short_help="Show whether it runs, and how calls fare.")
@click.option(
    "--since", "since_ns", type=Span(), default="1h", show_default=True,
    help="Period of the calls, up to now: 30s, 15m, 1h, 7d.",
)  # fmt: skip
@click.option("--by", type=click.Choice(list(KEYS)), default="model", show_default=True,
              help="Key by which calls are summed.")  # fmt: skip
@config_option
@data_option
@json_option
def status(
    since_ns: int, by: str, config_path: Path | None, data_path: Path | None, as_json: bool
) -> None:
    """Show whether the gateway runs, and calls, tokens, cost, latency and errors.

    Calls are counted from the journal and the lake, so also those before the last start. COST is the price
    to the callers, as disclosed in answers; P50 and P95 are the times of answered calls, to 5 %. The exit
    status is 0 when the gateway is running and ready, 1 otherwise.

    \b
    Examples:
      inferworks status
      inferworks status --since 7d --by customer --json
    """
    config = read_config(config_path, data_path)
    now_ns = SystemClock().now_ns()
    folder = DataFolder(Path(config.data.folder))
    running = asyncio.run(_running(folder))
    with priced(config) as cost:
        calls = calls_between(config, now_ns - since_ns, now_ns)
        sums = sums_by(calls, cost, KEYS[by])
    with JournalsReader(folder.written_journals()) as reader:
        unsealed = {**reader.counts(), **reader.unsealed_counts()}
    sealed: Counter[str] = Counter()
    for segment in read_manifest(lake_at(config.lake.url or str(folder.lake))).segments:
        sealed[segment.table] += segment.rows
    stored = {"journal": unsealed, "lake": dict(sorted(sealed.items()))}
    if as_json:
        seconds = since_ns // NS_PER_SECOND
        summed = {name: one.as_json() for name, one in sums.items()}
        ended = sum((one.outcomes for one in sums.values()), Counter[Outcome]())
        calls_ended = {str(outcome): number for outcome, number in sorted(ended.items())}
        told = {"since_s": seconds, "calls": calls_ended, f"{by}s": summed}
        print_json({**running, **told, **stored})
    else:
        _print(running, sums, by, stored, since_ns)
    if running["state"] != "ok":
        sys.exit(1)


async def _running(folder: DataFolder) -> dict[str, Any]:
    instance = folder.instance()
    health: Mapping[str, Any] = {}
    if instance and instance.url:
        origin = Origin.parse(instance.url.removesuffix("/v1"))
        with closing(HttpClient(_TIMEOUTS)) as client:
            try:
                async with client.stream("GET", origin, "/health") as response:
                    body = await response.read(2.0, 1 << 20)
                    health = msgspec.json.decode(body, type=dict[str, Any])
            except (UpstreamError, msgspec.DecodeError):
                health = {"status": "not answering"}
    return {
        "state": health.get("status", "starting" if instance else "not running"),
        **({"parts": health["parts"]} if "parts" in health else {}),
        "url": instance.url if instance else None,
        "process": instance.pid if instance else None,
        "data": str(folder.path),
        "replicas": health.get("replicas", {}),
        "running_calls": health.get("running_calls", 0),
    }


def _print(
    running: Mapping[str, Any],
    sums: Mapping[str, Sum],
    by: str,
    stored: Mapping[str, Mapping[str, int]],
    since_ns: int,
) -> None:
    parts = f" ({', '.join(running['parts'])})" if "parts" in running else ""
    say(f"state     {running['state']}{parts}")
    if running["url"]:
        say(f"address   {running['url']} (process {running['process']})")
    say(f"data      {running['data']}")
    if running["replicas"]:
        say(
            f"replicas  {', '.join(f'{name} {state}' for name, state in running['replicas'].items())}"
        )
    if running["url"]:
        say(f"running   {counted(running['running_calls'], 'call')}")
    kept = stored["journal"].get("usage", 0), stored["lake"].get("usage", 0)
    say(
        f"stored    {counted(kept[0], 'call')} in the journal, {counted(kept[1], 'call')} in the lake"
    )
    say("")
    print_sums(sums, by.upper(), f"Calls of the last {span_text(since_ns)}")
    errors = Counter({(n, code): k for n, one in sums.items() for code, k in one.errors.items()})
    if errors:
        say("")
        rows = [(f"{k:,}", name, code) for (name, code), k in errors.most_common(_MOST_ERRORS)]
        print_table(("ERRORS", by.upper(), "CODE"), rows, right="ERRORS")


def print_sums(sums: Mapping[str, Sum], caption: str, title: str) -> None:
    """A table of `sums`, under a title."""
    if not sums:
        say(f"{title}: none")
        return
    say(title, "")
    rows = [row_of(name, one) for name, one in sums.items()]
    print_table((caption, *COLUMNS.split()), rows, right=COLUMNS)
