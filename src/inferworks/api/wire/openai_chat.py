"""OpenAI's chat completions: what we read of a request.

A request is decoded once, typed, to refuse what is wrong in OpenAI's words and statuses; what goes
upstream are the client's own bytes. Parameters we do not know pass through untouched, for the upstream to
take or refuse.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from inferworks.api.wire.base import Asked, Form
from inferworks.api.wire.decoding import decode_json
from inferworks.api.wire.openai_errors import OPENAI_ERRORS
from inferworks.cloud.operation import Operation
from inferworks.errors import CallError


class Message(msgspec.Struct):
    """One message of a chat. Fields we do not name (tool calls, names) pass through unseen."""

    role: Annotated[str, Meta(min_length=1, max_length=64)]
    content: str | list[dict[str, msgspec.Raw]] | None = None


class StreamOptions(msgspec.Struct):
    """`stream_options` of a request."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None
    """vLLM's extension: usage in every event."""

    @property
    def wants_usage(self) -> bool:
        """The client asked to see the usage at the end of the stream."""
        return bool(self.include_usage)

    @property
    def wants_running_usage(self) -> bool:
        """The client asked to see it in every event."""
        return self.wants_usage and bool(self.continuous_usage_stats)


_NO_OPTIONS = StreamOptions()
_WITH_COST: Final = {"include": True}
_LONGEST_WISH_BYTES: Final = 64


class ChatRequest(msgspec.Struct, gc=False):
    """The parameters of `chat.completions` that we check, with OpenAI's bounds where all share them."""

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
        | Annotated[list[Annotated[str, Meta(max_length=4096)]], Meta(max_length=1024)]
        | None
    ) = None
    user: Annotated[str, Meta(max_length=4096)] | None = None
    safety_identifier: Annotated[str, Meta(max_length=4096)] | None = None
    """Newer name of OpenAI's for `user`."""
    prompt_cache_key: Annotated[str, Meta(max_length=4096)] | None = None
    usage: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """OpenRouter's wish for the cost in the answer; whatever else it may be passes through unseen."""


_decode = msgspec.json.Decoder(ChatRequest).decode


def decode_chat(body: bytes, _content_type: bytes = b"") -> Asked:
    """The request in `body`; CallError with OpenAI's status, code and parameter when it is wrong."""
    request = decode_json(body, _decode)
    options = stream_options(request.stream, request.stream_options)
    return Asked(
        request.model,
        stream=bool(request.stream),
        wants_usage=options.wants_usage,
        wants_running_usage=options.wants_running_usage,
        end_user=request.safety_identifier or request.user or "",
        session=request.prompt_cache_key or "",
        wants_cost=request.usage is not msgspec.UNSET and _wants_cost(request.usage),
    )


def _wants_cost(usage: msgspec.Raw) -> bool:
    """Return True when `usage` asks for the cost."""
    return len(usage) <= _LONGEST_WISH_BYTES and bool(msgspec.json.decode(usage) == _WITH_COST)


def stream_options(stream: bool | None, options: StreamOptions | None) -> StreamOptions:
    """The options of a stream; CallError 400 when there are any and no stream."""
    if options is None:
        return _NO_OPTIONS
    if not stream:
        raise CallError(
            400,
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )
    return options


CHAT = Form(
    Operation.CHAT,
    decode_chat,
    OPENAI_ERRORS,
    frozenset({b"openai-beta"}),
    request=ChatRequest,
)
