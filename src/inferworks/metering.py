"""Report the machine time of a piece of work that is no call, from inside the work itself.

    import inferworks

    with inferworks.metered(purpose="train-gradient", node="gpu-3"):
        train()

The block's time on the node is posted as one CloudEvent when it ends, also when it ends with an error:
the machine was used all the same. The event is named by (source, id) once, before the first attempt, so
however often it is sent it counts once (theorem 3 of `docs/books.md`).

Mistakes are errors before the block; after it none is raised for metering, as OpenTelemetry has it: a
result of twelve hours is worth more than its report. A report that cannot be delivered is kept in a file.

It needs no event loop and no third-party package.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from inferworks.choices import one_of
from inferworks.clock import SystemClock
from inferworks.errors import UpstreamError, UserError
from inferworks.ids import new_id
from inferworks.purpose import SERVING, Purpose
from inferworks.units import Unit
from inferworks.visible import quoted

URL_VARIABLE, KEY_VARIABLE = "INFERWORKS_URL", "INFERWORKS_API_KEY"
EVENT_TYPE = "inferworks.activity"
RETRACTION_TYPE = "inferworks.retraction"
_PATH = "/usage/events"
_TIMEOUT_S = 10.0
_PAUSES_S = (0.1, 0.4, 1.6, 6.4)
"""Seconds between the attempts to send an event; one attempt more than there are pauses."""

_LONGEST_NAME, _LONGEST_DESCRIPTION = 256, 1024
"""Most characters of a source, a node and a description (`meter.events`)."""
_KEY = re.compile("[!-~]+")

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
    `url` is the base URL of the gateway's API, which ends in /v1, such as http://127.0.0.1:8080/v1.
    `key` is made with

        inferworks keys create --purpose train-gradient --report inferworks.metered --ours

    where --purpose has the purpose and --report the `source`. Unless given, both come from INFERWORKS_URL
    and INFERWORKS_API_KEY.

    UserError before the block when an argument means nothing, or the gateway refuses the key or the
    source. A gateway that cannot be reached then is no error, and the purpose is checked only with the
    report itself. After the block nothing is raised: a report that is refused or cannot be delivered is
    kept in a file of the working directory, or else of that for temporary files. A RuntimeWarning, or a
    note on the block's own error, names the file and the command that sends it.
    """
    base, secret = _setting(url, URL_VARIABLE), _setting(key, KEY_VARIABLE)
    wanted = one_of("purpose", purpose, [one for one in Purpose if one not in SERVING])
    one_of("measure", measure, get_args(Measure))
    _check_text("node", node, 1, _LONGEST_NAME)
    _check_text("source", source, 1, _LONGEST_NAME)
    _check_text("description", description, 0, _LONGEST_DESCRIPTION)
    _check_address(base, secret)
    clock = SystemClock().carried()
    event_id = new_id("act", clock.now_ns())
    _check_key(base, secret, source, event_id)
    start_ns, start_processor_ns = clock.now_ns(), time.process_time_ns()

    def event() -> ActivityEvent:
        end_ns, processor_ns = clock.now_ns(), time.process_time_ns() - start_processor_ns
        wall_ns = end_ns - start_ns
        busy_ns = wall_ns if measure == "wall" else min(wall_ns, processor_ns)
        return ActivityEvent(
            source,
            event_id,
            node,
            wanted.value,
            start_ns,
            end_ns,
            busy_ns,
            Unit.NODE_NS,
            description,
        )

    try:
        yield
    except BaseException as error:
        if failure := _report_or_keep(event(), base, secret):
            error.add_note(failure)
        raise
    if failure := _report_or_keep(event(), base, secret):
        warnings.warn(failure, RuntimeWarning, stacklevel=3)


def retraction(source: str, event_id: str, reason: str) -> dict[str, object]:
    """Return the event, as CloudEvents 1.0 in JSON, that retracts the report of this name."""
    named = {"source": source, "id": event_id}
    return {"specversion": "1.0", "type": RETRACTION_TYPE, **named, "data": {"reason": reason}}


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
                try:
                    counts = json.loads(answer)
                    return {
                        name: int(counts[name]) for name in ("accepted", "duplicate", "conflict")
                    }
                except (ValueError, KeyError, TypeError):
                    raise _refusal(url, 200, answer) from None
            if status < 500 and status != 429:
                raise _refusal(url, status, answer)
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


def _report_or_keep(event: ActivityEvent, url: str, key: str) -> str:
    """Report `event`; else keep it in a file, and return a sentence on both. Empty when it was reported."""
    try:
        report([event], url, key)
    except (UserError, UpstreamError) as error:
        return f"machine time of {event.resource} was not reported: {error}; {_keep(event)}"
    except BaseException as error:  # interrupted between two attempts
        error.add_note(f"machine time of {event.resource} was not reported; {_keep(event)}")
        raise
    return ""


def _keep(event: ActivityEvent) -> str:
    """Write `event` to a file that only its owner reads, and return the words that tell how it is sent."""
    line = json.dumps(event.envelope())
    for folder in (".", tempfile.gettempdir()):
        path = Path(folder).absolute() / f"inferworks-usage-{event.id}.jsonl"
        try:
            path.touch(0o600, exist_ok=False)
            path.write_text(line + "\n", encoding="utf-8")
        except OSError:
            continue
        return (
            f"it is kept in {path}; send it with: inferworks usage import {shlex.quote(str(path))}"
        )
    return f"no file could be written for it; send it with `inferworks usage import` from one with: {line}"


def _check_text(name: str, text: object, least: int, most: int) -> None:
    if not isinstance(text, str) or not least <= len(text) <= most:
        raise UserError(f"{name}: {quoted(text)} is not text of {least} to {most} characters")


def _check_address(url: str, key: str) -> None:
    """Raise UserError unless `url` is the address of an API and `key` can be sent in a header."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except (ValueError, AttributeError, TypeError):  # a port or an address that is none, or no text
        sound = False
    if not sound or parts.query or parts.fragment:
        raise UserError(f"url: {quoted(url)} is no base URL, such as http://127.0.0.1:8080/v1")
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise UserError("key: it has characters that no key has, such as spaces; copy it again")


def _check_key(url: str, key: str, source: str, event_id: str) -> None:
    """Raise UserError when the gateway does not let `key` report under `source`.

    It is asked to retract a report that was never made, for which it checks both and records nothing. One
    that cannot be reached, or is busy, is not asked twice: it may be back when the block ends.
    """
    question = retraction(source, event_id, "check of a key")
    try:
        status, answer = _post(url, key, json.dumps([question]).encode())
    except (OSError, http.client.HTTPException):
        return
    if status < 500 and status != 429 and _error(answer).get("code") != "unknown_report":
        raise _refusal(url, status, answer)


def _refusal(url: str, status: int, answer: bytes) -> UserError:
    """Return the error for an answer that takes no report, with the words of its body."""
    words = _error(answer).get("message") or repr(answer[:200])
    if status == 200:
        words = f"it is no base URL of a gateway, which ends in /v1: {words}"
    return UserError(f"{url}{_PATH}: refused with {status}: {words}")


def _error(answer: bytes) -> Mapping[str, Any]:
    """Return the fields of an error body; none when it is none of ours."""
    try:
        fields = json.loads(answer)["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _setting(given: str | None, variable: str) -> str:
    value = given or os.environ.get(variable, "")
    if not value:
        raise UserError(f"set {variable}, or give it as an argument, so that work can be metered")
    return value
