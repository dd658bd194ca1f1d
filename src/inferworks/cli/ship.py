"""`inferworks ship`: what was shipped to a hub and what waits, and what a hub has received."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from inferworks.cli.options import config_option, data_option, json_option, read_config
from inferworks.cli.show import counted, print_json, print_table, say
from inferworks.errors import DataFolderError, ShippingError
from inferworks.folder import DataFolder
from inferworks.meter.shipping.outbox import Outbox
from inferworks.meter.shipping.receive import ReceivedReader
from inferworks.units import NS_PER_SECOND


@click.group()
def ship() -> None:
    """Ship the records of nodes to a hub, and see how far that is."""


@ship.command()
@config_option
@data_option
@json_option
def status(config_path: Path | None, data_path: Path | None, as_json: bool) -> None:
    """Show what this node has shipped, what waits, and what it has received of other nodes.

    What waits is counted in pieces: what became durable together, of up to 64 kB.

    \b
    Examples:
      inferworks ship status
      inferworks ship status --json
    """
    config = read_config(config_path, data_path)
    folder = DataFolder(Path(config.data.folder))
    sent = _sent(folder)
    received = []
    if folder.journal.exists():
        with ReceivedReader(folder.journal) as reader:
            received = reader.received()
    if as_json:
        print_json({"ships": sent, "received": received})
        return
    if sent is None:
        say("This node ships nothing (ship.url).")
    else:
        say(f"ships as  {sent['node']}")
        say(f"hub       {config.ship.url or 'none is set (ship.url): everything waits'}")
        say("")
        shown = [
            (
                *(j["journal"], j["run"][:8], f"{j['acknowledged']:,}"),
                *(j["acknowledged_at"] or "never", f"{j['waiting']:,}", f"{j['pieces']:,}"),
                f"{j['bytes']:,}",
            )
            for j in sent["journals"]
        ]
        columns = ("JOURNAL", "RUN", "ACKNOWLEDGED", "AT", "WAITING", "KEPT", "BYTES")
        print_table(columns, shown, right="ACKNOWLEDGED WAITING KEPT BYTES")
    if received:
        say("")
        rows = [
            (r.node, r.run[:8], f"{r.position:,}", f"{r.records:,}", _iso(r.received_ns))
            for r in received
        ]
        print_table(("NODE", "RUN", "PIECES", "RECORDS", "NEWEST"), rows, right="PIECES RECORDS")


@ship.command()
@config_option
@data_option
def restart(config_path: Path | None, data_path: Path | None) -> None:
    """Ship under a new run, beginning behind what the hub has acknowledged.

    For a journal that was restored from an older copy or copied to a second machine, whose records the hub
    would otherwise take for others; it refuses them and says so. The gateway must be stopped.

    \b
    Example:
      inferworks ship restart
    """
    config = read_config(config_path, data_path)
    folder = _stopped(DataFolder(Path(config.data.folder)))
    with folder.hold():
        outboxes = _shipping_journals(folder)
        for path in outboxes:
            with Outbox(path) as outbox:
                waiting = outbox.status().waiting
                run = outbox.restart(config.engine.node)
            what = counted(waiting, "piece")
            say(f"{path.name}: {run.node} ships as run {run.id} from now on; {what} to ship.")


@ship.command()
@click.option("--discard", is_flag=True, help="Even if the hub has not acknowledged everything.")
@config_option
@data_option
def end(discard: bool, config_path: Path | None, data_path: Path | None) -> None:
    """Ship no more. The journal and the lake of this node keep all records.

    The gateway must be stopped, and ship.url be taken out of its configuration before it starts again.

    \b
    Example:
      inferworks ship end
    """
    config = read_config(config_path, data_path)
    folder = _stopped(DataFolder(Path(config.data.folder)))
    with folder.hold():
        outboxes = _shipping_journals(folder)
        waiting = sum(state["waiting"] for path in outboxes if (state := _state(path)))
        if waiting and not discard:
            raise ShippingError(
                f"the hub has not acknowledged {counted(waiting, 'piece')}; start the gateway until it "
                "has, or give them up with --discard"
            )
        for path in outboxes:
            with Outbox(path) as outbox:
                outbox.end()
    say("This node ships nothing from now on.")


def _sent(folder: DataFolder) -> dict[str, Any] | None:
    """Return the state of the outboxes, one for each journal; None when this node ships nothing."""
    states = [state for path in folder.written_journals() if (state := _state(path)) is not None]
    if not states:
        return None
    sums = ("acknowledged", "waiting", "pieces", "bytes")
    return {
        "node": states[0]["node"],
        "run": states[0]["run"],
        **{name: sum(state[name] for state in states) for name in sums},
        "acknowledged_at": max(filter(None, (s["acknowledged_at"] for s in states)), default=None),
        "journals": states,
    }


def _state(path: Path) -> dict[str, Any] | None:
    """Return the state of one journal's outbox; None when it ships nothing."""
    try:
        with Outbox(path) as outbox:
            found = outbox.status()
    except ShippingError:
        return None
    return {
        "journal": path.name,
        "node": found.run.node,
        "run": found.run.id,
        "acknowledged": found.acknowledged,
        "acknowledged_at": found.acknowledged_ns and _iso(found.acknowledged_ns),
        "waiting": found.waiting,
        "pieces": found.pieces,
        "bytes": found.bytes,
    }


def _shipping_journals(folder: DataFolder) -> list[Path]:
    """Return the journals of `folder` that ship; ShippingError when none does."""
    found = [path for path in folder.written_journals() if _state(path) is not None]
    if not found:
        raise ShippingError(
            f"the journal {folder.journal} does not ship; set ship.url and start the gateway"
        )
    return found


def _stopped(folder: DataFolder) -> DataFolder:
    instance = folder.instance()
    if instance is not None:
        raise DataFolderError(f"the gateway is running (process {instance.pid}); stop it first")
    return folder


def _iso(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // NS_PER_SECOND, UTC).isoformat()
