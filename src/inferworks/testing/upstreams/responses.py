"""OpenAI's responses as a fake upstream writes them: one message, word by word.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from inferworks.testing.upstreams.able import asked_in_responses, react
from inferworks.testing.upstreams.script import Answer, Body, Reports, Wire, words_of

_ITEM = "msg_67ccd2bf17f0819081ff3bb2cf6508e6"


def _whole(answer: Answer, request: Body) -> Body:
    words, reason = _words(answer, request)
    done = _message("".join(words), "completed")
    return _response(answer, request, [done], reason, len(words))


def _events(answer: Answer, request: Body) -> Iterator[Body]:
    for number, event in enumerate(_unnumbered(answer, request)):
        yield {**event, "sequence_number": number}


def _unnumbered(answer: Answer, request: Body) -> Iterator[Body]:
    words, reason = _words(answer, request)
    begun = _response(answer, request, [], None, 0)
    place = {"output_index": 0}
    within = {"item_id": _ITEM, "output_index": 0, "content_index": 0}
    text = "".join(words)
    whole = _message(text, "completed")
    empty = {**whole, "status": "in_progress", "content": []}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    yield {"type": "response.output_item.added", **place, "item": empty}
    yield {"type": "response.content_part.added", **within, "part": _text("")}
    for word in words:
        yield {"type": "response.output_text.delta", **within, "delta": word, "logprobs": []}
    yield {"type": "response.output_text.done", **within, "text": text, "logprobs": []}
    yield {"type": "response.content_part.done", **within, "part": _text(text)}
    yield {"type": "response.output_item.done", **place, "item": whole}
    end = _response(answer, request, [whole], reason, len(words))
    yield {"type": f"response.{end['status']}", "response": end}


def _words(answer: Answer, request: Body) -> tuple[tuple[str, ...], str]:
    """The words of the message and why it ends."""
    words = react(asked_in_responses(request)).words if answer.is_able else None
    answer = answer if words is None else msgspec.structs.replace(answer, words=words)
    return words_of(answer, request.get("max_output_tokens"))


def _message(text: str, status: str) -> Body:
    content = [_text(text)]
    return {
        "id": _ITEM, "type": "message", "status": status, "role": "assistant", "content": content,
    }  # fmt: skip


def _text(text: str) -> Body:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _response(
    answer: Answer, request: Body, output: list[Body], reason: str | None, tokens: int
) -> Body:
    """A response that is done, or without a `reason` one that is in progress."""
    status = {None: "in_progress", "stop": "completed", "length": "incomplete"}[reason]
    told = reason is not None and answer.reports is not Reports.NEVER
    return {
        "id": "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b",
        "object": "response",
        "created_at": 1741476542,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if reason == "length" else None,
        "instructions": request.get("instructions"),
        "model": request["model"],
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "service_tier": "default",
        "usage": _usage(answer, tokens) if told else None,
    }


def _usage(answer: Answer, output: int) -> Body:
    zero = answer.reports is Reports.ZERO
    read, output = (0, 0) if zero else (answer.input_tokens, output)
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": answer.cached_tokens or 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens or 0},
        "total_tokens": read + output,
    }


RESPONSES = Wire(_whole, _events, named=True)
