"""`inferworks status`: is it running, is it well, what has it metered."""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from inferworks.cli.options import config_option, data_option, json_option, read_config
from inferworks.cli.show import print_json, print_table
from inferworks.errors import UpstreamError
from inferworks.folder import DataFolder
from inferworks.http.client import HttpClient, Origin, Timeouts
from inferworks.meter.lake_journal import UnsealedReader
from inferworks.meter.lake_manifest import read_manifest
from inferworks.meter.lakes.detect import lake_at
from inferworks.observe.table import CALLS

_ENDED = re.compile(rf'^{CALLS.name}{{.*outcome="([a-z]+)".*}} ([0-9]+)$', re.MULTILINE)
_TIMEOUTS = Timeouts(connect_s=2.0, first_byte_s=2.0, between_bytes_s=2.0)


@click.command(short_help="Show whether it runs, and what it metered.")
@config_option
@data_option
@json_option
def status(config_path: Path | None, data_path: Path | None, as_json: bool) -> None:
    """Show whether the platform runs, its replicas, and what it has metered.

    What was metered is in the journal until it is sealed into the lake; both are counted. Where
    observe.metrics_listen is set, it also shows how the calls since the start have ended. The exit status
    is 0 when it is running and ready, 1 otherwise.
    """
    config = read_config(config_path, data_path)
    folder = DataFolder(Path(config.data.folder))
    report = _report(folder, config.lake.url or str(folder.lake), config.observe.metrics_listen)
    if as_json:
        print_json(report)
    else:
        print_table(("", ""), [(name, _text(value)) for name, value in report.items()])
    if report["state"] != "ok":
        sys.exit(1)


def _report(folder: DataFolder, lake_url: str, metrics_at: str) -> dict[str, Any]:
    instance = folder.instance()
    is_up = instance is not None and bool(instance.url)
    health: Mapping[str, Any] = (
        asyncio.run(_health(instance.url)) if instance and instance.url else {}
    )
    calls = asyncio.run(_calls(metrics_at)) if is_up and metrics_at else {}
    return {
        "state": health.get("status", "starting" if instance else "not running"),
        "url": instance.url if instance else None,
        "process": instance.pid if instance else None,
        "data": str(folder.path),
        "replicas": health.get("replicas", {}),
        "running_calls": health.get("running_calls", 0),
        **({"calls": calls} if calls else {}),
        "journal": _unsealed(folder),
        "lake": _sealed(lake_url),
    }


async def _health(url: str) -> Mapping[str, Any]:
    client = HttpClient(_TIMEOUTS)
    origin = Origin.parse(url.removesuffix("/v1"))
    try:
        async with client.stream("GET", origin, "/health") as response:
            body = await response.read(2.0, 1 << 20)
            return msgspec.json.decode(body, type=dict[str, Any])
    except (UpstreamError, msgspec.DecodeError):
        return {"status": "not answering"}
    finally:
        client.close()


async def _calls(metrics_at: str) -> Mapping[str, int]:
    """Calls since the start by how they ended, where metrics are shown without a key."""
    client = HttpClient(_TIMEOUTS)
    try:
        async with client.stream(
            "GET", Origin.parse(f"http://{metrics_at}"), "/metrics"
        ) as response:
            text = (await response.read(2.0, 1 << 26)).decode()
    except UpstreamError:
        return {}
    finally:
        client.close()
    ended: Counter[str] = Counter()
    for outcome, number in _ENDED.findall(text):
        ended[outcome] += int(number)
    return dict(sorted(ended.items()))


def _unsealed(folder: DataFolder) -> Mapping[str, int]:
    """Rows by table that are in the journal alone."""
    if not folder.journal.exists():
        return {}
    with UnsealedReader(folder.journal) as reader:
        return {**reader.counts(), **reader.unsealed_counts()}


def _sealed(lake_url: str) -> Mapping[str, int]:
    """Rows by table that are in the lake."""
    rows: Counter[str] = Counter()
    for segment in read_manifest(lake_at(lake_url)).segments:
        rows[segment.table] += segment.rows
    return dict(sorted(rows.items()))


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {state}" for name, state in value.items()) or "none"
    return "-" if value is None else str(value)
