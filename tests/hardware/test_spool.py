"""The file a replica writes about itself."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import msgspec
import pytest

from inferworks.clock import SimClock
from inferworks.hardware.spool import ReplicaState, Spool, StateLine, StepLine, read_spool
from inferworks.ids import CallId, ModelId, NodeId, ReplicaId


def spool_at(path: Path) -> Spool:
    """A spool of replica r on node n."""
    return Spool(path, SimClock(7), ReplicaId("r"), NodeId("n"), ModelId("m"))


def test_lines_come_back_as_they_were_written(tmp_path: Path) -> None:
    """States and steps are read back in order, the steps numbered from one."""
    spool = spool_at(tmp_path / "s")
    spool.enter(ReplicaState.IDLE)
    spool.step(8, 2, ((CallId("a"), 0, 1, 9),))
    spool.step(10, 1, ())
    spool.close()
    assert read_spool(tmp_path / "s") == (
        StateLine(ReplicaState.IDLE, 7, ReplicaId("r"), NodeId("n"), ModelId("m")),
        StepLine(1, 8, 2, ((CallId("a"), 0, 1, 9),)),
        StepLine(2, 10, 1, ()),
    )


def test_the_wire_form_is_the_documented_one(tmp_path: Path) -> None:
    """Other programs read the file, so its bytes are fixed."""
    spool = spool_at(tmp_path / "s")
    spool.enter(ReplicaState.IDLE)
    spool.step(8, 2, ((CallId("a"), 64, 0, 64),))
    spool.close()
    assert (tmp_path / "s").read_bytes() == (
        b'{"t":"state","state":"idle","at_ns":7,"replica":"r","node":"n","model":"m"}\n'
        b'{"t":"step","seq":1,"start_ns":8,"duration_ns":2,"calls":[["a",64,0,64]]}\n'
    )


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    """Whole lines before a torn one are readable, at whatever byte the write stopped."""
    spool = spool_at(tmp_path / "s")
    spool.step(1, 1, ())
    spool.step(2, 1, ())
    spool.close()
    whole = (tmp_path / "s").read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole)):
        (tmp_path / "torn").write_bytes(whole[:cut])
        assert [line.seq for line in read_spool(tmp_path / "torn")] == [1]  # type: ignore[union-attr]


def test_damage_inside_is_not_passed_over(tmp_path: Path) -> None:
    """A whole line that is not ours is an error, not a gap."""
    (tmp_path / "s").write_bytes(b'{"t":"else"}\n')
    with pytest.raises(msgspec.DecodeError):
        read_spool(tmp_path / "s")


def test_a_beat_repeats_the_state(tmp_path: Path) -> None:
    """While nothing runs, a beat says that the state, whatever it is, still holds."""
    spool = spool_at(tmp_path / "s")
    spool.start(3)
    spool.beat()
    spool.enter(ReplicaState.DRAINING)
    spool.beat()
    spool.close()
    lines = read_spool(tmp_path / "s")
    states = [(line.state, line.at_ns) for line in lines if isinstance(line, StateLine)]
    assert states == [("starting", 3), ("starting", 7), ("draining", 7), ("draining", 7)]


@pytest.mark.parametrize("room", range(0, 160, 13))
def test_a_full_disk_loses_no_line(tmp_path: Path, room: int) -> None:
    """A line that does not fit is written once it does, wherever in the line the disk was full."""
    path = tmp_path / "s"
    spool = spool_at(path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        for number in range(5):
            spool.step(10 * number, 1, ())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.stat().st_size == room
    spool.step(50, 1, ())
    spool.close()
    steps = [line for line in read_spool(path) if isinstance(line, StepLine)]
    assert [step.seq for step in steps] == [1, 2, 3, 4, 5, 6]


def test_a_disk_that_stays_full_ends_the_replica(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work that cannot be traced is not done for ever."""
    monkeypatch.setattr("inferworks.hardware.spool._MOST_UNWRITTEN_BYTES", 200)
    spool = spool_at(tmp_path / "s")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def step_for_ever() -> None:
        for number in range(100):
            spool.step(number, 1, ())

    with monkeypatch.context() as disk:
        disk.setattr(os, "write", full)
        spool.step(0, 1, ())
        with pytest.raises(OSError, match="No space left"):
            step_for_ever()
    spool.close()
