"""OpenAI's responses as a fake upstream writes them: a message word by word, the call of a function.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Iterator

from inferworks.testing.upstreams import unlucky
from inferworks.testing.upstreams.script import Answer, Body, Reports, Wire, nth, words_of
from inferworks.testing.upstreams.tool_calling import as_asked, asked_in_responses

_ITEM = "msg_67ccd2bf17f0819081ff3bb2cf6508e6"
_CALL_ITEM = "fc_67ccd2bf17f0819081ff3bb2cf6508e6"


def _unnumbered(answer: Answer, request: Body) -> Iterator[Body]:
    items, reason = _items(answer, request)
    begun = _response(answer, request, [], None)
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(items):
        place = {"output_index": index}
        empty: Body = {"content": []} if item["type"] == "message" else {"arguments": ""}
        begun = {**item, "status": "in_progress", **empty}
        yield {"type": "response.output_item.added", **place, "item": begun}
        if item["type"] == "message":
            yield from _text_pieces(answer, item, place)
        else:
            # the call of a function, its arguments in two halves
            within, arguments = {"item_id": item["id"], **place}, item["arguments"]
            half = len(arguments) // 2
            for piece in (arguments[:half], arguments[half:]):
                yield {"type": "response.function_call_arguments.delta", **within, "delta": piece}
            done = {"name": item["name"], "arguments": arguments}
            yield {"type": "response.function_call_arguments.done", **within, **done}
        yield {"type": "response.output_item.done", **place, "item": item}
    end = _response(answer, request, items, reason)
    yield {"type": f"response.{end['status']}", "response": end}


def _text_pieces(answer: Answer, item: Body, place: Body) -> Iterator[Body]:
    """A message, word by word."""
    within = {"item_id": item["id"], **place, "content_index": 0}
    part = item["content"][0]
    yield {"type": "response.content_part.added", **within, "part": _text("")}
    left = len(part["text"])
    for word in answer.words:
        if left > 0:
            yield {"type": "response.output_text.delta", **within, "delta": word, "logprobs": []}
        left -= len(word)
    yield {"type": "response.output_text.done", **within, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **within, "part": part}


def _items(answer: Answer, request: Body) -> tuple[list[Body], str]:
    """Return the output items, and the reason why the response ends."""
    words, reason = words_of(answer, request.get("max_output_tokens"))
    content = [_text("".join(words))]
    said: Body = {
        "id": _ITEM, "type": "message", "status": "completed", "role": "assistant", "content": content,
    }  # fmt: skip
    calls: list[Body] = [
        {
            "id": nth(_CALL_ITEM, number), "type": "function_call", "status": "completed",
            "call_id": nth("call_12xyz", number), "name": name, "arguments": arguments,
        }
        for number, (name, arguments) in enumerate(answer.tools, answer.calls_before)
    ]  # fmt: skip
    return [said, *calls] if words or not calls else calls, reason


def _text(text: str) -> Body:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _response(answer: Answer, request: Body, output: list[Body], reason: str | None) -> Body:
    """A response that is done, or without a `reason` one that is in progress."""
    status = {None: "in_progress", "stop": "completed", "length": "incomplete"}[reason]
    usage: Body | None = None
    if reason is not None and answer.reports is not Reports.NEVER:
        zero = answer.reports is Reports.ZERO
        # one for each word and call
        spoken = len(words_of(answer, request.get("max_output_tokens"))[0]) + bool(answer.tool)
        read, made = (0, 0) if zero else (answer.input_tokens, spoken)
        usage = {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": answer.cached_tokens or 0},
            "output_tokens": made,
            "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens or 0},
            "total_tokens": read + made,
        }
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
        "usage": usage,
    }


class _Responses(Wire):
    named = True
    dialect = unlucky.RESPONSES

    def whole(self, answer: Answer, request: Body) -> Body:
        answer = as_asked(answer, asked_in_responses, request)
        items, reason = _items(answer, request)
        return _response(answer, request, items, reason)

    def events(self, answer: Answer, request: Body) -> Iterator[Body]:
        answer = as_asked(answer, asked_in_responses, request)
        for number, event in enumerate(_unnumbered(answer, request)):
            yield {**event, "sequence_number": number}


class _InputTokens(Wire):
    def whole(self, answer: Answer, request: Body) -> Body:
        return {"object": "response.input_tokens", "input_tokens": answer.input_tokens}


RESPONSES = _Responses()
INPUT_TOKENS = _InputTokens()
