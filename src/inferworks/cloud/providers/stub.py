"""A provider without a network: the fake that ships with the seam.

It answers each call from a script, one entry per attempt, then repeats the last entry. So a test or a
simulation can say: fail, then refuse, then answer in four tokens and break off after two.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from inferworks.clock import Clock, SystemClock
from inferworks.cloud.call import Call, Chunk, Reply
from inferworks.cloud.offer import Offer
from inferworks.cloud.operation import Operation
from inferworks.errors import CallError, UntranslatableError, UpstreamError
from inferworks.http.sse import DONE
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Tokens

_REFUSAL = {
    "error": {"message": "refused by the stub", "type": "stub", "code": None, "param": None}
}


class Script(msgspec.Struct, frozen=True):
    """Script of one attempt at the stub."""

    words: tuple[str, ...] = ("Hello", " there", ".")
    """The answer, one token each."""
    input_tokens: int = 5
    status: int = 200
    """A status of 400 or more is a refusal."""
    unreachable: bool = False
    """No connection at all."""
    code: str | None = None
    """Error code of a refusal."""
    unsaid: str = ""
    """Reason that the call cannot be translated for this offer; empty when it can."""
    untranslatable: bool = False
    """True when it answers with usage, and the answer cannot be translated for the caller."""
    breaks_after: int | None = None
    """Break off after this many tokens; 0 breaks before the first."""
    token_s: float = 0.0
    """Seconds before each token."""


class StubProvider:
    """A `Provider` that follows its script and remembers the calls it was sent."""

    def __init__(
        self,
        scripts: Sequence[Script] = (Script(),),
        *,
        name: str = "stub",
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.operations = frozenset({Operation.CHAT, Operation.COMPLETIONS})
        self.calls: list[Call] = []
        self.left_early = 0
        self._scripts = list(scripts)
        self._clock = clock or SystemClock()

    @asynccontextmanager
    async def send(self, offer: Offer, call: Call) -> AsyncIterator[Reply]:
        """Answer `call` as the script says."""
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        if script.unsaid:
            raise CallError(400, script.unsaid, code="unsupported_parameter")
        self.calls.append(call)
        if script.unreachable:
            raise UpstreamError(f"could not connect to {offer.id}", sent=False)
        if script.untranslatable:
            error = UntranslatableError("the stub says so")
            error.reported = ReportedUsage(Tokens(script.input_tokens, len(script.words)))
            raise error
        reported = _Telling(self._chunks(script, call))
        is_stream = call.stream and script.status < 400
        content_type = b"text/event-stream" if is_stream else b"application/json"
        try:
            yield Reply(script.status, content_type, await anext(reported), reported)
        finally:
            self.left_early += not reported.ended
            await reported.close()

    async def _chunks(self, script: Script, call: Call) -> AsyncGenerator[Chunk, None]:
        if script.status >= 400:
            error = {**_REFUSAL["error"], "code": script.code}
            yield Chunk(msgspec.json.encode({"error": error}), last=True)
        elif call.stream:
            tokens = Tokens(script.input_tokens, 0)
            for word in script.words:
                await self._clock.sleep(script.token_s)
                if tokens.output == script.breaks_after:
                    raise UpstreamError("the stub broke off", sent=True)
                tokens += Tokens(output=1)
                choice = {
                    "index": 0,
                    "delta": {"role": "assistant", "content": word},
                    "finish_reason": None,
                }
                yield Chunk(
                    _event(_envelope(call, "chat.completion.chunk", [choice])),
                    ReportedUsage(tokens),
                )
            final = {"index": 0, "delta": {}, "finish_reason": "stop"}
            yield Chunk(
                _event(_envelope(call, "chat.completion.chunk", [final])), ReportedUsage(tokens)
            )
            usage = _event(_envelope(call, "chat.completion.chunk", [], tokens))
            yield Chunk(usage if call.wants_usage else b"", ReportedUsage(tokens))
            yield Chunk(b"data: " + DONE + b"\n\n", ReportedUsage(tokens), last=True)
        else:
            await self._clock.sleep(script.token_s * len(script.words))
            if script.breaks_after is not None:
                raise UpstreamError("the stub broke off", sent=True)
            message = {"role": "assistant", "content": "".join(script.words)}
            choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
            tokens = Tokens(script.input_tokens, len(script.words))
            body = _envelope(call, "chat.completion", [choice], tokens)
            yield Chunk(msgspec.json.encode(body), ReportedUsage(tokens), last=True)


class _Telling:
    """Chunks as they are told; `ended` once the last one was, or the telling broke off by itself."""

    def __init__(self, chunks: AsyncGenerator[Chunk, None]) -> None:
        self.ended = False
        self._chunks = chunks

    def __aiter__(self) -> _Telling:
        return self

    async def __anext__(self) -> Chunk:
        try:
            chunk = await anext(self._chunks)
        except UpstreamError:
            self.ended = True
            raise
        self.ended = chunk.last
        return chunk

    async def close(self) -> None:
        await self._chunks.aclose()


def _envelope(
    call: Call, kind: str, choices: list[dict[str, object]], tokens: Tokens | None = None
) -> dict[str, object]:
    body: dict[str, object] = {
        "id": f"chatcmpl-{call.id}", "object": kind, "created": 0, "model": call.model, "choices": choices,
    }  # fmt: skip
    if tokens is not None:
        body["usage"] = {
            "prompt_tokens": tokens.input,
            "completion_tokens": tokens.output,
            "total_tokens": tokens.input + tokens.output,
        }
    return body


def _event(body: dict[str, object]) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"
