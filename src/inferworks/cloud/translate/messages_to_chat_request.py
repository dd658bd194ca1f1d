"""A request of Anthropic's messages in the words of OpenAI's chat completions.

Prompts keep their order. One turn of Anthropic's may hold several of OpenAI's messages: results of tools
are messages of their own there. Thoughts go along only if they came from such an upstream in the first
place (we sign those with nothing); what Anthropic has signed means nothing to anybody else.

Sources: https://platform.claude.com/docs/en/api/messages,
https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec

from inferworks.cloud.call import Call
from inferworks.cloud.translate.fields import (
    FieldRules,
    Fields,
    cannot,
    passed,
    read_request,
    set_if,
)
from inferworks.cloud.translate.messages_request import (
    Block,
    OutputConfig,
    OutputFormat,
    Request,
    Source,
    Thinking,
    Tool,
    ToolChoice,
    Turn,
    as_blocks,
    read_messages,
)

_RULES = FieldRules(
    "an OpenAI-compatible API",
    translated={
        "model", "messages", "max_tokens", "system", "stop_sequences", "stream", "tools",
        "tool_choice", "thinking", "output_config", "metadata", "service_tier",
    },
    dropped={"cache_control", "diagnostics", "user_profile_id", "workspace_id"},
    refused={
        "container": (),
        "context_management": (),
        "inference_geo": (),
        "mcp_servers": ([],),
        "speed": ("standard",),
    },
)  # fmt: skip


def chat_request(call: Call, limit_field: str) -> bytes:
    """The chat completion to ask for; `limit_field` is what the upstream calls `max_tokens`."""
    request = read_request(call.body, read_messages)
    fields: Fields = {
        "model": request.model,
        "messages": [*_system(request.system), *_messages(request.messages)],
        limit_field: request.max_tokens,
        **passed(call.body, _RULES),
    }
    if call.stream:
        fields |= {"stream": True, "stream_options": {"include_usage": True}}
    _put_tools(fields, request)
    _put_settings(fields, request)
    return msgspec.json.encode(fields)


def _put_settings(fields: Fields, request: Request) -> None:
    config = request.output_config or OutputConfig()
    set_if(fields, "stop", request.stop_sequences or None)
    set_if(fields, "user", request.metadata and request.metadata.user_id)
    set_if(fields, "reasoning_effort", config.effort or _effort(request.thinking))
    if config.format is not None:
        fields["response_format"] = _response_format(config.format)
    if request.service_tier == "standard_only":
        fields["service_tier"] = "default"


def _effort(thinking: Thinking | None) -> str | None:
    """How hard to think, for a budget of tokens; None leaves it to the model."""
    if thinking is None or thinking.type != "enabled":
        return None
    if thinking.budget_tokens < 4096:
        return "low"
    return "medium" if thinking.budget_tokens < 16_384 else "high"


def _response_format(given: OutputFormat) -> Fields:
    if given.type != "json_schema":
        raise cannot("output_config.format", f"cannot be {given.type!r}", "output_config.format")
    schema = {"name": "answer", "schema": given.schema, "strict": True}
    return {"type": "json_schema", "json_schema": schema}


# --- tools


def _put_tools(fields: Fields, request: Request) -> None:
    if request.tools:
        fields["tools"] = [_tool(number, tool) for number, tool in enumerate(request.tools)]
    choice = request.tool_choice
    if choice is not None:
        fields["tool_choice"] = _tool_choice(choice)
        if choice.disable_parallel_tool_use:
            fields["parallel_tool_calls"] = False


def _tool(number: int, tool: Tool) -> Fields:
    if tool.type not in {None, "custom"}:
        where = f"tools[{number}]"
        raise cannot(
            where, f"is a tool of Anthropic's own ({tool.type}); define it yourself", where
        )
    function: Fields = {"name": tool.name}
    set_if(function, "description", tool.description)
    function["parameters"] = tool.input_schema
    set_if(function, "strict", tool.strict)
    return {"type": "function", "function": function}


def _tool_choice(choice: ToolChoice) -> str | Fields:
    match choice.type:
        case "auto" | "none":
            return choice.type
        case "any":
            return "required"
        case "tool":
            return {"type": "function", "function": {"name": choice.name}}
    raise cannot("tool_choice.type", f"cannot be {choice.type!r}", "tool_choice")


# --- messages


def _system(system: str | list[Block] | None) -> list[Fields]:
    return [{"role": "system", "content": _content(as_blocks(system), "system")}] if system else []


def _messages(turns: Sequence[Turn]) -> list[Fields]:
    if turns and turns[-1].role == "assistant":
        why = (
            "ends with the assistant's turn, which this model cannot continue; end with the user's"
        )
        raise cannot("messages", why, "messages")
    return [
        message
        for number, turn in enumerate(turns)
        for message in _of_turn(turn, f"messages[{number}]")
    ]


def _of_turn(turn: Turn, where: str) -> Iterator[Fields]:
    """The messages of one turn."""
    match turn.role:
        case "assistant":
            yield _assistant(turn.blocks, where)
        case "system":
            yield {"role": "system", "content": _content(turn.blocks, where)}
        case "user":
            yield from _user(turn.blocks, where)
        case other:
            raise cannot(f"{where}.role", f"cannot be {other[:60]!r}", where)


def _user(blocks: Sequence[Block], where: str) -> Iterator[Fields]:
    for is_results, run in groupby(blocks, lambda block: block.type == "tool_result"):
        if is_results:
            yield from (_tool_result(block, where) for block in run)
        else:
            yield {"role": "user", "content": _content(list(run), where)}
    if not blocks:
        yield {"role": "user", "content": ""}


def _tool_result(block: Block, where: str) -> Fields:
    """What a tool gave; that it failed is said in words, for which there is no field."""
    blocks = as_blocks(block.content)
    if block.is_error:
        blocks = [Block("text", text="Error:"), *blocks]
    content = _content(blocks, where)
    return {"role": "tool", "tool_call_id": block.tool_use_id, "content": content}


def _assistant(blocks: Sequence[Block], where: str) -> Fields:
    known = {"text", "tool_use", "thinking", "redacted_thinking"}
    for block in blocks:
        if block.type not in known:
            raise _unknown_block(block, where)
    text = "".join(block.text for block in blocks if block.type == "text")
    thought = "".join(block.thinking for block in blocks if not block.signature)
    calls = [_tool_call(block) for block in blocks if block.type == "tool_use"]
    message: Fields = {"role": "assistant", "content": text if text or not calls else None}
    set_if(message, "reasoning_content", thought or None)
    set_if(message, "tool_calls", calls or None)
    return message


def _tool_call(block: Block) -> Fields:
    function = {"name": block.name, "arguments": bytes(block.input).decode()}
    return {"id": block.id, "type": "function", "function": function}


def _content(blocks: Sequence[Block], where: str) -> str | list[Fields]:
    """Content as plain text where it is one text, which every upstream takes; else in parts."""
    if not blocks:
        return ""
    if len(blocks) == 1 and blocks[0].type == "text":
        return blocks[0].text
    return [_part(block, where) for block in blocks]


def _part(block: Block, where: str) -> dict[str, Any]:
    source = block.source
    match block.type, source and source.type:
        case "text", _:
            return {"type": "text", "text": block.text}
        case "image", "base64" | "url" if source:
            return {"type": "image_url", "image_url": {"url": _url(source)}}
        case "document", "text" if source:
            return {"type": "text", "text": source.data}
        case "document", "base64" if source:
            name = block.title or "document.pdf"
            return {"type": "file", "file": {"filename": name, "file_data": _url(source)}}
    raise _unknown_block(block, where)


def _url(source: Source) -> str:
    return source.url or f"data:{source.media_type};base64,{source.data}"


def _unknown_block(block: Block, where: str) -> Exception:
    kind = block.type[:60] + (f" from a {block.source.type[:60]}" if block.source else "")
    why = f"has a block ({kind}) that an OpenAI-compatible API, which serves this model, does not know"
    return cannot(where, why, where)
