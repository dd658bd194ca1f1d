"""OpenAI's dialect: what we read of a request, and the bodies we write ourselves.

A request is decoded once, typed, to refuse what is wrong in OpenAI's words and statuses; what goes
upstream are the client's own bytes. Parameters we do not know pass through untouched, for the upstream
to take or refuse.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from inferworks.errors import CallError

_INVALID_JSON = (
    "We could not parse the JSON body of your request. "
    "The API expects a JSON object and the content type application/json."
)


class Message(msgspec.Struct):
    """One message of a chat. Fields we do not name (tool calls, names) pass through unseen."""

    role: Annotated[str, Meta(min_length=1, max_length=64)]
    content: str | list[dict[str, Any]] | None = None


class StreamOptions(msgspec.Struct):
    """`stream_options` of a request."""

    include_usage: bool | None = None


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
        request = _decode_chat(body)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CallError(400, _INVALID_JSON) from error
    if request.stream_options is not None and not request.stream:
        raise CallError(
            400,
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )
    return request


_MISSING = re.compile(r"Object missing required field `(.+?)`(?: - at `\$\.?(.*)`)?")
_AT = re.compile(r"(.*?) - at `\$\.?(.*)`", re.DOTALL)


def _invalid(text: str) -> CallError:
    """A decoding error in OpenAI's words."""
    if missing := _MISSING.fullmatch(text):
        field, where = missing.groups()
        param = f"{where}.{field}" if where else field
        message = f"Missing required parameter: '{param}'."
        return CallError(400, message, code="missing_required_parameter", param=param)
    if at := _AT.fullmatch(text):
        what, param = at.groups()
        message = f"Invalid value for '{param}': {what.replace('`', '').lower()}."
        code = "invalid_type" if ", got" in what else "invalid_value"
        return CallError(400, message, code=code, param=param)
    return CallError(400, _INVALID_JSON)


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
