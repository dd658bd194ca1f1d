"""OpenAI's completions, the older kind: what we read of a request.

A prompt is a text, a list of texts, a list of tokens, or a list of such lists. As with chats, what goes
upstream are the client's own bytes.

Source: https://platform.openai.com/docs/api-reference/completions/create
"""

from __future__ import annotations

import msgspec

from inferworks.api.wire.base import EndpointSpec, RequestInfo
from inferworks.api.wire.cut import cut_completion
from inferworks.api.wire.decoding import decode_json
from inferworks.api.wire.openai_chat import stream_wishes
from inferworks.api.wire.openai_errors import OPENAI_ERRORS
from inferworks.cloud.operation import Operation
from inferworks.dialects.openai_completions import CompletionsRequest
from inferworks.errors import CallError

_USUAL_OUTPUT = 16
"""Tokens of an answer whose request sets no limit."""
_decode = msgspec.json.Decoder(CompletionsRequest).decode


def decode_completions(body: bytes, _content_type: bytes = b"") -> RequestInfo:
    """The request in `body`; CallError 400 when it is wrong."""
    request = decode_json(body, _decode)
    wants_usage = running = False
    if request.stream_options is not None:
        wants_usage, running = stream_wishes(request.stream, request.stream_options)
    best_of = request.best_of
    if best_of is not None and best_of < (request.n or 1):
        message = "Invalid 'best_of': it must be at least 'n'."
        raise CallError(400, message, code="invalid_value", param="best_of")
    if best_of is not None and request.stream and best_of > 1:
        message = "Invalid 'best_of': a stream has no best of several."
        raise CallError(400, message, code="invalid_value", param="best_of")
    return RequestInfo(
        request.model,
        stream=bool(request.stream),
        wants_usage=wants_usage,
        wants_running_usage=running,
        end_user=request.user or "",
        most_output=_USUAL_OUTPUT if request.max_tokens is None else request.max_tokens,
        choices=(best_of or request.n or 1) * _prompts(request.prompt),
    )


def _prompts(prompt: str | list[str | int | list[int]]) -> int:
    """Count the prompts of a request: a list of tokens is one."""
    return 1 if isinstance(prompt, str) or isinstance(prompt[0], int) else len(prompt)


COMPLETIONS = EndpointSpec(
    Operation.COMPLETIONS,
    decode_completions,
    OPENAI_ERRORS,
    request=CompletionsRequest,
    cut=cut_completion,
)
