"""A request of OpenAI's chat completions in the words of Anthropic's messages.

Instructions at the head of a chat become `system`; later ones stand where the model hears them
(`instructions`). Results of tools that follow one another become one turn of the user. Blank
texts, turns that say nothing and stop sequences of white space, all of which Anthropic refuses, are left
out; ids of calls that other vendors wrote are put into letters that it takes. What
Anthropic has signed comes back as it went out, in `thinking_blocks`; thoughts without a signature are
left out, for Anthropic takes none. `cache_control` on a part or a tool passes, an extension by which
clients of OpenAI's ask for Anthropic's prompt cache.

Sources: https://platform.openai.com/docs/api-reference/chat/create,
https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, dropwhile, takewhile
from typing import Final

import msgspec

from inferworks.catalog.facts import ModelFacts
from inferworks.cloud.call import Call
from inferworks.cloud.translate.chat_fields import OPENAI_ALONE, UNHEEDED, WISHES
from inferworks.cloud.translate.chat_fit import (
    at_most,
    leave_out_sampling,
    nearest_effort,
    short_user,
)
from inferworks.cloud.translate.chat_tools import offered, past_call
from inferworks.cloud.translate.fields import (
    FieldRules,
    Fields,
    Omissions,
    cannot,
    passed,
    read_request,
    set_if,
)
from inferworks.cloud.translate.instructions import Turn, placed, role_of
from inferworks.cloud.translate.json_tool import (
    DESCRIPTION,
    JSON_TOOL,
    TO_BE_CALLED,
    is_mode,
    may_answer,
    schema_of,
    wants_json,
)
from inferworks.cloud.translate.schemas import as_object, is_closed_raw
from inferworks.cloud.translate.tool_results import BEGINNING, CallIds
from inferworks.dialects.openai_chat import (
    FullChatRequest,
    FullMessage,
    read_full_chat,
)

_RULES = FieldRules(
    "Anthropic's API",
    same={
        "temperature", "top_p",
        # Anthropic's own, which a caller of chats may write
        "cache_control", "container", "inference_geo", "output_config", "speed", "thinking", "top_k",
    },
    translated={
        "model", "messages", "max_tokens", "max_completion_tokens", "stop", "stream", "tools",
        "tool_choice", "parallel_tool_calls", "reasoning_effort", "response_format", "user",
        "safety_identifier", "service_tier",
    },
    dropped=UNHEEDED,
    wishes=WISHES,
    refused=OPENAI_ALONE,
)  # fmt: skip
_SERVES: Final = "Anthropic's API, which serves this model"
_BUDGETS: Final = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384}
"""Tokens to think with, for an effort, where a model knows budgets alone."""
_LEAST_BUDGET: Final = 1024
_LARGEST_BUDGET: Final = 32_768
_NO_WISH: Final = msgspec.Raw(b"null")
_read_number = msgspec.json.Decoder(float | None).decode


def messages_request(call: Call, default_max_tokens: int, omissions: Omissions) -> bytes:
    """The message to ask for; an answer that the caller did not limit ends at `default_max_tokens`."""
    request, facts = read_request(call.body, read_full_chat), call.facts
    system, turns = _said(request.messages, facts)
    fields: Fields = {
        "model": request.model,
        "max_tokens": at_most(request.limit or default_max_tokens, facts),
        "messages": turns,
        **passed(call.body, _RULES, omissions),
    }
    if call.stream:
        fields["stream"] = True
    set_if(fields, "system", system or None)
    stops = [stop for stop in request.stops or () if stop.strip()]
    set_if(fields, "stop_sequences", stops or None)
    user = request.safety_identifier or request.user
    label = short_user(user, facts.user_length) if user else None
    set_if(fields, "metadata", {"user_id": label} if label else None)
    tier = request.service_tier
    if tier == "default":
        fields["service_tier"] = "standard_only"
    elif tier is not None and tier != "auto":
        omissions.refuse("service_tier", f"cannot be {tier[:60]!r} for {_SERVES}", "service_tier")
    _put_effort(fields, request, facts, omissions)
    _put_tools(fields, request, facts, omissions)
    # Models that think take no settings of the sampling, nor do new ones.
    temperature = read_request(fields.get("temperature", _NO_WISH), _read_number)
    if temperature is not None and temperature > 1:
        omissions.refuse("temperature", f"cannot be above 1 for {_SERVES}", "temperature")
        fields["temperature"] = 1
    if facts.temperature == 0 or _thinks(fields):
        leave_out_sampling(fields, omissions)
    elif "top_p" in fields and "temperature" in fields and not facts.top_p_beside_temperature:
        del fields["top_p"]
        omissions.leave_out("top_p")
    return msgspec.json.encode(fields)


def _thinks(fields: Fields) -> bool:
    thinking = fields.get("thinking")
    if isinstance(thinking, msgspec.Raw):
        thinking = msgspec.json.decode(thinking)
    return isinstance(thinking, dict) and thinking.get("type") in {"adaptive", "enabled"}


def _put_effort(
    fields: Fields, request: FullChatRequest, facts: ModelFacts, omissions: Omissions
) -> None:
    """Set the reasoning effort, or a budget where the model has no efforts."""
    effort = request.reasoning_effort
    if effort is None or ("thinking" in fields and effort == "none"):
        return
    if effort == "none":
        if "none" in facts.efforts or facts.thinking_budget:
            fields["thinking"] = {"type": "disabled"}
        elif facts.efforts:
            omissions.leave_out("reasoning_effort")
    elif facts.efforts:
        fields.setdefault("thinking", {"type": "adaptive"})
        fields.setdefault("output_config", {"effort": nearest_effort(effort, facts.efforts)})
    elif not facts.thinking_budget:
        omissions.leave_out("reasoning_effort")
    elif "thinking" not in fields:
        budget = _BUDGETS.get(effort, _LARGEST_BUDGET)
        if request.limit is None:
            fields["max_tokens"] = at_most(fields["max_tokens"] + budget, facts)
        budget = min(budget, fields["max_tokens"] - 1)
        if budget < _LEAST_BUDGET or _is_amid_calls_without_thoughts(fields["messages"]):
            omissions.leave_out("reasoning_effort")
        else:
            fields["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _is_amid_calls_without_thoughts(turns: Sequence[Fields]) -> bool:
    """Return True when the last turn of the assistant called tools and is sent without its thoughts.

    A model that thinks by a budget refuses to go on from the results then, whatever the user says beside
    them. Most clients of chats do not send thoughts back.
    """
    before = dropwhile(lambda turn: turn["role"] != "assistant", reversed(turns))
    last = takewhile(lambda turn: turn["role"] == "assistant", before)
    blocks = chain.from_iterable(turn["content"] for turn in last)
    kinds = [block.get("type") for block in blocks if isinstance(block, dict)]
    return "tool_use" in kinds and all(isinstance(kind, str) for kind in kinds)  # thoughts are raw


# --- tools and forms of the answer


def _put_tools(
    fields: Fields, request: FullChatRequest, facts: ModelFacts, omissions: Omissions
) -> None:
    given = offered(request, _SERVES, facts, omissions)
    tools: list[Fields] = []
    for function, tool in given.tools:
        shown: Fields = {"name": function.name}
        set_if(shown, "description", function.description)
        shown["input_schema"] = as_object(function.parameters)
        can_be_strict = function.strict and "json_schema" in facts.json_modes
        if can_be_strict and is_closed_raw(function.parameters):
            shown["strict"] = True
        tools.append(_cached(shown, tool.cache_control))
    choice: Fields | None = None
    if tools and given.forced is not None:
        choice = {"type": "tool", "name": given.forced}
    elif tools and given.choice:
        choice = {"type": "any" if given.choice == "required" else given.choice}
    wanted = wants_json(request.response_format)
    if wanted is not None and "json_schema" in facts.json_modes and is_mode(wanted):
        own = fields.get("output_config", {})
        config = msgspec.json.decode(own) if isinstance(own, msgspec.Raw) else own
        form = {"type": "json_schema", "schema": schema_of(wanted)}
        fields["output_config"] = {"format": form, **config}
    elif wanted is not None and may_answer(given):
        choice = {"type": "any" if facts.forced_tools else "auto"}
        if facts.forced_tools and (not tools or given.choice == "none"):  # nothing else is possible
            choice = {"type": "tool", "name": JSON_TOOL, "disable_parallel_tool_use": True}
        schema = as_object(schema_of(wanted))
        tools.append({"name": JSON_TOOL, "description": DESCRIPTION, "input_schema": schema})
        if not facts.forced_tools:
            system = fields.get("system", [])
            blocks = [{"type": "text", "text": system}] if isinstance(system, str) else system
            fields["system"] = [*blocks, {"type": "text", "text": TO_BE_CALLED}]
    if not tools:
        return
    if choice is not None and choice["type"] in {"any", "tool"}:
        _stop_thinking(fields, omissions)
    fields["tools"] = tools
    if request.parallel_tool_calls is False and choice != {"type": "none"}:
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    set_if(fields, "tool_choice", choice)


def _stop_thinking(fields: Fields, omissions: Omissions) -> None:
    """A model that must call a tool does not think before."""
    if not _thinks(fields):
        return
    del fields["thinking"]
    config = fields.pop("output_config", {})
    if isinstance(config, dict) and "format" in config:
        fields["output_config"] = {"format": config["format"]}
    omissions.leave_out("reasoning_effort")


# --- messages


def _said(
    messages: Sequence[FullMessage], facts: ModelFacts
) -> tuple[str | list[Fields], list[Fields]]:
    """The instructions at the head of a chat, and its turns."""
    ids = CallIds()
    said: list[Turn] = []
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        role = role_of(message, where)
        blocks = _blocks(message, where)
        if role == "tool":
            call_id, content = ids.answered(message.tool_call_id), _simplest(blocks)
            blocks = [{"type": "tool_result", "tool_use_id": call_id, "content": content}]
        elif role == "assistant":
            blocks = [*message.signed_thoughts, *blocks]
            if message.refusal:
                blocks.append({"type": "text", "text": message.refusal})
            for call in message.tool_calls or ():
                name, given = past_call(call, f"{where}.tool_calls", _SERVES)
                use = {"type": "tool_use", "id": ids.called(call.id), "name": name, "input": given}
                blocks.append(use)
        said.append((role, blocks))
    system, placed_turns = placed(said, amid=facts.system_amid)
    turns: list[Fields] = [
        {"role": role, "content": _simplest(blocks)} for role, blocks in placed_turns
    ]
    if not turns or turns[0]["role"] != "user":
        turns.insert(0, {"role": "user", "content": BEGINNING})
    return _simplest(system), turns


def _simplest(blocks: list[Fields]) -> str | list[Fields]:
    """Content as plain text where it is one text and nothing else."""
    if not blocks:
        return ""
    is_text = len(blocks) == 1 and blocks[0].keys() == {"type", "text"}
    return str(blocks[0]["text"]) if is_text else blocks


def _blocks(message: FullMessage, where: str) -> list[Fields]:
    """The content of a message as blocks; none for a blank text."""
    blocks: list[Fields] = []
    for part in message.parts:
        match part.type:
            case "text" | "refusal":
                text = part.text or part.refusal
                if not text.strip():
                    continue
                block: Fields = {"type": "text", "text": text}
            case "image_url" if part.image_url:
                block = {"type": "image", "source": _source(part.image_url.url, where)}
            case "file" if part.file and part.file.file_data.startswith("data:application/pdf;"):
                block = {"type": "document", "source": _source(part.file.file_data, where)}
                set_if(block, "title", part.file.filename)
            case other:
                why = f"has a part ({other[:60]}) that {_SERVES}, does not know"
                raise cannot(where, why, where)
        blocks.append(_cached(block, part.cache_control))
    return blocks


def _source(url: str, where: str) -> Fields:
    """An address, or the data that it holds itself."""
    if url.startswith(("https://", "http://")):
        return {"type": "url", "url": url}
    scheme, _, data = url.partition(";base64,")
    if not scheme.startswith("data:") or not data:
        raise cannot(where, "has an image that is neither a https address nor base64 data", where)
    return {"type": "base64", "media_type": scheme.removeprefix("data:"), "data": data}


def _cached(fields: Fields, cache_control: msgspec.Raw) -> Fields:
    return {**fields, "cache_control": cache_control} if bytes(cache_control) else fields
