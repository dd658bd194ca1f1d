"""OpenAI's dialect: what we read of a request, and the bodies we write ourselves.

A request is decoded once, typed, to refuse what is wrong in OpenAI's words and statuses; what goes
upstream are the client's own bytes. Of a parameter given twice the last one counts. Parameters we do
not know pass through untouched, for the upstream to take or refuse.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from inferworks.api.wire.invalid import NOT_JSON, invalid
from inferworks.errors import CallError

_HEADROOM_FRAMES = 32


class Message(msgspec.Struct):
    """One message of a chat. Fields we do not name (tool calls, names) pass through unseen."""

    role: Annotated[str, Meta(min_length=1, max_length=64)]
    content: str | list[dict[str, msgspec.Raw]] | None = None


class StreamOptions(msgspec.Struct):
    """`stream_options` of a request."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None
    """vLLM's extension: usage in every event."""


class ChatRequest(msgspec.Struct):
    """The parameters of `chat.completions` that we check, with OpenAI's bounds."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    messages: Annotated[list[Message], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    seed: int | None = None
    stop: (
        Annotated[str, Meta(max_length=4096)]
        | Annotated[list[Annotated[str, Meta(max_length=4096)]], Meta(max_length=4)]
        | None
    ) = None


_decode_chat = msgspec.json.Decoder(ChatRequest).decode


def decode_chat(body: bytes) -> ChatRequest:
    """The request in `body`; CallError with OpenAI's status, code and parameter when it is wrong."""
    try:
        if not body.isascii():
            body.decode()  # in what we do not look at, too
        request = _decode_with_headroom(body, _HEADROOM_FRAMES)
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CallError(400, NOT_JSON) from error
    if request.stream_options is not None and not request.stream:
        raise CallError(
            400,
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )
    return request


def _decode_with_headroom(body: bytes, frames: int) -> ChatRequest:
    """Decode as if `frames` calls further down.

    How deep JSON may be nested depends on the stack above its decoder. What is let in here is taken apart
    again further down, and must not turn out too deep there.
    """
    return _decode_with_headroom(body, frames - 1) if frames else _decode_chat(body)


def error_body(error: CallError) -> bytes:
    """OpenAI's error body."""
    return msgspec.json.encode(
        {
            "error": {
                "message": error.message,
                "type": error.kind,
                "param": error.param,
                "code": error.code,
            }
        }
    )


def error_event(error: CallError) -> bytes:
    """An error inside a stream that has begun."""
    return b"data: " + error_body(error) + b"\n\n"


def model_body(model: str) -> dict[str, Any]:
    """One model as `GET /v1/models` shows it."""
    return {"id": model, "object": "model", "created": 0, "owned_by": "inferworks"}


def models_body(models: Iterable[str]) -> bytes:
    """The body of `GET /v1/models`."""
    return msgspec.json.encode({"object": "list", "data": [model_body(m) for m in models]})
