"""Client of the demo: send the planned calls over HTTP, each at its time, and collect the answers.

The load is an open loop: a call is sent when it is due, not when an earlier one was answered, up to a
number at once that a client machine bears. Nothing is sent twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

import msgspec

from inferworks.demo.scenario import UNKNOWN_MODEL, Ending, PlannedCall
from inferworks.dialects.openai_chat import COMPLETIONS, Choice
from inferworks.errors import UpstreamError
from inferworks.http.client import HttpClient, Origin, Response, Timeouts
from inferworks.http.sse import DONE, EventSplitter, event_data
from inferworks.ids import CallId, CustomerId
from inferworks.units import NS_PER_SECOND

_AT_ONCE = 64
_STALL_S = 60.0
_LIMIT_BYTES = 1 << 24
_PATH = "/chat/completions"


class Answered(msgspec.Struct, frozen=True):
    """Answer that a caller got for one call."""

    call_id: CallId
    """Call id given by the gateway; empty where it gave none, as with a refused call."""
    whole: bool
    """True if the caller has the whole answer."""
    text: str


class Caller:
    """Calls one platform as its customers do. Use it in a `with` statement."""

    def __init__(self, url: str, model: str, secrets: Mapping[CustomerId, str]) -> None:
        self._origin = Origin.parse(url)
        self._model = model
        self._secrets = secrets
        self._client = HttpClient(Timeouts(first_byte_s=_STALL_S, between_bytes_s=_STALL_S))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    async def send_all(
        self, plan: Sequence[PlannedCall], sent: Callable[[], None]
    ) -> tuple[Answered, ...]:
        """Send every call of `plan` at its time; `sent` is called as each one ends.

        UpstreamError when the platform does not answer, or not as the plan expects.
        """
        begun = asyncio.get_running_loop().time()
        places = asyncio.Semaphore(_AT_ONCE)

        async def send_one(call: PlannedCall) -> Answered:
            due = begun + call.at_ns / NS_PER_SECOND
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            async with places:
                answered = await self.send(call)
            sent()
            return answered

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(send_one(call)) for call in plan]
        return tuple(task.result() for task in tasks)

    async def send(self, call: PlannedCall) -> Answered:
        """Send one call and take its answer, as far as the plan wants it."""
        request: dict[str, Any] = {
            "model": UNKNOWN_MODEL if call.ending is Ending.REFUSED else self._model,
            "messages": [{"role": "user", "content": call.question}],
            "max_tokens": call.max_tokens,
            "temperature": call.temperature,
            "seed": call.number,
        }
        if call.exact:
            request |= {"min_tokens": call.max_tokens, "ignore_eos": True}
        if call.stream:
            request |= {"stream": True, "stream_options": {"include_usage": True}}
        body = msgspec.json.encode(request)
        secret = self._secrets[call.customer]
        headers = [
            (b"authorization", f"Bearer {secret}".encode()),
            (b"content-type", b"application/json"),
        ]
        async with self._client.stream("POST", self._origin, _PATH, headers, body) as response:
            call_id = CallId(response.headers.get(b"x-inferworks-call-id", b"").decode())
            text, whole = await _answer_text(response, call)
        expected = 404 if call.ending is Ending.REFUSED else 200
        if response.status != expected:
            raise UpstreamError(
                f"call {call.number} was answered with {response.status}: {text[:200]}", sent=True
            )
        if call.ending is Ending.ANSWERED and not whole:
            raise UpstreamError(f"the answer to call {call.number} was cut off", sent=True)
        return Answered(call_id, whole, text)


async def send_all(
    url: str,
    model: str,
    secrets: Mapping[CustomerId, str],
    plan: Sequence[PlannedCall],
    sent: Callable[[], None],
) -> tuple[Answered, ...]:
    """Send `plan` over connections of its own."""
    with closing(Caller(url, model, secrets)) as caller:
        return await caller.send_all(plan, sent)


async def _answer_text(response: Response, call: PlannedCall) -> tuple[str, bool]:
    """Return the text of the answer, and True if all of it came."""
    if call.ending is Ending.LEFT:
        await response.next_piece(_STALL_S)
        return "", False
    if response.status != 200 or not call.stream:
        body = await response.read(_STALL_S, _LIMIT_BYTES)
        if response.status != 200:
            return body.decode(), False
        return "".join(choice.message.written for choice in _choices(body)), True
    splitter, texts, whole = EventSplitter(), list[str](), False
    async for piece in response.pieces(_STALL_S):
        for event in splitter.feed(piece):
            data = event_data(event)
            whole = whole or data == DONE
            if data and data != DONE:
                texts += [choice.delta.written for choice in _choices(data)]
    return "".join(texts), whole


def _choices(data: bytes) -> Sequence[Choice]:
    """The choices of an answer or an event. UpstreamError when it cannot be read, or has none."""
    try:
        choices = COMPLETIONS.decode(data).choices
    except msgspec.DecodeError as error:
        raise UpstreamError(f"an answer cannot be read: {data[:200]!r}", sent=True) from error
    if choices is None:
        raise UpstreamError(f"an answer cannot be read: {data[:200]!r}", sent=True)
    return choices
