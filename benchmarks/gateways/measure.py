"""Measurements of a gateway, part by part.

Each part starts the gateway anew, warms it, and fills in its figures. A part that fails leaves a note in
place of them, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import uvloop

from gateways.base import CannotInstall, Peer
from gateways.bench import Bench, bench
from gateways.calls import LARGE_PROMPT, SMALL_PROMPT, Target, is_whole
from gateways.client import Answer
from gateways.figures import Figures
from gateways.instructions import counted
from gateways.processes import NotRunning
from gateways.saturate import CONNECTIONS, Saturation, saturate
from gateways.steady import Added, added
from gateways.streams import PAUSE_US, Held, hold, is_whole_stream, most_held, prompt

T = TypeVar("T")

_ROUNDS = 3
_WARM_S = 2.0
_LOW_RATE_PER_S = 50.0
_STREAM_RATE_PER_S = 20.0
_SHORT_CHUNKS = 5
"""Chunks of the streams whose first byte is timed."""
_STREAMS = 100
"""Streams at once where the CPU time per chunk is taken: 5,000 chunks a second."""
_HALVINGS = 2
_BURST_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Options:
    """Options of a run."""

    parts: frozenset[str]
    seconds: float
    home: Path
    """Folder below which the gateways are installed, and run."""
    instructions: bool


def install(peer: Peer, home: Path) -> str:
    """Install `peer` unless it is; why it could not be, or nothing."""
    try:
        if peer.version(home / peer.name) is None:
            peer.install(home / peer.name)
    except CannotInstall as error:
        return f"cannot be installed: {error}"
    return ""


def measure(peer: Peer, options: Options, note: str = "") -> Figures:
    """The figures of `peer`; of one that is not installed or does not run, `note` or the reason."""
    version = peer.version(options.home / peer.name)
    figures = Figures(peer.name, version)
    if version is None:
        return replace(figures, notes=(note or "not installed; try --install",))
    for name, part in PARTS.items():
        if name in options.parts:
            figures = _with(part, peer, options, figures)
    return figures


def _with(part: Part, peer: Peer, options: Options, figures: Figures) -> Figures:
    """Return `figures` with those of `part`."""
    try:
        with bench(peer, options.home, streams=part.streams) as running:
            return _audited(running, part.take(running, options, figures))
    except (NotRunning, OSError) as error:
        return replace(figures, notes=(*figures.notes, f"{part.meaning}: {error}"))


def _audited(running: Bench, figures: Figures) -> Figures:
    """`figures` with memory, and the records beside the calls where a gateway keeps any."""
    records = running.records()
    figures = replace(
        figures,
        rss_mb=max(figures.rss_mb or 0.0, running.process.rss_mb()),
        notes=(*figures.notes, *running.notes),
    )
    if records is None:
        return figures
    return replace(
        figures,
        calls=(figures.calls or 0) + running.calls,
        calls_broken_off=(figures.calls_broken_off or 0) + running.broken_off,
        records=(figures.records or 0) + records,
    )


# --- the parts


def _small(running: Bench, options: Options, figures: Figures) -> Figures:
    cpu_us, (load, instructions) = _saturated(running, options, SMALL_PROMPT)
    return replace(
        figures,
        cpu_us_per_request=cpu_us,
        requests_per_s=load.calls / load.duration_s,
        p50_ms=load.p50_ms,
        p99_ms=load.p99_ms,
        instructions_per_request=instructions,
    )


def _large(running: Bench, options: Options, figures: Figures) -> Figures:
    cpu_us, _ = _saturated(running, options, LARGE_PROMPT)
    return replace(figures, large_cpu_us_per_request=cpu_us)


_Load = tuple[Saturation, float | None]
"""Result of a load, and the instructions per call if they were counted."""


def _saturated(running: Bench, options: Options, text: str) -> tuple[float, _Load]:
    """CPU microseconds per call in the calmest of the rounds, after a warm one."""
    _round(running, text, _WARM_S, instructions=False)
    return _calmest(
        _round(running, text, options.seconds, instructions=options.instructions)
        for _ in range(_ROUNDS)
    )


def _round(running: Bench, text: str, seconds: float, *, instructions: bool) -> tuple[float, _Load]:
    before_s = running.process.cpu_s()
    with counted(running.process.pids()) if instructions else nullcontext() as count:
        load = saturate(running.target, text, seconds, running.scratch)
    cpu_s = running.process.cpu_s() - before_s
    running.count(load.calls, load.failed, CONNECTIONS)
    _require(load.calls)
    executed = count.instructions if count else None
    return cpu_s / load.calls * 1e6, (load, executed and executed / load.calls)


def _low(running: Bench, options: Options, figures: Figures) -> Figures:
    whole = _added(
        running,
        options.seconds,
        _LOW_RATE_PER_S,
        request=lambda target: target.request(SMALL_PROMPT),
        is_good=lambda answer: is_whole(answer.status, answer.body),
        took_ms=lambda answer: answer.took_ms,
    )
    return replace(figures, added_p50_ms=whole.p50_ms, added_p99_ms=whole.p99_ms)


def _first_byte(running: Bench, options: Options, figures: Figures) -> Figures:
    text = prompt(_SHORT_CHUNKS, 20_000)
    first = _added(
        running,
        options.seconds,
        _STREAM_RATE_PER_S,
        request=lambda target: target.request(text, stream=True),
        is_good=lambda answer: is_whole_stream(answer, _SHORT_CHUNKS),
        took_ms=lambda answer: answer.first_byte_ms,
    )
    return replace(
        figures, added_first_byte_p50_ms=first.p50_ms, added_first_byte_p99_ms=first.p99_ms
    )


def _added(
    running: Bench,
    seconds: float,
    rate_per_s: float,
    *,
    request: Callable[[Target], bytes],
    is_good: Callable[[Answer], bool],
    took_ms: Callable[[Answer], float],
) -> Added:
    """Measure the latency that the gateway adds, after a warm second."""
    for duration_s in (1.0, seconds):
        load = added(
            running.direct,
            running.target,
            request,
            rate_per_s=rate_per_s,
            seconds=duration_s,
            is_good=is_good,
            took_ms=took_ms,
        )
        outcome = uvloop.run(load)
        running.count(outcome.whole, outcome.failed)
        _require(outcome.whole)
    return outcome


def _streams(running: Bench, options: Options, figures: Figures) -> Figures:
    """The time to the first byte, the CPU time of a chunk, and the most streams held."""
    figures = _first_byte(running, options, figures)
    cpu_us, outcome = _calmest(_held(running, _STREAMS) for _ in range(_ROUNDS))
    first = _STREAMS * 4 if outcome.is_held else _STREAMS // 4
    held = most_held(lambda streams: _held(running, streams)[1].is_held, first, _HALVINGS)
    return replace(figures, cpu_us_per_chunk=cpu_us, streams_held=held)


def _bursts(running: Bench, options: Options, figures: Figures) -> Figures:  # noqa: ARG001
    cpu_us, outcome = _calmest(_burst(running) for _ in range(_ROUNDS + 1))
    _require(outcome.whole)
    return replace(figures, burst_cpu_us_per_chunk=cpu_us)


def _burst(running: Bench) -> tuple[float, Held]:
    return _held(running, _STREAMS, pause_us=0, patience_s=_BURST_PATIENCE_S)


def _held(
    running: Bench, streams: int, pause_us: int = PAUSE_US, patience_s: float = 0.0
) -> tuple[float, Held]:
    """Measure CPU microseconds per chunk of so many streams, and the streams' results."""
    before_s = running.process.cpu_s()
    load = hold(running.target, streams, pause_us=pause_us, patience_s=patience_s)
    outcome = uvloop.run(load)
    cpu_s = running.process.cpu_s() - before_s
    running.count(outcome.whole, 0, streams - outcome.whole)
    running.settle()
    return cpu_s / max(1, outcome.chunks) * 1e6, outcome


def _calmest(rounds: Iterable[tuple[float, T]]) -> tuple[float, T]:
    """Return the round that took the least CPU time.

    Other load on the machine can only add to it: it takes caches and turns away, never gives any.
    """
    return min(rounds, key=lambda one: one[0])


def _require(whole: int) -> None:
    if not whole:
        raise NotRunning("no call was answered whole")


@dataclass(frozen=True)
class Part:
    """One part of the benchmark."""

    meaning: str
    take: Callable[[Bench, Options, Figures], Figures]
    streams: bool = False


PARTS: Mapping[str, Part] = {
    "small": Part("small calls at saturation", _small),
    "low": Part("small calls at a low rate", _low),
    "large": Part("prompts of 100 kB", _large),
    "streams": Part("paced streams", _streams, streams=True),
    "bursts": Part("streams whose chunks come all at once", _bursts, streams=True),
}
