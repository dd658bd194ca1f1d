"""Speed of the embedded engine, alone and behind HTTP, and the cost of a step.

    PYTHONPATH=src python benchmarks/engine.py [--json] [--tokens N]

Three parts. *In process*: n endless streams at once, straight at the engine. *Over HTTP*: the same
through a served process and sockets, read by this one. *Weights*: a mixed load is run, and the length
of each step is explained by least squares from what was in it:

    duration = fixed + prefill*p + prefill_context*p*c + decode*d + decode_context*d*c

with p and d the prefill and decode tokens of a call in the step and c its context, summed over calls.
A weight is the cost of one token of its kind; to divide a replica's time among its calls only the ratios
matter. Weights are printed in integer picoseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import uvloop
from numpy.typing import NDArray

from inferworks.clock import SystemClock
from inferworks.hardware.engines.base import GenerationRequest, Message
from inferworks.hardware.engines.embedded.engine import EmbeddedEngine
from inferworks.hardware.engines.embedded.model import Model
from inferworks.hardware.spool import CallTokens, StepLine, read_spool
from inferworks.ids import CallId

STREAMS = (1, 2, 4, 8, 16)
PROMPT = "Tell me a long story about Ada."
TERMS = ("fixed", "prefill", "prefill_context", "decode", "decode_context")


@dataclass(frozen=True)
class Speed:
    """One row of the result; CPU time is of the engine's process."""

    streams: int
    tokens_per_s: int
    step_ms: float
    cpu_us_per_token: float


@dataclass(frozen=True)
class Weights:
    """Costs of a step's parts, in picoseconds, and the share of the steps' time that they explain."""

    weights_ps: dict[str, int]
    steps: int
    explained_percent: float


class Trace:
    """The steps an engine took."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, tuple[CallTokens, ...]]] = []

    def add(self, start_ns: int, duration_ns: int, calls: tuple[CallTokens, ...]) -> None:
        """Remember a step."""
        del start_ns
        self.steps.append((duration_ns, calls))


def endless(call: str, text: str, tokens: int) -> GenerationRequest:
    """An ask that ends with its limit and with nothing else."""
    messages = (Message("user", text),)
    return GenerationRequest(
        CallId(call), messages, seed=1, max_tokens=tokens, temperature=0.0, ignore_eos=True
    )


async def read(engine: EmbeddedEngine, ask: GenerationRequest) -> None:
    """Read an answer to its end."""
    async with engine.generate(ask) as answer:
        while await answer.next():
            pass


def speed(tokens: int, streams: int, run: Callable[[], float], cpu: Callable[[], float],
          steps_ns: Callable[[], list[int]]) -> Speed:  # fmt: skip
    """Measure one run; `run` returns its seconds, `cpu` and `steps_ns` read counters."""
    before, seen = cpu(), len(steps_ns())
    elapsed = run()
    used = cpu() - before
    durations = steps_ns()[seen:]
    written = streams * tokens
    return Speed(
        streams,
        round(written / elapsed),
        round(sum(durations) / len(durations) / 1e6, 3),
        round(used / written * 1e6, 1),
    )


def in_process(model: Model, tokens: int) -> list[Speed]:
    """Measure the engine without HTTP."""
    trace = Trace()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        engine = runner.run(_open(model, trace))

        def run(streams: int) -> float:
            begin = time.perf_counter()
            runner.run(_read_all(engine, [endless("c", PROMPT, tokens)] * streams))
            return time.perf_counter() - begin

        def steps_ns() -> list[int]:
            return [duration for duration, _ in trace.steps]

        run(2)
        rows = [speed(tokens, n, partial(run, n), time.process_time, steps_ns) for n in STREAMS]
        runner.run(engine.close())
    return rows


async def _open(model: Model, trace: Trace) -> EmbeddedEngine:
    return EmbeddedEngine(model, "inferworks-tiny", SystemClock(), on_step=trace.add)


async def _read_all(engine: EmbeddedEngine, asks: list[GenerationRequest]) -> None:
    await asyncio.gather(*(read(engine, ask) for ask in asks))


async def stream_over_http(port: int, tokens: int) -> int:
    """Read one streamed answer to its end; return its size in bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    fields = {
        "model": "inferworks-tiny",
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
    }
    body = msgspec.json.encode(fields)
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n" % len(body)
    writer.write(head + b"connection: close\r\n\r\n" + body)
    size, tail = 0, b""
    while data := await reader.read(65536):
        size += len(data)
        tail = (tail + data)[-64:]
    writer.close()
    assert b"[DONE]" in tail, "the stream ended early"
    return size


def cpu_seconds(pid: int) -> float:
    """User and system time of another process, by the kernel's clock for it (Linux)."""
    return time.clock_gettime((~pid << 3) | 2)


def over_http(tokens: int) -> list[Speed]:
    """Measure a served process through sockets."""
    with tempfile.TemporaryDirectory() as folder:
        spool = Path(folder) / "spool"
        command = [sys.executable, "-m", "inferworks.hardware.engines.embedded.serve",
                   "--replica", "r", "--node", "n", "--spool", str(spool)]  # fmt: skip
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            port = json.loads(process.stdout.readline())["port"]
            rows = _measure_http(process.pid, port, spool, tokens)
            process.terminate()
    return rows


def _measure_http(pid: int, port: int, spool: Path, tokens: int) -> list[Speed]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

        async def together(streams: int) -> None:
            await asyncio.gather(*(stream_over_http(port, tokens) for _ in range(streams)))

        def run(streams: int) -> float:
            begin = time.perf_counter()
            runner.run(together(streams))
            return time.perf_counter() - begin

        def steps_ns() -> list[int]:
            return [line.duration_ns for line in read_spool(spool) if isinstance(line, StepLine)]

        run(2)
        return [
            speed(tokens, n, partial(run, n), partial(cpu_seconds, pid), steps_ns) for n in STREAMS
        ]


def mixed_load(model: Model) -> Trace:
    """Run calls of many sizes at many degrees of company."""
    rng, trace = random.Random(1), Trace()

    async def run() -> None:
        engine = EmbeddedEngine(model, "inferworks-tiny", SystemClock(), on_step=trace.add)
        for together in (1, 2, 3, 5, 8, 12, 16, 24) * 2:
            sizes = [(rng.randint(5, 700), rng.randint(20, 250)) for _ in range(together)]
            await _read_all(engine, [endless(str(n), "x" * p, d) for n, (p, d) in enumerate(sizes)])
        await engine.close()

    asyncio.run(run())
    return trace


def fit(trace: Trace) -> Weights:
    """Explain the steps by their contents; the slowest hundredth, disturbed from outside, is left out."""
    rows = np.array([_features(calls) for _, calls in trace.steps], np.float64)
    durations = np.array([duration for duration, _ in trace.steps], np.float64)
    weights = _least_squares(rows, durations)
    late = durations - rows @ weights
    kept = late <= np.quantile(late, 0.99)
    weights = _least_squares(rows[kept], durations[kept])
    rest = durations[kept] - rows[kept] @ weights
    explained = 1 - rest.var() / durations[kept].var()
    integers = {name: round(weight * 1000) for name, weight in zip(TERMS, weights, strict=True)}
    return Weights(integers, len(rows), round(100 * float(explained), 1))


def _features(calls: tuple[CallTokens, ...]) -> tuple[int, int, int, int, int]:
    return (
        1,
        sum(p for _, p, _, _ in calls),
        sum(p * c for _, p, _, c in calls),
        sum(d for _, _, d, _ in calls),
        sum(d * c for _, _, d, c in calls),
    )


def _least_squares(rows: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least squares with no negative weight: terms that would be negative are left out."""
    used = list(range(rows.shape[1]))
    while True:
        found, *_ = np.linalg.lstsq(rows[:, used], values)
        if (found >= 0).all():
            weights = np.zeros(rows.shape[1])
            weights[used] = found
            return weights
        del used[int(found.argmin())]


def show(title: str, rows: list[Speed]) -> None:
    """Print a table and how much eight streams gain over one."""
    print(f"{title}\n  streams  tokens/s  ms/step  CPU us/token")
    for row in rows:
        print(
            f"  {row.streams:7}  {row.tokens_per_s:8}  {row.step_ms:7}  {row.cpu_us_per_token:12}"
        )
    by_streams = {row.streams: row.tokens_per_s for row in rows}
    print(f"  8 streams give {by_streams[8] / by_streams[1]:.2f} times the tokens of 1\n")


def main(argv: list[str]) -> int:
    """Run all three parts and print them."""
    parser = argparse.ArgumentParser(description="Measure the embedded engine.")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--tokens", type=int, default=128, help="tokens of each answer")
    parser.add_argument("--threads", type=int, default=1, help="threads of a step, in process")
    options = parser.parse_args(argv)
    sys.setswitchinterval(0.0002)  # as the served process does
    model = Model(32, threads=options.threads)
    model.warm()
    inside, http = in_process(model, options.tokens), over_http(options.tokens)
    weights = fit(mixed_load(model))
    if options.json:
        whole = {
            "in_process": [asdict(row) for row in inside],
            "http": [asdict(row) for row in http],
            "weights": asdict(weights),
        }
        print(json.dumps(whole, indent=2))
        return 0
    show("In process", inside)
    show("Over HTTP", http)
    print(f"Weights in picoseconds, from {weights.steps} steps, "
          f"{weights.explained_percent} percent of the variance explained")  # fmt: skip
    for name, weight in weights.weights_ps.items():
        print(f"  {name:16} {weight:12}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
