"""`inferworks status`: is it running, is it well, what has it metered."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from inferworks.cli.options import config_option, data_folder, data_option, json_option
from inferworks.cli.show import print_json, print_table
from inferworks.errors import UpstreamError
from inferworks.folder import DataFolder
from inferworks.http.client import HttpClient, Origin, Timeouts
from inferworks.meter.reader import JournalReader

_TIMEOUTS = Timeouts(connect_s=2.0, first_byte_s=2.0, between_bytes_s=2.0)


@click.command(short_help="Show whether it runs, and what it metered.")
@config_option
@data_option
@json_option
def status(config_path: Path | None, data_path: Path | None, as_json: bool) -> None:
    """Show whether the platform runs, its replicas, and what it has metered.

    The exit status is 0 when it is running and ready, 1 otherwise.
    """
    folder = data_folder(config_path, data_path)
    report = _report(folder)
    if as_json:
        print_json(report)
    else:
        print_table(("", ""), [(name, _text(value)) for name, value in report.items()])
    if report["state"] != "ok":
        sys.exit(1)


def _report(folder: DataFolder) -> dict[str, Any]:
    instance = folder.instance()
    health: Mapping[str, Any] = (
        asyncio.run(_health(instance.url)) if instance and instance.url else {}
    )
    return {
        "state": health.get("status", "starting" if instance else "not running"),
        "url": instance.url if instance else None,
        "process": instance.pid if instance else None,
        "data": str(folder.path),
        "replicas": health.get("replicas", {}),
        "running_calls": health.get("running_calls", 0),
        "journal": _counts(folder),
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


def _counts(folder: DataFolder) -> Mapping[str, int]:
    if not folder.journal.exists():
        return {}
    with JournalReader(folder.journal) as reader:
        return reader.counts()


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {state}" for name, state in value.items()) or "none"
    return "-" if value is None else str(value)
