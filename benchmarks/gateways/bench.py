"""A gateway that runs in front of a mock upstream, ready to be measured, and the audit of its records."""

from __future__ import annotations

import http.client
import re
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from gateways import nginx
from gateways.base import Peer, Place, Started
from gateways.calls import SMALL_PROMPT, Target, is_whole
from gateways.processes import Process, free_port, running
from inferworks.folder import DataFolder
from inferworks.meter.archive.journals import JournalsReader


@dataclass
class Bench:
    """Running gateway, with counts of its calls."""

    process: Process
    target: Target
    direct: Target
    """Straight to the mock."""
    journal: Path | None
    scratch: Path
    calls: int = 0
    """Answered whole."""
    broken_off: int = 0
    """Calls under way when a load ended: answered or not."""
    notes: list[str] = field(default_factory=list)

    def count(self, whole: int, failed: int, broken_off: int = 0) -> None:
        """Add the results of a load; a failed call may have been answered as well."""
        self.calls += whole
        self.broken_off += broken_off + failed
        if failed:
            self.notes.append(f"{failed} calls failed of {whole + failed}")

    def settle(self) -> None:
        """Wait until a call is answered; NotRunning when none is."""
        self.process.wait_until(self._try)

    def _try(self) -> bool:
        answered = _answers(self.target)
        self.count(int(answered), 0, int(not answered))
        return answered

    def records(self) -> int | None:
        """The usage rows of the journal, where there is one; a note when they are not the calls."""
        if self.journal is None:
            return None
        with JournalsReader(DataFolder(self.journal.parent).written_journals()) as journals:
            records = journals.counts()["usage"]
        if not self.calls <= records <= self.calls + self.broken_off:
            most = self.calls + self.broken_off
            self.notes.append(f"WRONG: {records} records of {self.calls} to {most} calls")
        return records


@contextmanager
def bench(peer: Peer, home: Path, *, streams: bool) -> Iterator[Bench]:
    """`peer`, running and ready in front of a mock; its folder is below `home`, on a real disk."""
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, prefix="run-") as folder:
        scratch = Path(folder)
        with _mock(scratch, streams=streams) as (mock, direct):
            if peer.start is None:
                yield Bench(mock, direct, direct, None, scratch)
                return
            started = peer.start(Place(home / peer.name, scratch, free_port(), direct.port))
            log = scratch / "gateway.log"
            with running(started.command, log, started.environment) as process:
                target = _target(started, process)
                process.wait_until(lambda: _listens(target))
                ready = Bench(process, target, direct, started.journal, scratch)
                ready.settle()
                yield ready


@contextmanager
def _mock(scratch: Path, *, streams: bool) -> Iterator[tuple[Process, Target]]:
    """A mock upstream, running and ready: nginx for whole answers, which costs the machine least."""
    target = Target(free_port())
    command = [sys.executable, "-m", "gateways.mock", str(target.port)]
    if nginx.is_there() and not streams:
        command = nginx.mock_command(target.port, scratch)
    environment = {"PYTHONPATH": str(Path(__file__).parent.parent)}
    with running(command, scratch / "mock.log", environment) as process:
        process.wait_until(lambda: _answers(target))
        yield process, target


def _target(started: Started, process: Process) -> Target:
    """Return the target of calls; wait for the gateway to print its port, if it chooses one itself."""
    if started.port_said is None:
        return started.target
    pattern = re.compile(started.port_said)
    process.wait_until(lambda: pattern.search(process.log()) is not None)
    said = pattern.search(process.log())
    assert said, "we have just found it"
    return replace(started.target, port=int(said[1]))


def _listens(target: Target) -> bool:
    """Return whether the target accepts connections."""
    try:
        with socket.create_connection(("127.0.0.1", target.port), timeout=1):
            return True
    except OSError:
        return False


def _answers(target: Target) -> bool:
    """Return whether a small call is answered whole."""
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=10)
    try:
        body = target.body(SMALL_PROMPT)
        connection.request("POST", target.path, body, dict(target.fields()))
        response = connection.getresponse()
        return is_whole(response.status, response.read())
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
