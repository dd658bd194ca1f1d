"""Usage that other systems reported, recorded and retracted: by the running gateway, or right here."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from typing import TypeVar

import msgspec

from inferworks.accounts.author import current_user
from inferworks.clock import SystemClock
from inferworks.errors import JournalError, UpstreamError, UserError
from inferworks.folder import DataFolder, Instance
from inferworks.meter.activity import Received, record_reported, retract
from inferworks.meter.events import Reported, envelope
from inferworks.meter.journal import Journal
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.metering import KEY_VARIABLE, retraction, send

Result = TypeVar("Result")

_BATCH = 1000
"""Events in one request to a running gateway."""


def record_usage(reports: Sequence[Reported], folder: DataFolder) -> Received:
    """Journal `reports` by the running gateway or, when none runs, directly.

    UserError when a gateway runs and there is no key for it, it refuses or does not answer, or when the
    journal cannot be written. Reports journaled before that are duplicates the next time.
    """
    instance = folder.instance()
    try:
        if instance is not None:
            return _sent(list(map(envelope, reports)), instance, os.environ)
        with folder.hold():
            return asyncio.run(
                _journaled(folder, lambda journal: record_reported(journal, reports))
            )
    except (JournalError, UpstreamError) as error:
        raise UserError(f"{error}; correct that and import again: nothing counts twice") from error


def retract_usage(names: Sequence[tuple[str, str]], reason: str, folder: DataFolder) -> Received:
    """Retract the reports with these names (source, id), by the running gateway or directly.

    UserError as for `record_usage`.
    """
    instance = folder.instance()
    try:
        if instance is not None:
            events = [retraction(source, id_, reason) for source, id_ in names]
            return _sent(events, instance, os.environ)
        with folder.hold():
            found = asyncio.run(
                _journaled(
                    folder,
                    lambda journal: retract(
                        journal, {reason: names}, at_ns=SystemClock().now_ns(), by=current_user()
                    ),
                )
            )
            return Received(len(names), len(found.retracted), len(names) - len(found.retracted), 0)
    except (JournalError, UpstreamError) as error:
        raise UserError(
            f"{error}; correct that and try again: nothing is retracted twice"
        ) from error


async def _journaled(folder: DataFolder, write: Callable[[Journal], Awaitable[Result]]) -> Result:
    """Return what `write` does with the journal, which no other process has open."""
    journal = Journal(SqliteStore(folder.journal))
    journal.start()
    with closing(journal):
        return await write(journal)


def _sent(
    events: Sequence[Mapping[str, object]], instance: Instance, environment: Mapping[str, str]
) -> Received:
    """Send to the gateway, in batches; sending again after a break counts nothing twice."""
    key = environment.get(KEY_VARIABLE, "")
    if not instance.url:
        raise UserError("the platform is starting; try again in a moment")
    if not key:
        raise UserError(
            f"the platform is running at {instance.url}: set {KEY_VARIABLE} to a key that may report "
            "(inferworks keys create --report SOURCE), or stop it"
        )
    total = Received(0, 0, 0, 0)
    for begin in range(0, len(events), _BATCH):
        batch = events[begin : begin + _BATCH]
        counts = send(msgspec.json.encode(batch), instance.url, key)
        total += Received(len(batch), **counts)
    return total
