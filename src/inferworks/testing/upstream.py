"""An upstream that misbehaves on request: OpenAI's API over real HTTP, on a loopback port.

Each request gets the next `Answer` (the last one is repeated): its content, its wire form, and the point
where it breaks. Memory and faults are those of `upstreams.scripted_server`. Requests that the `Vendor`
refuses are refused, whatever the script says: by OpenAI's own rules unless another vendor is named.

Source of the format: https://platform.openai.com/docs/api-reference/chat, streaming and error codes
included; `continuous_usage_stats` is vLLM's extension of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

import msgspec

from inferworks.http.server import Exchange
from inferworks.testing.upstreams.audio import SPEECH, TRANSCRIPTIONS, TRANSLATIONS
from inferworks.testing.upstreams.chat import CHAT
from inferworks.testing.upstreams.completions import COMPLETIONS
from inferworks.testing.upstreams.forms import form_fields
from inferworks.testing.upstreams.images import IMAGE_EDITS, IMAGES
from inferworks.testing.upstreams.openai_words import body_of
from inferworks.testing.upstreams.responses import INPUT_TOKENS, RESPONSES
from inferworks.testing.upstreams.script import (
    Answer,
    Body,
    Fault,
    Reports,
    Wire,
    Written,
    event_of,
    json_of,
    read_json,
)
from inferworks.testing.upstreams.scripted_server import (
    EVENTS,
    JSON,
    Breakage,
    ScriptedUpstream,
    opened,
    write_events,
    write_whole,
)
from inferworks.testing.upstreams.stability import STABLE_IMAGE
from inferworks.testing.upstreams.strict import Refusal
from inferworks.testing.upstreams.vendors import OPENAI, Vendor
from inferworks.testing.upstreams.wholes import EMBEDDINGS, MODERATIONS, RERANK

__all__ = ["Answer", "Body", "FakeUpstream", "Fault", "Reports", "error_of", "open_upstream"]

_ERRORS: Mapping[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", "invalid_value", "Invalid value for 'temperature'."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-***."),
    404: ("invalid_request_error", "model_not_found", "The model `x` does not exist."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    500: ("server_error", None, "The server had an error while processing your request."),
    503: ("server_error", None, "The engine is currently overloaded, please try again later."),
}
"""Status -> type, code and message of OpenAI's error body."""


class FakeUpstream(ScriptedUpstream[Answer]):
    """The handler and its memory; `open_upstream` gives it a port."""

    base_path = "/v1"

    def __init__(self, answers: Sequence[Answer], vendor: Vendor = OPENAI) -> None:
        super().__init__(answers)
        self.vendor = vendor

    async def answer(self, exchange: Exchange, scripted: Answer) -> None:
        """Answer one request as `scripted` says, in the way of its path, if the vendor would serve it."""
        operation = self.operation(exchange.path)
        wire = self.wire(operation)
        if wire is None:
            await exchange.respond(404, body_of(Refusal(f"Invalid URL (POST {exchange.path})")))
            return
        request = wire.read(exchange)
        if request is None:
            await exchange.respond(400, wire.error_of(400) or error_of(400))
            return
        refusal = self.vendor.refusal(operation, read_json(exchange) or form_fields(exchange))
        if refusal is not None:
            await exchange.respond(refusal.status, self.vendor.body(refusal))
            return
        if scripted.status >= 400:
            error = wire.error_of(scripted.status) or error_of(scripted.status)
            await exchange.respond(scripted.status, error, headers=scripted.headers)
            return
        if self.vendor.tells_usage and scripted.reports is Reports.AS_ASKED:
            scripted = msgspec.structs.replace(scripted, reports=Reports.ALWAYS)
        streams = request.get("stream") and not scripted.never_streams
        events = wire.events(scripted, request) if streams else None
        if events is not None:
            await _stream(exchange, scripted, wire, events)
        else:
            await _whole(exchange, scripted, wire, request)

    def operation(self, path: str) -> str:
        """Return the operation at `path`."""
        return path.removeprefix("/v1")

    def wire(self, operation: str) -> Wire | None:
        """Return the wire form of `operation`; None for an unknown one."""
        return _WIRES.get(operation)


def open_upstream(
    *answers: Answer, vendor: Vendor = OPENAI
) -> AbstractAsyncContextManager[FakeUpstream]:
    """A `FakeUpstream` on a free port while the block runs; with no answers it answers well."""
    return opened(FakeUpstream(answers or (Answer(),), vendor))


async def _whole(exchange: Exchange, answer: Answer, wire: Wire, request: Body) -> None:
    """Send an answer that has no events: at once, or if it has several pieces, as it is made."""
    written = wire.written(answer, request)
    if written is None:
        whole = answer.luck.body(wire.dialect, wire.whole(answer, request))
        written = Written(JSON, (json_of(whole, spaced=answer.spaced),))
    kind, breakage = written.content_type, _breakage(answer)
    if len(written.pieces) <= 1:
        body, headers = b"".join(written.pieces), (*written.headers, *answer.headers)
        await write_whole(exchange, answer, body, breakage, content_type=kind, headers=headers)
    elif answer.fault is Fault.ERROR_EVENT:
        await exchange.respond(answer.status, breakage.error_body)
    else:
        headers = ((b"content-type", kind), *answer.headers)
        await write_events(exchange, answer, written.pieces, _SILENT, headers=headers)


async def _stream(exchange: Exchange, answer: Answer, wire: Wire, events: Iterator[Body]) -> None:
    framed: Iterable[bytes] = (
        _framed(json_of(event, spaced=answer.spaced), answer, event["type"] if wire.named else "")
        for event in answer.luck.events(wire.dialect, events)
    )
    done = b"" if wire.named else _framed(_DONE, answer)
    if answer.luck.names:
        framed, done = answer.luck.framed(wire.dialect, framed, done), b""
    headers = (EVENTS, *answer.headers)
    await write_events(exchange, answer, framed, _breakage(answer), last=done, headers=headers)


def _breakage(answer: Answer) -> Breakage:
    garbage = _framed(b'{"id": "chatcmpl-1", "choices": [{"ind', answer) + _framed(_DONE, answer)
    error = error_of(answer.fault_status or 500, is_told=bool(answer.fault_status))
    return Breakage(garbage, _framed(error, answer), error)


def _framed(data: bytes, answer: Answer, name: str = "") -> bytes:
    """`data` as an event, with its comment, its name and line ends."""
    comment, end = answer.comment_before_each, answer.line_end
    before = b"" if comment is None else b": %b%b" % (comment.encode(), end * 2)
    return before + event_of(data, name=name, line_end=end)


def error_of(status: int, *, is_told: bool = False) -> bytes:
    """OpenAI's error body for `status`, which is told in it where no head can."""
    kind, code, message = _ERRORS.get(status, ("server_error", None, f"status {status}"))
    return body_of(Refusal(message, None, status if is_told else code, status, kind))


_DONE = b"[DONE]"
_SILENT = Breakage(garbage=b"", error=b"", error_body=b"", nothing=b"")
"""Sound that is sent as it is made can only break off or stop."""
_WIRES: Mapping[str, Wire] = {
    "/chat/completions": CHAT,
    "/completions": COMPLETIONS,
    "/responses": RESPONSES,
    "/responses/input_tokens": INPUT_TOKENS,
    "/embeddings": EMBEDDINGS,
    "/moderations": MODERATIONS,
    "/rerank": RERANK,
    "/images/generations": IMAGES,
    "/images/edits": IMAGE_EDITS,
    "/audio/speech": SPEECH,
    "/audio/transcriptions": TRANSCRIPTIONS,
    "/audio/translations": TRANSLATIONS,
    "/stable-image/generate/core": STABLE_IMAGE,
    "/stable-image/generate/ultra": STABLE_IMAGE,
    "/stable-image/generate/sd3": STABLE_IMAGE,
}
"""Path -> how it is answered."""
