"""The chat-completions dialect of OpenAI, as an engine's own server speaks it: bytes to Ask and back.

Beyond OpenAI's fields it knows three of vLLM's: `min_tokens`, `ignore_eos` and
`stream_options.continuous_usage_stats`, with which every chunk carries the usage so far.

A chunk goes out for every token of every stream, so its bytes are joined from parts that were encoded
once per call; only the text is encoded each time.
"""

from __future__ import annotations

import secrets

import msgspec

from inferworks.dialects.errors import OpenAIError, OpenAIErrorFields
from inferworks.dialects.openai_chat import (
    EngineChatRequest,
    EngineMessage,
    EngineStreamOptions,
)
from inferworks.dialects.openai_models import Model, Models
from inferworks.errors import CallError
from inferworks.hardware.engines.base import Finish, GenerationRequest, Message, Role, TextDelta
from inferworks.ids import CallId
from inferworks.visible import quoted

DONE = b"data: [DONE]\n\n"

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "tool": "user",
    "function": "user",
    "assistant": "assistant",
}


_REQUESTS = msgspec.json.Decoder(EngineChatRequest)
_JSON = msgspec.json.Encoder()


def decode_request(body: bytes) -> EngineChatRequest:
    """Read a request. CallError 400 when it is not one, or asks for what this engine cannot do."""
    try:
        request = _REQUESTS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CallError(400, f"the request cannot be read: {error}") from error
    asked = {
        "tools": bool(request.tools),
        "logprobs": bool(request.logprobs),
        "response_format": (request.response_format or {}).get("type", "text") != "text",
    }
    for name, wanted in asked.items():
        if wanted:
            message = f"{name} is not supported by this engine"
            raise CallError(400, message, code="unsupported_parameter", param=name)
    return request


def to_ask(request: EngineChatRequest, call: CallId) -> GenerationRequest:
    """Turn a request into an Ask; a seed is made up where none is given. CallError 400."""
    return GenerationRequest(
        call=call,
        messages=tuple(_message(message) for message in request.messages),
        seed=secrets.randbits(63) if request.seed is None else request.seed,
        max_tokens=request.max_completion_tokens or request.max_tokens,
        temperature=1.0 if request.temperature is None else request.temperature,
        top_p=1.0 if request.top_p is None else request.top_p,
        stop=(request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ()),
        choices=request.n or 1,
        min_tokens=request.min_tokens or 0,
        ignore_eos=bool(request.ignore_eos),
    )


def _message(message: EngineMessage) -> Message:
    role = _ROLES.get(message.role)
    if role is None:
        raise CallError(400, f"unknown role {quoted(message.role)}", param="messages")
    content = message.content
    if content is None or isinstance(content, str):
        return Message(role, content or "")
    for part in content:
        if part.type != "text":
            said = f"content of type {quoted(part.type)} is not supported"
            raise CallError(400, said, param="messages")
    return Message(role, "".join(part.text for part in content))


def encode_error(error: CallError) -> bytes:
    """The body of a refusal."""
    fields = OpenAIErrorFields(error.message, error.kind, error.param, error.code)
    return _JSON.encode(OpenAIError(fields))


def encode_models(model: str, created_s: int) -> bytes:
    """The body of the list of models, which has one."""
    return _JSON.encode(Models("list", [Model(model, created=created_s)]))


class Tally:
    """Tokens and finish reason of each choice of a call."""

    def __init__(self, prompt_tokens: int, choices: int) -> None:
        self._prompt_tokens = prompt_tokens
        self._tokens = [0] * choices
        self._texts: list[list[str]] = [[] for _ in range(choices)]
        self._finishes: list[Finish | None] = [None] * choices

    def add(self, piece: TextDelta, *, keep_text: bool) -> None:
        """Count a piece."""
        self._tokens[piece.choice] = piece.tokens
        self._finishes[piece.choice] = piece.finish
        if keep_text:
            self._texts[piece.choice].append(piece.text)

    def usage(self) -> dict[str, int]:
        """The tokens so far; the prompt counts once, however many choices."""
        written = sum(self._tokens)
        return {
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": written,
            "total_tokens": self._prompt_tokens + written,
        }

    def choices(self) -> list[dict[str, object]]:
        """The choices as the body of a whole answer lists them."""
        return [
            {
                "index": index,
                "message": {"role": "assistant", "content": "".join(texts)},
                "logprobs": None,
                "finish_reason": finish,
            }
            for index, (texts, finish) in enumerate(zip(self._texts, self._finishes, strict=True))
        ]


def encode_answer(call: CallId, model: str, created_s: int, tally: Tally) -> bytes:
    """The body of a whole answer."""
    whole = {
        "id": f"chatcmpl-{call}",
        "object": "chat.completion",
        "created": created_s,
        "model": model,
        "choices": tally.choices(),
        "usage": tally.usage(),
    }
    return _JSON.encode(whole)


_FINISHES: dict[Finish | None, bytes] = {
    None: b"null",
    "stop": b'"stop"',
    "length": b'"length"',
}


class ChunkEncoder:
    """Encodes the events of one stream."""

    def __init__(
        self,
        call: CallId,
        model: str,
        created_s: int,
        tally: Tally,
        options: EngineStreamOptions | None,
    ) -> None:
        options = options or EngineStreamOptions()
        fields = {
            "id": f"chatcmpl-{call}",
            "object": "chat.completion.chunk",
            "created": created_s,
            "model": model,
        }
        self._head = b"data: " + _JSON.encode(fields)[:-1] + b',"choices":['
        self._tally = tally
        self._include_usage = options.include_usage
        self._continuous = options.include_usage and options.continuous_usage_stats
        self._started: set[int] = set()

    def events(self, pieces: tuple[TextDelta, ...]) -> bytes:
        """The events of some pieces; a piece without text and without an end makes none."""
        out = []
        for piece in pieces:
            self._tally.add(piece, keep_text=False)
            if not piece.text and piece.finish is None:
                continue
            delta = b'"content":' + _JSON.encode(piece.text)
            if piece.choice not in self._started:
                self._started.add(piece.choice)
                delta = b'"role":"assistant",' + delta
            elif not piece.text:
                delta = b""
            usage = b',"usage":null' if self._include_usage else b""
            if self._continuous:
                usage = b',"usage":' + _JSON.encode(self._tally.usage())
            out.append(
                b'%b{"index":%d,"delta":{%b},"logprobs":null,"finish_reason":%b}]%b}\n\n'
                % (self._head, piece.choice, delta, _FINISHES[piece.finish], usage)
            )
        return b"".join(out)

    def last(self) -> bytes:
        """Return the end of the stream: the usage if the request asked for it, and the end mark."""
        if not self._include_usage:
            return DONE
        return self._head + b'],"usage":' + _JSON.encode(self._tally.usage()) + b"}\n\n" + DONE
