"""A request of Anthropic's messages in the words of OpenAI's chat completions.

Prompts keep their order. One turn of Anthropic's may hold several of OpenAI's messages: results of tools
are messages of their own there, which stand right behind the calls and hold text alone. So what else a
tool gave (a screenshot, a PDF) follows in a message of the user, behind all the results of that turn and
before what the user says. Thoughts go along only if they came from such an upstream in the first
place (we sign those with nothing); what Anthropic has signed means nothing to anybody else.

A tool that Anthropic runs itself, or that only its models know how to call, was offered and not ordered: it
is left out and named, and so is what is told of its past calls. What Claude Code sends with every request
(anthropics/claude-code#21612) asks for nothing where thoughts are kept.

Sources: https://platform.claude.com/docs/en/api/messages,
https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from inferworks.cloud.call import Call
from inferworks.cloud.translate.chat_fit import fit_chat
from inferworks.cloud.translate.chat_tools import function_call
from inferworks.cloud.translate.fields import (
    FieldRules,
    Fields,
    Omissions,
    cannot,
    passed,
    read_request,
    set_if,
)
from inferworks.cloud.translate.schemas import is_strict
from inferworks.cloud.translate.sent_names import MESSAGES_TO_CHAT
from inferworks.cloud.translate.tool_names import short_name
from inferworks.cloud.translate.tool_results import (
    OPENAI_ID_CHARACTERS,
    SHOWN_BELOW,
    short_id,
    shown_by,
)
from inferworks.dialects.anthropic_messages import (
    ContentBlock,
    FullMessagesRequest,
    OutputConfig,
    Source,
    Turn,
    as_blocks,
    read_full_messages,
)
from inferworks.dialects.errors import THREAD_UNSUPPORTED
from inferworks.errors import CallError

_RULES = FieldRules(
    "an OpenAI-compatible API",
    same={"temperature", "top_p", "top_k"},
    translated={
        "model", "messages", "max_tokens", "system", "stop_sequences", "stream", "tools",
        "tool_choice", "thinking", "output_config", "output_format", "metadata", "service_tier",
        "context_management", "thread",
    },
    dropped={"cache_control", "diagnostics", "user_profile_id", "workspace_id"},
    wishes={"mcp_servers": ([],), "speed": ("standard",), "fallbacks": ([],)},
    refused={
        "compaction": (),
        "container": (),
        "inference_geo": ("global",),
    },
)  # fmt: skip
_SERVER_BLOCK: Final = re.compile(r"server_tool_use|mcp_tool_use|\w+_tool_result")
"""Blocks that tell of tools which Anthropic ran. What came of it stands in what was said."""
_NO_THREAD: Final = (
    "'thread' has Anthropic keep the conversation, and this model is served by an OpenAI-compatible API, "
    "which keeps none. Send all messages, without it."
)
"""Left out, even leniently, it would be lost: the caller's next request would have the newest turn only.
Anthropic's clients know this refusal by its code, and go on by sending everything each time."""
_KEEPS_ALL: Final = ("all", {"type": "all"})


def chat_request(call: Call, omissions: Omissions) -> bytes:
    """The chat completion to ask for."""
    request = read_request(call.body, read_full_messages)
    if request.thread is not None:
        raise CallError(400, _NO_THREAD, code=THREAD_UNSUPPORTED, param="thread")
    messages: list[Fields] = []
    if request.system:
        system = _content(as_blocks(request.system), "system")
        messages.append({"role": "system", "content": system})
    messages += _messages(request.messages, omissions)
    fields: Fields = {
        "model": request.model,
        "messages": messages,
        "max_tokens": request.max_tokens,
        **passed(call.body, _RULES, omissions),
    }
    if call.stream:
        fields |= {"stream": True, "stream_options": {"include_usage": True}}
    _put_tools(fields, request, omissions)
    _put_settings(fields, request)
    for edit in request.context_management.edits if request.context_management else ():
        if not edit.type.startswith("clear_thinking"):
            why = f"asks for an edit ({edit.type[:60]}) that an OpenAI-compatible API does not know"
            omissions.refuse("context_management", why, "context_management")
        # thoughts that are cleared are Anthropic's own, of which nobody else is sent any
        elif read_request(edit.keep, msgspec.json.decode) not in _KEEPS_ALL:
            omissions.names.append("context_management")
    names = MESSAGES_TO_CHAT
    if request.output_config is None or request.output_config.effort is None:
        names = {**names, "reasoning_effort": "thinking"}
    return msgspec.json.encode(fit_chat(fields, call.facts, omissions.called(names)))


def _put_settings(fields: Fields, request: FullMessagesRequest) -> None:
    config = request.output_config or OutputConfig()
    set_if(fields, "stop", request.stop_sequences or None)
    set_if(fields, "user", request.metadata and request.metadata.user_id)
    effort, thinking = config.effort, request.thinking
    if not effort and thinking is not None and thinking.type == "disabled":
        effort = "none"
    elif not effort and thinking is not None and thinking.type == "enabled":
        budget = thinking.budget_tokens
        effort = "low" if budget < 4096 else "medium" if budget < 16_384 else "high"
    set_if(fields, "reasoning_effort", effort or None)
    wanted = config.format or request.output_format
    if wanted is not None:
        if wanted.type != "json_schema":
            why = f"cannot be {wanted.type!r}"
            raise cannot("output_config.format", why, "output_config.format")
        strict = is_strict(read_request(wanted.schema, msgspec.json.decode))
        schema = {"name": "answer", "schema": wanted.schema, "strict": strict}
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}
    if request.service_tier == "standard_only":
        fields["service_tier"] = "default"


# --- tools


def _put_tools(fields: Fields, request: FullMessagesRequest, omissions: Omissions) -> None:
    tools: list[Fields] = []
    names: set[str] = set()
    for number, tool in enumerate(request.tools or ()):
        if tool.type not in {None, "custom"}:
            omissions.names.append(f"tools[{number}]:{tool.type}")
            continue
        function: Fields = {"name": short_name(tool.name)}
        set_if(function, "description", tool.description)
        function["parameters"] = tool.input_schema
        if tool.strict and is_strict(read_request(tool.input_schema, msgspec.json.decode)):
            function["strict"] = True
        tools.append({"type": "function", "function": function})
        names.add(tool.name)
    choice = request.tool_choice
    if choice is not None:
        said: str | Fields = choice.type
        is_there = bool(tools)
        match choice.type:
            case "auto" | "none":
                is_there = True
            case "any":
                said = "required"
            case "tool":
                said = {"type": "function", "function": {"name": short_name(choice.name)}}
                is_there = choice.name in names
            case other:
                raise cannot("tool_choice.type", f"cannot be {other!r}", "tool_choice")
        if not is_there:
            why = (
                "orders a tool that an OpenAI-compatible API, which serves this model, cannot have"
            )
            raise cannot("tool_choice", why, "tool_choice")
        if tools:
            fields["tool_choice"] = said
        if tools and choice.disable_parallel_tool_use:
            fields["parallel_tool_calls"] = False
    set_if(fields, "tools", tools or None)


# --- messages


def _messages(turns: Sequence[Turn], omissions: Omissions) -> list[Fields]:
    if turns and turns[-1].role == "assistant":
        why = (
            "ends with the assistant's turn, which this model cannot continue; end with the user's"
        )
        raise cannot("messages", why, "messages")
    messages: list[Fields] = []
    held: list[Fields] = []
    """Messages of the user beside tool results, held until the last of the results has come."""
    for number, turn in enumerate(turns):
        where = f"messages[{number}]"
        for name in ("tool_calls", "tool_call_id"):
            if bytes(getattr(turn, name)) != b"null":
                why = "is a field of OpenAI's; say it by blocks (tool_use, tool_result) of the content"
                raise cannot(f"{where}.{name}", why, where)
        match turn.role:
            case "assistant":
                messages += [*held, _assistant(turn.blocks, where, omissions)]
                held = []
            case "system":
                messages += [*held, {"role": "system", "content": _content(turn.blocks, where)}]
                held = []
            case "user":
                results, said = _user(turn.blocks, where)
                messages += results
                held += said
            case other:
                raise cannot(f"{where}.role", f"cannot be {other[:60]!r}", where)
    return [*messages, *held]


def _user(blocks: Sequence[ContentBlock], where: str) -> tuple[list[Fields], list[Fields]]:
    """The results of tools, and what stands behind them: what these show, and what is said."""
    results: list[Fields] = []
    shown: list[Fields] = []
    for result in blocks:
        if result.type != "tool_result":
            continue
        call_id = short_id(result.tool_use_id, OPENAI_ID_CHARACTERS)
        gave = as_blocks(result.content)
        parts = _parts([block for block in gave if _is_shown(block)], where)
        shown += [{"type": "text", "text": shown_by(call_id)}, *parts] if parts else []
        words = [block for block in gave if not _is_shown(block)]
        if result.is_error:  # said in words, for it has no field
            words = [ContentBlock("text", text="Error:"), *words]
        content = _content(words, where) or (SHOWN_BELOW if gave else "")
        results.append({"role": "tool", "tool_call_id": call_id, "content": content})
    said = [block for block in blocks if block.type != "tool_result"]
    told = [*shown, *_parts(said, where)] if shown else _content(said, where)
    return results, [{"role": "user", "content": told}] if told or not results else []


def _is_shown(block: ContentBlock) -> bool:
    return block.type == "image" or (block.type == "document" and block.origin != "text")


def _assistant(blocks: Sequence[ContentBlock], where: str, omissions: Omissions) -> Fields:
    known = {"text", "tool_use", "thinking", "redacted_thinking"}
    for block in blocks:
        if block.type in known:
            continue
        if not _SERVER_BLOCK.fullmatch(block.type):
            raise _unknown_block(block, where)
        omissions.names.append(f"{where}:{block.type}")
    text = "".join(block.text for block in blocks if block.type == "text")
    thought = "".join(block.thinking for block in blocks if not block.signature)
    calls = [
        function_call(
            short_id(block.id, OPENAI_ID_CHARACTERS),
            short_name(block.name),
            bytes(block.input).decode(),
        )
        for block in blocks
        if block.type == "tool_use"
    ]
    message: Fields = {"role": "assistant", "content": text if text or not calls else None}
    set_if(message, "reasoning_content", thought or None)
    set_if(message, "tool_calls", calls or None)
    return message


def _content(blocks: Sequence[ContentBlock], where: str) -> str | list[Fields]:
    """Content as plain text where it is one text, which every upstream takes; else in parts."""
    if not blocks:
        return ""
    if len(blocks) == 1 and blocks[0].type == "text":
        return blocks[0].text
    return _parts(blocks, where)


def _parts(blocks: Sequence[ContentBlock], where: str) -> list[Fields]:
    parts: list[Fields] = []
    for block in blocks:
        match block:
            case ContentBlock(type="text", text=text):
                parts.append({"type": "text", "text": text})
            case ContentBlock(type="image", source=Source(type="base64" | "url") as source):
                parts.append({"type": "image_url", "image_url": {"url": _url(source)}})
            case ContentBlock(type="document", source=Source(type="text", data=text)):
                parts.append({"type": "text", "text": text})
            case ContentBlock(type="document", source=Source(type="content", content=content)):
                parts += _parts(as_blocks(content), where)
            case ContentBlock(type="document", source=Source(type="base64") as source):
                file = {"filename": block.title or "document.pdf", "file_data": _url(source)}
                parts.append({"type": "file", "file": file})
            case ContentBlock(type="search_result", content=content):
                head = "\n".join(filter(None, [block.title, str(block.source or "")]))
                parts += [{"type": "text", "text": head}, *_parts(as_blocks(content), where)]
            case ContentBlock(type="tool_reference", tool_name=name):
                parts.append({"type": "text", "text": name})
            case _:
                raise _unknown_block(block, where)
    return parts


def _url(source: Source) -> str:
    return source.url or f"data:{source.media_type};base64,{source.data}"


def _unknown_block(block: ContentBlock, where: str) -> Exception:
    kind = block.type[:60] + (f" from a {block.origin[:60]}" if block.origin else "")
    why = f"has a block ({kind}) that an OpenAI-compatible API, which serves this model, does not know"
    return cannot(where, why, where)
