"""A request of OpenAI's chat completions in the words of Anthropic's messages.

Instructions at the head of a chat become `system`; later ones stay where they are, as turns of the system
(which older models refuse). Results of tools that follow one another become one turn of the user. What
Anthropic has signed comes back as it went out, in `thinking_blocks`; thoughts without a signature are
left out, for Anthropic takes none. `cache_control` on a part or a tool passes, an extension by which
clients of OpenAI's ask for Anthropic's prompt cache.

Sources: https://platform.openai.com/docs/api-reference/chat/create,
https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import msgspec

from inferworks.cloud.call import Call
from inferworks.cloud.translate.chat_request import (
    EFFORTS,
    OPENAI_ALONE,
    UNHEEDED,
    Message,
    Part,
    Request,
    ResponseFormat,
    Tool,
    ToolCall,
    ToolFunction,
    read_chat,
)
from inferworks.cloud.translate.fields import (
    FieldRules,
    Fields,
    cannot,
    is_object,
    passed,
    read_request,
    set_if,
)

_RULES = FieldRules(
    "Anthropic's API",
    translated={
        "model", "messages", "max_tokens", "max_completion_tokens", "stop", "stream", "tools",
        "tool_choice", "parallel_tool_calls", "reasoning_effort", "response_format", "user",
        "safety_identifier", "service_tier",
    },
    dropped=UNHEEDED,
    refused=OPENAI_ALONE,
)  # fmt: skip


def messages_request(call: Call, default_max_tokens: int) -> bytes:
    """The message to ask for; an answer that the caller did not limit ends at `default_max_tokens`."""
    request = read_request(call.body, read_chat)
    head = request.head
    fields: Fields = {
        "model": request.model,
        "max_tokens": request.limit or default_max_tokens,
        "messages": _turns(request.messages[len(head) :], len(head)),
        **passed(call.body, _RULES),
    }
    if call.stream:
        fields["stream"] = True
    set_if(fields, "system", _system(head) or None)
    _put_tools(fields, request)
    _put_settings(fields, request)
    _put_output(fields, request)
    return msgspec.json.encode(fields)


def _put_settings(fields: Fields, request: Request) -> None:
    if request.temperature is not None and request.temperature > 1:
        why = "cannot be above 1 for Anthropic's API, which serves this model"
        raise cannot("temperature", why, "temperature")
    set_if(fields, "stop_sequences", request.stops)
    user = request.safety_identifier or request.user
    set_if(fields, "metadata", {"user_id": user} if user else None)
    match request.service_tier:
        case None | "auto":
            return
        case "default":
            fields["service_tier"] = "standard_only"
        case other:
            why = f"cannot be {other[:60]!r} for Anthropic's API, which serves this model"
            raise cannot("service_tier", why, "service_tier")


def _put_output(fields: Fields, request: Request) -> None:
    """How hard to think and in which form to answer."""
    config: Fields = {}
    match request.reasoning_effort:
        case None:
            pass
        case "none":
            fields.setdefault("thinking", {"type": "disabled"})
        case effort:
            fields.setdefault("thinking", {"type": "adaptive"})
            config["effort"] = EFFORTS.get(effort, effort)
    if request.response_format is not None and request.response_format.type != "text":
        config["format"] = _output_format(request.response_format)
    if config:
        fields.setdefault("output_config", config)


def _output_format(given: ResponseFormat) -> Fields:
    if given.type != "json_schema" or given.json_schema is None:
        why = "must be of type 'json_schema', with a schema, for Anthropic's API"
        raise cannot("response_format", f"{why}, which serves this model", "response_format")
    return {"type": "json_schema", "schema": given.json_schema.schema}


# --- tools


def _put_tools(fields: Fields, request: Request) -> None:
    if not request.tools:
        return
    fields["tools"] = [_tool(number, tool) for number, tool in enumerate(request.tools)]
    choice = _tool_choice(request.tool_choice)
    if request.parallel_tool_calls is False and choice != {"type": "none"}:
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    set_if(fields, "tool_choice", choice)


def _tool(number: int, tool: Tool) -> Fields:
    function = tool.function
    if tool.type != "function" or function is None:
        where = f"tools[{number}]"
        raise cannot(
            where, "must be a function for Anthropic's API, which serves this model", where
        )
    fields: Fields = {"name": function.name}
    set_if(fields, "description", function.description)
    fields["input_schema"] = function.parameters
    set_if(fields, "strict", function.strict)
    return _cached(fields, tool.cache_control)


def _tool_choice(choice: str | Tool | None) -> Fields | None:
    match choice:
        case None:
            return None
        case "auto" | "none":
            return {"type": choice}
        case "required":
            return {"type": "any"}
        case Tool(type="function", function=ToolFunction(name=name)):
            return {"type": "tool", "name": name}
    why = "must be 'auto', 'none', 'required' or a function for Anthropic's API"
    raise cannot("tool_choice", f"{why}, which serves this model", "tool_choice")


# --- messages


def _system(head: Sequence[Message]) -> str | list[Fields]:
    """The instructions at the head of a chat."""
    blocks = [_block(part, "messages[0]") for message in head for part in message.parts]
    return _simplest(blocks)


def _turns(messages: Sequence[Message], first: int) -> list[Fields]:
    """The turns of `messages`, the first of which is number `first` of the request."""
    turns: list[Fields] = []
    numbered = enumerate(messages, first)
    for role, run in groupby(numbered, lambda pair: pair[1].role):
        if role == "tool":
            results = [_tool_result(message, f"messages[{number}]") for number, message in run]
            turns.append({"role": "user", "content": results})
        else:
            turns.extend(_turn(message, f"messages[{number}]") for number, message in run)
    return turns


def _turn(message: Message, where: str) -> Fields:
    match message.role:
        case "assistant":
            return {"role": "assistant", "content": _assistant(message, where)}
        case "user":
            return {"role": "user", "content": _content(message, where)}
        case "system" | "developer":
            return {"role": "system", "content": _content(message, where)}
    raise cannot(f"{where}.role", f"cannot be {message.role[:60]!r}", where)


def _assistant(message: Message, where: str) -> str | list[Fields]:
    said: list[Fields] = [*(message.thinking_blocks or ())]
    said += [_block(part, where) for part in message.parts]
    if message.refusal:
        said.append({"type": "text", "text": message.refusal})
    calls = [_tool_use(call, where) for call in message.tool_calls or ()]
    return _simplest([*said, *calls])


def _tool_use(call: ToolCall, where: str) -> Fields:
    if call.function is None:
        where = f"{where}.tool_calls"
        raise cannot(where, "must be functions for Anthropic's API, which serves this model", where)
    arguments = call.function.arguments or "{}"
    if not is_object(arguments):
        where = f"{where}.tool_calls"
        raise cannot(where, f"has arguments that are no JSON object: {arguments[:60]!r}", where)
    given = msgspec.Raw(arguments.encode())
    return {"type": "tool_use", "id": call.id, "name": call.function.name, "input": given}


def _tool_result(message: Message, where: str) -> Fields:
    content = _content(message, where)
    return {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": content}


def _content(message: Message, where: str) -> str | list[Fields]:
    return _simplest([_block(part, where) for part in message.parts])


def _simplest(blocks: list[Fields]) -> str | list[Fields]:
    """Content as plain text where it is one text and nothing else."""
    if not blocks:
        return ""
    is_text = len(blocks) == 1 and blocks[0].keys() == {"type", "text"}
    return str(blocks[0]["text"]) if is_text else blocks


def _block(part: Part, where: str) -> Fields:
    match part.type:
        case "text":
            block: Fields = {"type": "text", "text": part.text}
        case "refusal":
            block = {"type": "text", "text": part.refusal}
        case "image_url" if part.image_url:
            block = {"type": "image", "source": _source(part.image_url.url, where)}
        case "file" if part.file and part.file.file_data.startswith("data:application/pdf;"):
            block = {"type": "document", "source": _source(part.file.file_data, where)}
            set_if(block, "title", part.file.filename)
        case other:
            why = f"has a part ({other[:60]}) that Anthropic's API, which serves this model, does not know"
            raise cannot(where, why, where)
    return _cached(block, part.cache_control)


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
