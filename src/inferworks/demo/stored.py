"""Bytes on disk over time: sampled from real files, integrated to byte-seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from inferworks.clock import Clock
from inferworks.metering import ActivityEvent
from inferworks.purpose import Purpose
from inferworks.units import NS_PER_SECOND, Unit

_EVERY_S = 0.25


class StoredBytes:
    """The bytes of the files that `files` lists, times the time they were there.

    Between two samples the earlier size counts; a file that comes and goes between them is not seen.
    """

    def __init__(self, bucket: str, purpose: Purpose, files: Callable[[], Sequence[Path]]) -> None:
        self._bucket = bucket
        self._purpose = purpose
        self._files = files
        self._start_ns: int | None = None
        self._last_ns = 0
        self._last_bytes = 0
        self._byte_ns = 0

    def sample(self, at_ns: int) -> None:
        """Look at the files at the moment `at_ns`."""
        if self._start_ns is None:
            self._start_ns = at_ns
        else:
            self._byte_ns += self._last_bytes * (at_ns - self._last_ns)
        self._last_ns, self._last_bytes = at_ns, 0
        for path in self._files():
            with suppress(FileNotFoundError):  # gone since it was listed
                self._last_bytes += path.stat().st_size

    def event(self, source: str) -> ActivityEvent:
        """Return the bytes held until the last sample, as an activity."""
        assert self._start_ns is not None, "sample first"
        return ActivityEvent(
            source=source,
            id=f"{self._bucket}/{self._start_ns}",
            resource=self._bucket,
            purpose=self._purpose,
            start_ns=self._start_ns,
            end_ns=self._last_ns,
            quantity=self._byte_ns // NS_PER_SECOND,
            unit=Unit.BYTE_SECONDS,
            description=f"files held in {self._bucket}, sampled every {_EVERY_S:g} s",
        )


async def watch(stores: Sequence[StoredBytes], clock: Clock) -> None:
    """Sample `stores` now and then, until cancelled."""
    while True:
        for store in stores:
            store.sample(clock.now_ns())
        await clock.sleep(_EVERY_S)
