"""Bytes that the demo stores, and for how long."""

from __future__ import annotations

from pathlib import Path

from inferworks.demo.stored import StoredBytes
from inferworks.purpose import Purpose
from inferworks.units import NS_PER_SECOND


def test_stored_bytes_are_size_times_time(tmp_path: Path) -> None:
    """Ten bytes for two seconds, then thirty for one: fifty byte-seconds."""
    file = tmp_path / "corpus"
    store = StoredBytes("datasets", Purpose.DATA_PREP, lambda: [file, tmp_path / "gone"])
    file.write_bytes(b"x" * 10)
    store.sample(0)
    store.sample(2 * NS_PER_SECOND)
    file.write_bytes(b"x" * 30)
    store.sample(2 * NS_PER_SECOND)
    store.sample(3 * NS_PER_SECOND)
    event = store.event("a-test")
    assert (event.quantity, event.unit, event.start_ns, event.end_ns) == (
        50,
        "byte_seconds",
        0,
        3 * NS_PER_SECOND,
    )
