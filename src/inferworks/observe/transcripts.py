"""Transcripts: the prompts and answers of keys that were made to have them kept, and of no others.

Problem. Prompts and answers belong to the people who write them. They get into logs and traces by accident,
are copied with those, and stay. Yet sometimes an operator has to see them: to debug an application of its
own, to evaluate.

Decision. Content is kept for keys made with `keys create --log-content`, and nowhere but here: one JSON
object a line, one file a day (UTC) in `transcripts` of the data folder, readable by its owner alone. Logs,
spans, metrics and the journal never hold it, so they can go anywhere. Whoever wants the files gone after
some time deletes them; nothing else refers to them.

A thread of its own writes, in the order in which calls end. Keeping transcripts is no promise: when the
disk is full or too slow they are dropped and counted, and calls go on.

Rejected. Span events (a collector is somebody else's disk); a column of the journal (which is kept for
years, sealed and copied).
"""

from __future__ import annotations

import base64
import fcntl
import logging
import os
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

import msgspec

from inferworks.meter.usage import Opened
from inferworks.supervise import Supervisor, Work
from inferworks.units import NS_PER_SECOND

_MOST_QUEUED: Final = 256
"""Transcripts that may wait for the disk."""
_log = logging.getLogger("inferworks.transcripts")


class Transcripts:
    """Keeps transcripts in `folder`, of at most `most_bytes` for a request and as much for an answer."""

    def __init__(self, folder: Path, most_bytes: int, supervisor: Supervisor | None = None) -> None:
        self.dropped = 0
        """Transcripts that could not be kept."""
        self._folder = folder
        self._most_bytes = most_bytes
        self._queue: SimpleQueue[Transcript | None] = SimpleQueue()
        self._supervisor = supervisor or Supervisor()
        self._writer: threading.Thread | None = None
        self._failing = False

    def begin(self, opened: Opened, request: bytes) -> Transcript:
        """The transcript of a call that is opened; `end` keeps it."""
        return Transcript(self, opened, request, self._most_bytes)

    def keep(self, transcript: Transcript) -> None:
        """Queue `transcript` for the writer, which is started with the first."""
        if self._queue.qsize() >= _MOST_QUEUED:
            self.dropped += 1
            return
        if self._writer is None:
            self._writer = self._supervisor.thread("transcripts", self._write)
        self._queue.put(transcript)

    def close(self) -> None:
        """Write what is queued, and stop."""
        if self._writer is not None:
            self._queue.put(None)
            self._writer.join()
            self._writer = None

    def _write(self, work: Work) -> None:
        while (transcript := self._queue.get()) is not None:
            work.begun()
            try:
                self._append(transcript)
                self._failing = False
            except OSError as error:
                self.dropped += 1
                if not self._failing:  # say why, once until it works again
                    _log.warning("transcripts cannot be kept: %s", error)
                self._failing = True
            work.succeeded()

    def _append(self, transcript: Transcript) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        at = datetime.fromtimestamp(transcript.opened.opened_ns / NS_PER_SECOND, UTC)
        path = self._folder / f"{at.date().isoformat()}.jsonl"
        line = msgspec.json.encode(transcript.as_json(at)) + b"\n"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o600), "wb", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # other workers append, too
            size = os.fstat(file.fileno()).st_size
            try:
                while line:
                    line = line[file.write(line) :]
            except OSError:
                with suppress(OSError):
                    file.truncate(size)  # no line comes after half of one
                raise


class Transcript:
    """Prompt and answer of one call, collected as they pass."""

    def __init__(
        self, transcripts: Transcripts, opened: Opened, request: bytes, most_bytes: int
    ) -> None:
        self.opened = opened
        self._transcripts = transcripts
        self._request = request[:most_bytes]
        self._cut = len(request) > most_bytes
        self._answer = bytearray()
        self._most_bytes = most_bytes

    def heard(self, data: bytes) -> None:
        """`data` is handed to the client."""
        left = self._most_bytes - len(self._answer)
        self._answer += data[:left]
        self._cut = self._cut or len(data) > left

    def end(self) -> None:
        """The call has ended, however it did."""
        self._transcripts.keep(self)

    def as_json(self, at: datetime) -> dict[str, Any]:
        """The line that is kept."""
        opened = self.opened
        return {
            "call_id": opened.call_id,
            "opened": at.isoformat(),
            "customer": opened.customer,
            "project": opened.project,
            "key_id": opened.key_id,
            "endpoint": opened.endpoint,
            "model": opened.model,
            **_text("request", self._request),
            **_text("answer", bytes(self._answer)),
            "cut": self._cut,
        }


def _text(name: str, data: bytes) -> dict[str, str]:
    """`data` as text where it is that, else in base 64 and under another name."""
    try:
        return {name: data.decode("utf-8")}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data).decode("ascii")}
