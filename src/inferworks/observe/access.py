"""The access log: one line for each call that ended, and for each request refused before it was one.

Problem. An operator has to see who calls, what was answered and why something was not, while it happens.
The journal has all of it, but for calls alone: a request with a wrong key or path never becomes one. A log
that is written where the call is served makes each call wait for a disk.

Decision. A call's line is made of its record, as metrics and spans are, so nothing is missed and nothing is
in it that is not in the record: no content and no secret. The event loop does no more than put the record
into a queue (a tenth of a microsecond); a thread collects for a tenth of a second, makes the lines and
writes them together. `fields_of` says what a line has; both forms, JSON and text (logfmt), have the same.

*A disk that is full or slow stops no call.* The queue is bounded; what finds no place, or cannot be
written, is counted as dropped. A file that was moved (logrotate) is opened anew; half a line that a full
disk has left is ended before the next one.

Rejected. `logging` (5 microseconds a record, and a lock shared with the log of failures); a line where the
call is served, even one that only fills a buffer (formatting is most of the cost); error messages of calls,
which may quote what was asked: their codes say enough.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

from inferworks.meter.usage import NO_ITEMS, Outcome, Usage
from inferworks.money import format_pico
from inferworks.redact import redacted
from inferworks.supervise import Supervisor, Work
from inferworks.units import NS_PER_SECOND
from inferworks.visible import visible, visible_json

Style: TypeAlias = Literal["text", "json"]
Cost: TypeAlias = Callable[[Usage], tuple[int, str] | None]
"""Cost of a call to its caller, in picounits and their currency; None when unknown."""
Fields: TypeAlias = Mapping[str, Any]
"""A line by the names of its parts, in their order."""

_MOST_QUEUED: Final = 8192
"""Lines that may wait for the disk."""
_GATHER_S: Final = 0.1
"""Time that lines are collected before they are written together, in seconds."""
_END_S: Final = 2.0
"""Time that the end of the program waits for queued lines, in seconds."""
_LONGEST_WORD: Final = 200
"""Characters of what a caller wrote: the name of a model, a path."""
_PIPE_BYTES: Final = 4096
"""Bytes that a pipe takes whole (PIPE_BUF), so that no other line comes in between."""
_PLAIN: Final = re.compile(r"[!#-<>-~]+")
"""A value that needs no quotes in logfmt."""
_STDERR: Final = 2
_STATUSES: Final = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "content_too_large",
    415: "unsupported_media_type",
    429: "too_many_requests",
    431: "header_too_large",
    500: "internal_error",
    502: "bad_gateway",
    503: "unavailable",
    504: "gateway_timeout",
    505: "http_version",
}
"""Words for errors without a code of their own, by status; Python's own names differ by version."""


class RefusedRequest(NamedTuple):
    """A request that was turned away before it became a call, or was never to be one."""

    at_ns: int
    method: str
    path: str
    status: int
    code: str | None
    """The code of the error that it was answered with, if that has one."""
    reason: str = ""
    """The server's own words, where the request could not even be read."""
    request_id: str = ""
    """Identifier of the request that its caller was told."""


class AccessLog:
    """Writes the access log to standard error, or to the file at `path`. `close` it at the end."""

    def __init__(
        self,
        style: Style,
        path: Path | None = None,
        cost: Cost = lambda _: None,
        supervisor: Supervisor | None = None,
    ) -> None:
        """OSError when the file at `path` cannot be opened now."""
        self.dropped = 0
        """Lines that could not be written."""
        self._line = json_line if style == "json" else text_line
        self._cost = cost
        self._queue: deque[Usage | RefusedRequest] = deque()
        self._wake = threading.Event()
        self._ended = False
        self._out = _Out(path)
        self._thread = (supervisor or Supervisor()).thread("access-log", self._write)

    def take(self, ended: Usage | RefusedRequest) -> None:
        """Have a line written of what has ended; waits for nothing."""
        queue = self._queue
        if len(queue) >= _MOST_QUEUED:
            self.dropped += 1
            return
        queue.append(ended)
        if len(queue) == 1:
            self._wake.set()

    def close(self) -> None:
        """Write what is queued, unless that takes too long, and stop."""
        self._ended = True
        self._wake.set()
        self._thread.join(_END_S)
        if not self._thread.is_alive():
            self._out.close()

    def _write(self, work: Work) -> None:
        while not self._ended or self._queue:
            self._wake.wait()
            if not self._ended:
                time.sleep(_GATHER_S)
            self._wake.clear()  # before the queue is emptied: what comes later wakes again
            taken = [self._queue.popleft() for _ in range(len(self._queue))]
            lines = [
                self._line(
                    fields_of_refused(ended)
                    if isinstance(ended, RefusedRequest)
                    else fields_of(ended, self._cost(ended))
                )
                for ended in taken
            ]
            if not lines:
                continue
            work.begun()
            try:
                self._out.write(lines)
            except OSError as error:
                self.dropped += len(lines)
                work.failed(error)
            else:
                work.succeeded()


def fields_of(usage: Usage, cost: tuple[int, str] | None) -> Fields:
    """The line of a call that has ended, and that `cost` its caller so much."""
    opened_ns, first_ns, legs = usage.opened_ns, usage.first_byte_ns, usage.legs
    fields: dict[str, Any] = {
        "time": iso(usage.closed_ns),
        "call": usage.call_id,
        "customer": usage.customer,
        "key": usage.key_id,
        "operation": usage.endpoint,
        "model": usage.model[:_LONGEST_WORD],
        "status": usage.status,
        "outcome": usage.outcome,
    }
    if usage.outcome is not Outcome.ANSWERED:
        fields["error"] = _error(usage.error_code, usage.status) or usage.outcome
    if usage.stream:
        fields["stream"] = True
    tokens = usage.tokens
    fields["input_tokens"], fields["output_tokens"] = tokens.input, tokens.output
    if usage.items is not NO_ITEMS:
        fields |= {name: n for name, n in msgspec.structs.asdict(usage.items).items() if n}
    if cost is not None:
        fields["cost"], fields["currency"] = (
            msgspec.Raw(format_pico(cost[0], places=0).encode()),
            cost[1],
        )
    if first_ns is not None:
        fields["ttft_ms"] = (first_ns - opened_ns) // 1000 / 1000
    fields["duration_ms"] = (usage.closed_ns - opened_ns) // 1000 / 1000
    if legs:
        last = legs[-1]
        fields["provider"], fields["offer"] = last.provider, last.offer
        if len(legs) > 1:
            fields["attempts"] = len(legs)
        if last.left_out:
            fields["left_out"] = last.left_out
    fields["request_bytes"], fields["response_bytes"] = usage.request_bytes, usage.response_bytes
    return fields


def fields_of_refused(refused: RefusedRequest) -> Fields:
    """The line of a request that was no call."""
    fields: dict[str, Any] = {"time": iso(refused.at_ns)}
    if refused.method:
        path = redacted(refused.path[:_LONGEST_WORD])
        fields |= {"method": refused.method[:_LONGEST_WORD], "path": path}
    fields |= {"status": refused.status, "outcome": Outcome.REFUSED}
    fields["error"] = _error(refused.code, refused.status) or Outcome.REFUSED
    if refused.request_id:
        fields["request_id"] = refused.request_id
    if refused.reason:
        fields["reason"] = refused.reason
    return fields


def json_line(fields: Fields) -> str:
    """The line as one JSON object in which everything can be seen."""
    text = msgspec.json.encode(fields).decode()
    return text if text.isprintable() else visible_json(text)


def text_line(fields: Fields) -> str:
    """The line as `name=value`, a value in quotes where it needs them (logfmt)."""
    pairs = []
    for name, value in fields.items():
        if isinstance(value, str):
            text = _quoted(value)
        elif isinstance(value, msgspec.Raw):
            text = bytes(value).decode()
        else:
            text = "true" if value is True else str(value)
        pairs.append(f"{name}={text}")
    return " ".join(pairs)


@lru_cache(4096)
def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{visible(escaped)}"'


def _error(code: str | None, status: int) -> str:
    """Return the error in one word: its code, else the meaning of its status."""
    return code[:_LONGEST_WORD] if code else _STATUSES.get(status, "")


def iso(at_ns: int) -> str:
    """A moment as ISO 8601 in UTC, to the millisecond."""
    seconds, rest_ns = divmod(at_ns, NS_PER_SECOND)
    return f"{_second(seconds)}.{rest_ns // 1_000_000:03d}Z"


@lru_cache(16)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


class _Out:
    """Output of the lines: standard error, or a file that others may move or empty."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._descriptor = _STDERR
        self._torn = False
        """True when the last write ended within a line."""
        if path is not None:
            self._descriptor = _opened(path)

    def write(self, lines: Iterable[str]) -> None:
        """Write `lines`; OSError when not all of them could be."""
        if self._path is not None and self._moved(self._path):
            fresh = _opened(self._path)
            os.close(self._descriptor)
            self._descriptor, self._torn = fresh, False
        for piece in _pieces(lines):
            data = b"\n" + piece if self._torn else piece
            while data:
                written = os.write(self._descriptor, data)
                data = data[written:]
                self._torn = bool(data)

    def close(self) -> None:
        """Close the file."""
        if self._path is not None:
            os.close(self._descriptor)

    def _moved(self, path: Path) -> bool:
        """Return True when another file, or none, is at `path` now."""
        try:
            there = path.stat()
        except OSError:
            return True
        return not os.path.samestat(there, os.fstat(self._descriptor))


def _opened(path: Path) -> int:
    """A descriptor that adds to `path`: a regular file, readable by its owner and group alone."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o640)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return descriptor


def _pieces(lines: Iterable[str]) -> Iterator[bytes]:
    """`lines` in pieces that a pipe takes whole, as far as a single line is not longer."""
    piece = b""
    for line in lines:
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        if piece and len(piece) + len(data) > _PIPE_BYTES:
            yield piece
            piece = b""
        piece += data
    if piece:
        yield piece
