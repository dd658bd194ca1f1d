"""Report the machine time of a piece of work that is no call, from inside the work itself.

    import inferworks

    with inferworks.metered(purpose="train-gradient", node="gpu-3"):
        train()

The block's time on the node is posted as one CloudEvent when it ends, also when it ends with an error:
the machine was used all the same. The event is named by (source, id) once, before the first attempt, so
however often it is sent it counts once (theorem 3 of `docs/books.md`).

It needs no event loop and no third-party package.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Literal
from urllib.parse import urlsplit

from inferworks.clock import SystemClock
from inferworks.errors import UpstreamError, UserError
from inferworks.ids import new_id
from inferworks.purpose import Purpose
from inferworks.units import Unit

URL_VARIABLE, KEY_VARIABLE = "INFERWORKS_URL", "INFERWORKS_API_KEY"
EVENT_TYPE = "inferworks.activity"
_PATH = "/usage/events"
_TIMEOUT_S = 10.0
_PAUSES_S = (0.1, 0.4, 1.6, 6.4)
"""Seconds between the attempts to send an event; one attempt more than there are pauses."""

Measure = Literal["wall", "processor"]


@dataclass(frozen=True)
class ActivityEvent:
    """One activity, as `POST /v1/usage/events` takes it. Times are nanoseconds since 1970-01-01 UTC."""

    source: str
    id: str
    resource: str
    """A node for `node_ns`, a bucket for `byte_seconds`."""
    purpose: str
    start_ns: int
    end_ns: int
    quantity: int
    """Amount used, in `unit`."""
    unit: str
    description: str = ""
    customer: str | None = None

    def envelope(self) -> dict[str, object]:
        """The event as CloudEvents 1.0 in JSON."""
        data = asdict(self)
        named = {name: data.pop(name) for name in ("source", "id")}
        return {"specversion": "1.0", "type": EVENT_TYPE, **named, "data": data}


@contextmanager
def metered(
    purpose: Purpose | str,
    node: str,
    *,
    measure: Measure = "wall",
    source: str = "inferworks.metered",
    description: str = "",
    url: str | None = None,
    key: str | None = None,
) -> Iterator[None]:
    """Meter the block as time of `purpose` on `node`, and report it when the block ends.

    `measure` says what occupies the node: the `wall` time of the block, or only the time that this
    process ran on a `processor` (never more than the wall time), for work that shares the machine.
    `url` (where the API begins) and `key` come from INFERWORKS_URL and INFERWORKS_API_KEY unless given.
    UserError when they are missing or the platform refuses the event; UpstreamError when it cannot be
    reached. An error of the block itself goes first.
    """
    base, secret = _setting(url, URL_VARIABLE), _setting(key, KEY_VARIABLE)
    clock = SystemClock().carried()
    start_ns, start_processor_ns = clock.now_ns(), time.process_time_ns()
    event_id = new_id("act", start_ns)

    def event() -> ActivityEvent:
        end_ns, processor_ns = clock.now_ns(), time.process_time_ns() - start_processor_ns
        wall_ns = end_ns - start_ns
        busy_ns = wall_ns if measure == "wall" else min(wall_ns, processor_ns)
        return ActivityEvent(
            source,
            event_id,
            node,
            str(purpose),
            start_ns,
            end_ns,
            busy_ns,
            Unit.NODE_NS,
            description,
        )

    try:
        yield
    except BaseException as error:
        try:
            report([event()], base, secret)
        except (UserError, UpstreamError) as unreported:
            error.add_note(f"its machine time was not metered: {unreported}")
        raise
    report([event()], base, secret)


def report(
    events: Sequence[ActivityEvent],
    url: str,
    key: str,
    *,
    pause: Callable[[float], None] = time.sleep,
) -> Mapping[str, int]:
    """Send `events` until the platform has them; says how many were accepted, duplicate, conflict.

    An attempt that broke off may have been counted; sending it again then counts as a duplicate.
    UserError when the platform refuses them; UpstreamError when it could not be reached in time.
    """
    body = json.dumps([event.envelope() for event in events]).encode()
    return send(body, url, key, pause=pause)


def send(
    body: bytes, url: str, key: str, *, pause: Callable[[float], None] = time.sleep
) -> Mapping[str, int]:
    """Send a batch of CloudEvents in JSON, as `report` does and with its errors."""
    for pause_s in (*_PAUSES_S, None):
        try:
            status, answer = _post(url, key, body)
        except (OSError, http.client.HTTPException) as error:
            failure = f"{type(error).__name__}: {error}"
        else:
            if status == 200:
                return _counts(answer)
            if status < 500 and status != 429:
                raise UserError(f"{url}{_PATH}: refused with {status}: {_message(answer)}")
            failure = f"status {status}"
        if pause_s is not None:
            pause(pause_s)
    raise UpstreamError(f"{url}{_PATH}: not reported after several attempts: {failure}", sent=True)


def _post(url: str, key: str, body: bytes) -> tuple[int, bytes]:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = connect(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
    headers = {
        "authorization": f"Bearer {key}",
        "content-type": "application/cloudevents-batch+json",
    }
    try:
        connection.request("POST", parts.path.rstrip("/") + _PATH, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _counts(answer: bytes) -> Mapping[str, int]:
    counts = json.loads(answer)
    return {name: int(counts[name]) for name in ("accepted", "duplicate", "conflict")}


def _message(answer: bytes) -> str:
    """The words of an error body; the beginning of it when it is none of ours."""
    try:
        return str(json.loads(answer)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return repr(answer[:200])


def _setting(given: str | None, variable: str) -> str:
    value = given or os.environ.get(variable, "")
    if not value:
        raise UserError(f"set {variable}, or give it as an argument, so that work can be metered")
    return value
