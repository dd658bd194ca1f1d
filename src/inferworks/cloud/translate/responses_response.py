"""The objects that an answer of OpenAI's responses is made of.

Ids are made from the id of the call, so that one can be found by the other. When a response was completed
is not said (`completed_at` is null): a translation has no clock. What is repeated of the request is
written anew, for its bytes may hold line ends, which would end the line of an event.

Sources: https://platform.openai.com/docs/api-reference/responses/object, https://www.openresponses.org
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from inferworks.cloud.call import Call
from inferworks.cloud.translate.fields import Fields, read_request
from inferworks.cloud.translate.responses_tools import CallsBack
from inferworks.cloud.translate.usage import responses_usage
from inferworks.dialects.finish_reasons import chat_finish_reason
from inferworks.dialects.openai_chat import Completion
from inferworks.dialects.openai_responses import (
    NULL,
    FullResponsesRequest,
    read_full_responses,
)
from inferworks.meter.reported_usage import ReportedUsage

_INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""OpenAI's finish reason of a chat -> why a response is incomplete."""
_DEFAULT_TEXT: Final = {"format": {"type": "text"}}


class Echo:
    """Parts of an answer that repeat its request, and the ids of its items."""

    def __init__(self, call: Call) -> None:
        self._request = read_request(call.body, read_full_responses)
        self._raw = msgspec.json.decode(call.body, type=dict[str, msgspec.Raw])
        self._model = call.model
        self._stem = call.id.removeprefix("call_")
        self.calls = CallsBack(self._request)
        """Mapping from the chat's functions back to the request's tools."""

    def id_of(self, kind: str, number: int | None = None) -> str:
        """An id: `resp_`, `msg_`, `fc_`, `rs_` or `call_` and the call's own, and a number."""
        return f"{kind}_{self._stem}" if number is None else f"{kind}_{self._stem}_{number}"

    def response(
        self,
        completion: Completion,
        output: list[Fields],
        status: str,
        reason: str | None = None,
        reported: ReportedUsage | None = None,
    ) -> Fields:
        """The response as it stands; `reason` says why it is incomplete, `reported` what it has used."""
        return {
            "id": self.id_of("resp"),
            "object": "response",
            "created_at": completion.created_s,
            "completed_at": None,
            "status": status,
            "error": None,
            "incomplete_details": None if reason is None else {"reason": reason},
            "model": completion.model or self._model,
            "output": output,
            "usage": None if reported is None else responses_usage(reported),
            **_repeated(self._request, self._raw),
        }


def _repeated(request: FullResponsesRequest, raw: dict[str, msgspec.Raw]) -> Fields:
    """The parameters in force: what was asked for, or OpenAI's defaults."""
    reasoning = request.reasoning
    given = _value(raw.get("tools", NULL)) or []
    # functions with all their fields, other tools as they were given
    tools = [
        {
            "type": tool.type,
            "name": tool.name,
            "description": tool.description,
            "parameters": _value(tool.parameters),
            "strict": tool.strict,
        }
        if tool.type == "function"
        else other
        for tool, other in zip(request.tools or (), given, strict=False)
    ]
    return {
        "background": False,
        "frequency_penalty": _or(request.frequency_penalty, 0.0),
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": request.max_tool_calls,
        "metadata": _value(request.metadata) or {},
        "parallel_tool_calls": _or(request.parallel_tool_calls, True),
        "presence_penalty": _or(request.presence_penalty, 0.0),
        "previous_response_id": None,
        "prompt_cache_key": request.prompt_cache_key,
        "reasoning": {
            "effort": reasoning and reasoning.effort,
            "summary": reasoning and reasoning.summary,
        },
        "safety_identifier": request.safety_identifier,
        "service_tier": _or(request.service_tier, "default"),
        "store": False,
        "temperature": _or(request.temperature, 1.0),
        "text": {**_DEFAULT_TEXT, **(_value(raw.get("text", NULL)) or {})},
        "tool_choice": _value(raw.get("tool_choice", NULL)) or "auto",
        "tools": tools,
        "top_logprobs": _or(request.top_logprobs, 0),
        "top_p": _or(request.top_p, 1.0),
        "truncation": "disabled",
        "user": request.user,
    }


def _value(raw: msgspec.Raw) -> Any:
    return msgspec.json.decode(raw)


def _or(given: Any, default: object) -> Any:
    return default if given is None else given


def ending(finish: str | None) -> tuple[str, str | None]:
    """The status of a response whose chat has ended so, and why it is incomplete."""
    reason = _INCOMPLETE.get(chat_finish_reason(finish, calls_tools=False))
    return ("completed" if reason is None else "incomplete"), reason


def part_of(kind: str, text: str, logprobs: Sequence[Fields] = ()) -> Fields:
    """A part of content: `output_text` with its tokens' `logprobs`, `refusal` or `reasoning_text`."""
    if kind == "refusal":
        return {"type": kind, "refusal": text}
    if kind == "reasoning_text":
        return {"type": kind, "text": text}
    return {"type": kind, "text": text, "annotations": [], "logprobs": [*logprobs]}


def message_of(item_id: str, parts: list[Fields], status: str) -> Fields:
    """An item of what was said."""
    return {
        "id": item_id,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": parts,
    }


def thought_of(item_id: str, parts: list[Fields], status: str) -> Fields:
    """An item of what was thought."""
    return {"id": item_id, "type": "reasoning", "status": status, "summary": [], "content": parts}
