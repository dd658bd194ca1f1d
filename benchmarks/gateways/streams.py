"""Many streams at once, each paced by the mock, and the most that a gateway holds.

Each chunk carries the time at which it was due, so that its lateness is known when it arrives. A gateway
holds a number of streams when every one came to its end with all its chunks, and the median lateness in
the last quarter of them is below `LATE_MS`: a gateway too slow by a twentieth is 175 ms late at the end of
four seconds, while a hiccup of the machine has passed by then.
"""

from __future__ import annotations

import asyncio
import math
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from gateways.calls import Target
from gateways.client import Answer, Connection

CHUNKS = 200
PAUSE_US = 20_000
LATE_MS = 100.0
_MOST = 6_400
_RAMP_S = 1.0
_STAMP = re.compile(rb'"content":\s?"(\d{19})"')


@dataclass(frozen=True)
class Held:
    """Result of streams that ran together."""

    streams: int
    whole: int
    """Streams with all their chunks and their end."""
    chunks: int
    """Chunks that arrived, of all streams."""
    late_ms: float
    """Median lateness in the last quarter of the chunks."""

    @property
    def is_held(self) -> bool:
        """True if the gateway held all of them."""
        return self.whole == self.streams and self.late_ms < LATE_MS


def most_held(is_held: Callable[[int], bool], first: int, halvings: int) -> int:
    """The most streams that `is_held`: by fours up or down from `first`, then between the two bounds."""
    held, failed, level = 0, 0, first
    while not (held and failed) and 0 < level <= _MOST:
        if is_held(level):
            held, level = level, level * 4
        else:
            failed, level = level, level // 4
    for _ in range(halvings if held and failed else 0):
        middle = round(math.sqrt(held * failed))
        if is_held(middle):
            held = middle
        else:
            failed = middle
    return held


def prompt(chunks: int, pause_us: int) -> str:
    """Return the prompt that asks the mock for such a stream."""
    return f"chunks={chunks} pause_us={pause_us}"


def is_whole_stream(answer: Answer, chunks: int) -> bool:
    """Return whether a recorded stream has all its chunks and its end."""
    return len(_STAMP.findall(answer.body)) == chunks and b"data: [DONE]" in answer.body


async def hold(
    target: Target,
    streams: int,
    chunks: int = CHUNKS,
    pause_us: int = PAUSE_US,
    patience_s: float = 0.0,
) -> Held:
    """Run `streams` streams of `chunks` chunks together; they start within a second.

    After twice the planned time and `patience_s` the remaining ones are broken off.
    """
    request = target.request(prompt(chunks, pause_us), stream=True)
    planned_s = _RAMP_S + chunks * pause_us / 1e6
    ends = [_StreamEnd() for _ in range(streams)]
    try:
        async with asyncio.timeout(2 * planned_s + patience_s):
            delays = (_RAMP_S * number / streams for number in range(streams))
            await asyncio.gather(
                *(_run(target, end, request, s) for end, s in zip(ends, delays, strict=True))
            )
    except TimeoutError:
        pass  # what has not come to its end is not whole
    finally:
        for end in ends:
            end.close()
    return _judged(ends, chunks)


def _judged(ends: list[_StreamEnd], chunks: int) -> Held:
    whole = [end for end in ends if end.is_done and len(end.late_ns) == chunks]
    tail = [late for end in whole for late in end.late_ns[-chunks // 4 :]]
    return Held(
        streams=len(ends),
        whole=len(whole),
        chunks=sum(len(end.late_ns) for end in ends),
        late_ms=statistics.median(tail) / 1e6 if tail else math.inf,
    )


async def _run(target: Target, end: _StreamEnd, request: bytes, delay_s: float) -> None:
    """One stream to its end; one that is refused or breaks off shows by its missing end."""
    await asyncio.sleep(delay_s)
    loop = asyncio.get_running_loop()
    try:
        await loop.create_connection(lambda: end, "127.0.0.1", target.port)
        await end.ask(request)
    except OSError:
        return


class _StreamEnd(Connection):
    """The client's end of a stream; keeps how late each chunk was, and not the chunks."""

    def __init__(self) -> None:
        super().__init__()
        self.late_ns: list[int] = []
        self._rest = b""

    @property
    def is_done(self) -> bool:
        """True once the stream has sent its end."""
        return b"data: [DONE]" in self._rest

    def on_piece(self, data: bytes) -> None:
        """Read the stamps of all chunks that are complete."""
        now_ns = time.monotonic_ns()
        text = self._rest + data
        seen = 0
        for stamp in _STAMP.finditer(text):
            self.late_ns.append(now_ns - int(stamp[1]))
            seen = stamp.end()
        self._rest = text[seen:]
