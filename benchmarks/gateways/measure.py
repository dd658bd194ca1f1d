"""What is done to one gateway, and in which order.

Each part starts the gateway anew over a mock upstream of its own: nginx, where it is there, answers whole
calls, because it costs the machine least; our own mock streams. A part that fails leaves a note in place
of its figures, and the others go on.
"""

from __future__ import annotations

import http.client
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from gateways import nginx
from gateways.base import CannotInstall, Peer, Place, Started
from gateways.calls import LARGE_PROMPT, SMALL_PROMPT, Target, is_whole
from gateways.figures import Figures
from gateways.processes import NotRunning, Process, free_port, running
from gateways.saturate import CONNECTIONS, Saturation, saturate
from inferworks.meter.reader import JournalReader

_ROUNDS = 3
_WARM_S = 2.0


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    parts: frozenset[str]
    seconds: float
    home: Path
    instructions: bool


@dataclass
class Bench:
    """A gateway that runs, and what has been seen of it."""

    process: Process
    target: Target
    direct: Target
    """Straight to the mock."""
    started: Started
    scratch: Path
    options: Options
    calls: int = 0
    """Answered whole, as far as we know."""
    loose: int = 0
    """Calls that were under way when a load was broken off: they may have been answered or not."""
    notes: list[str] = field(default_factory=list)


def install(peer: Peer, options: Options) -> str:
    """Install `peer` unless it is; why it could not be, or nothing."""
    try:
        if peer.version(options.home / peer.name) is None:
            peer.install(options.home / peer.name)
    except CannotInstall as error:
        return f"cannot be installed: {error}"
    return ""


def measure(peer: Peer, options: Options, note: str = "") -> Figures:
    """The figures of `peer`; of one that is not installed or does not run, the reason."""
    home = options.home / peer.name
    version = peer.version(home)
    figures = Figures(peer.name, version)
    if version is None:
        return replace(figures, notes=(note or "not installed; try --install",))
    for take in _takes(options):
        try:
            figures = _taken(peer, take, options, figures)
        except (NotRunning, OSError) as error:
            figures = replace(figures, notes=(*figures.notes, f"{take.__name__}: {error}"))
    return figures


def _taken(peer: Peer, take: Part, options: Options, figures: Figures) -> Figures:
    with _bench(peer, options, streams=take in _STREAM_PARTS) as bench:
        figures = take(bench, figures)
        figures = _audited(bench, figures)
        return replace(figures, rss_mb=bench.process.rss_mb())


@contextmanager
def _bench(peer: Peer, options: Options, *, streams: bool) -> Iterator[Bench]:
    """`peer`, running and ready in front of a mock."""
    options.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.home, prefix="run-") as folder:
        scratch = Path(folder)
        with _mock(scratch, streams=streams) as direct:
            place = Place(options.home / peer.name, scratch, free_port(), direct.port)
            started = peer.start(place)
            log = scratch / "gateway.log"
            with running(started.command, log, started.environment) as process:
                bench = Bench(process, started.target, direct, started, scratch, options)
                process.wait_until(lambda: _answers(bench.target))
                bench.calls += 1
                yield bench


@contextmanager
def _mock(scratch: Path, *, streams: bool) -> Iterator[Target]:
    """A mock upstream, running and ready."""
    target = Target(free_port())
    command = [sys.executable, "-m", "gateways.mock", str(target.port)]
    if nginx.is_there() and not streams:
        command = nginx.mock_command(target.port, scratch)
    environment = {"PYTHONPATH": str(Path(__file__).parent.parent)}
    with running(command, scratch / "mock.log", environment) as process:
        process.wait_until(lambda: _answers(target))
        yield target


def _answers(target: Target) -> bool:
    """Whether a small call is answered whole."""
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


def _audited(bench: Bench, figures: Figures) -> Figures:
    """`figures` with the records of the calls, which must agree, where a gateway keeps any."""
    if bench.started.journal is None:
        return replace(figures, notes=(*figures.notes, *bench.notes))
    with JournalReader(bench.started.journal) as journal:
        records = journal.counts()["usage"]
    if not bench.calls <= records <= bench.calls + bench.loose:
        bench.notes.append(
            f"{records} records of {bench.calls} to {bench.calls + bench.loose} calls"
        )
    return replace(
        figures,
        calls=(figures.calls or 0) + bench.calls,
        calls_broken_off=(figures.calls_broken_off or 0) + bench.loose,
        records=(figures.records or 0) + records,
        notes=(*figures.notes, *bench.notes),
    )


# --- the parts


def small(bench: Bench, figures: Figures) -> Figures:
    """Small calls at saturation."""
    cpu_us, load = _saturated(bench, SMALL_PROMPT)
    return replace(
        figures,
        cpu_us_per_request=cpu_us,
        requests_per_s=load.calls / load.duration_s,
        p50_ms=load.p50_ms,
        p99_ms=load.p99_ms,
    )


def large(bench: Bench, figures: Figures) -> Figures:
    """Prompts of 100 kB."""
    cpu_us, _ = _saturated(bench, LARGE_PROMPT)
    return replace(figures, large_cpu_us_per_request=cpu_us)


def _saturated(bench: Bench, prompt: str) -> tuple[float, Saturation]:
    """CPU microseconds per call, and the load: the median of the rounds by CPU time, after a warm one."""
    _load(bench, prompt, _WARM_S)
    rounds = [_load(bench, prompt, bench.options.seconds) for _ in range(_ROUNDS)]
    rounds.sort(key=lambda one: one[0])
    return rounds[_ROUNDS // 2]


def _load(bench: Bench, prompt: str, seconds: float) -> tuple[float, Saturation]:
    before_s = bench.process.cpu_s()
    load = saturate(bench.target, prompt, seconds, bench.scratch)
    cpu_s = bench.process.cpu_s() - before_s
    if load.failed or not load.calls:
        bench.notes.append(f"{load.failed} calls failed of {load.calls + load.failed}")
    bench.calls += load.calls
    bench.loose += CONNECTIONS
    return cpu_s / max(1, load.calls) * 1e6, load


Part = Callable[[Bench, Figures], Figures]
PARTS: Mapping[str, str] = {"small": "small calls at saturation", "large": "prompts of 100 kB"}
_STREAM_PARTS: frozenset[Part] = frozenset()


def _takes(options: Options) -> list[Part]:
    return [part for part in (small, large) if part.__name__ in options.parts]
