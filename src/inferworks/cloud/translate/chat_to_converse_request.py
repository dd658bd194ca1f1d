"""A request of OpenAI's chat completions in the words of Bedrock's Converse.

Converse has one form for every model of Bedrock, and a place for what only some of them know
(`additionalModelRequestFields`). So a field that neither dialect names goes there, for the model to take
or refuse: `top_k`, `thinking`, `reasoningConfig`. Converse's own fields (`guardrailConfig`,
`performanceConfig`, ...) pass where they stand.

Turns must alternate, so neighbours of one role become one turn; results of tools are the user's. Blank
texts and empty turns, which Bedrock refuses and which say nothing, are left out. There is no way to show
tools and forbid them: `tool_choice: "none"` takes them away, and is refused where the chat has calls of
them already, which Bedrock takes only beside their tools. Images and files must be in the request:
Bedrock fetches from nowhere but S3, and there with our account's rights, which are not the caller's.

Sources: https://platform.openai.com/docs/api-reference/chat/create,
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final

import msgspec

from inferworks.cloud.call import Call
from inferworks.cloud.translate.chat_request import (
    EFFORTS,
    OPENAI_ALONE,
    UNHEEDED,
    Message,
    Request,
    ResponseFormat,
    Tool,
    ToolFunction,
    read_chat,
)
from inferworks.cloud.translate.chat_to_converse_content import (
    assistant_blocks,
    blocks_of,
    cache_point,
    tool_result,
)
from inferworks.cloud.translate.converse_terms import TIERS
from inferworks.cloud.translate.fields import (
    FieldRules,
    Fields,
    cannot,
    passed,
    read_request,
    set_if,
)

_RULES = FieldRules(
    "Bedrock's Converse",
    translated={
        "model", "messages", "max_tokens", "max_completion_tokens", "stop", "stream", "tools",
        "tool_choice", "reasoning_effort", "response_format", "service_tier",
    },
    dropped={*UNHEEDED, "safety_identifier", "user"},
    refused={**OPENAI_ALONE, "parallel_tool_calls": (True,)},
)  # fmt: skip
_OWN: Final = frozenset(
    {
        "additionalModelResponseFieldPaths", "guardrailConfig", "performanceConfig",
        "promptVariables", "requestMetadata",
    }
)  # fmt: skip
"""Fields of Converse's that a caller may write into a chat."""
_INFERENCE: Final = (("temperature", "temperature"), ("top_p", "topP"))
_SERVES: Final = "Bedrock's Converse, which serves this model"

_read_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

Turn = tuple[str, list[Fields]]
"""A role and the blocks of its content."""


def converse_request(call: Call) -> bytes:
    """The body of `/converse`; the model's name stands in the path and not in it."""
    request = read_request(call.body, read_chat)
    head = request.head
    extra = passed(call.body, _RULES)
    fields: Fields = {"messages": _turns(request.messages[len(head) :], len(head))}
    set_if(fields, "system", _system(head) or None)
    set_if(fields, "inferenceConfig", _inference(request, extra) or None)
    set_if(fields, "toolConfig", _tools(request))
    set_if(fields, "outputConfig", _output(request) or None)
    set_if(fields, "serviceTier", _tier(request.service_tier))
    fields |= {name: extra.pop(name) for name in _OWN & extra.keys()}
    set_if(fields, "additionalModelRequestFields", _for_the_model(extra) or None)
    return msgspec.json.encode(fields)


def _for_the_model(extra: Fields) -> Fields:
    """What only the model knows: under Converse's name for that, or beside all else."""
    given = extra.pop("additionalModelRequestFields", None)
    return extra if given is None else {**read_request(given, _read_fields), **extra}


def _inference(request: Request, extra: Fields) -> Fields:
    """`inferenceConfig`; what is of it is taken out of `extra`."""
    if request.temperature is not None and request.temperature > 1:
        raise cannot("temperature", f"cannot be above 1 for {_SERVES}", "temperature")
    fields: Fields = {}
    set_if(fields, "maxTokens", request.limit)
    for ours, theirs in _INFERENCE:
        set_if(fields, theirs, extra.pop(ours, None))
    set_if(fields, "stopSequences", request.stops)
    return fields


def _output(request: Request) -> Fields:
    """How hard to think and in which form to answer; without an effort a model does as it is made."""
    config: Fields = {}
    effort = request.reasoning_effort
    if effort is not None and effort != "none":
        config["effort"] = EFFORTS.get(effort, effort)
    if request.response_format is not None and request.response_format.type != "text":
        config["textFormat"] = _text_format(request.response_format)
    return config


def _text_format(given: ResponseFormat) -> Fields:
    if given.type != "json_schema" or given.json_schema is None:
        why = f"must be of type 'json_schema', with a schema, for {_SERVES}"
        raise cannot("response_format", why, "response_format")
    schema = {"schema": bytes(given.json_schema.schema).decode()}
    return {"type": "json_schema", "structure": {"jsonSchema": schema}}


def _tier(tier: str | None) -> Fields | None:
    if tier is None or tier == "auto":
        return None
    if tier not in TIERS:
        raise cannot("service_tier", f"cannot be {tier[:60]!r} for {_SERVES}", "service_tier")
    return {"type": tier}


# --- tools


def _tools(request: Request) -> Fields | None:
    if not request.tools:
        return None
    if request.tool_choice == "none":
        _refuse_calls_without_tools(request.messages)
        return None
    tools = [field for n, tool in enumerate(request.tools) for field in _tool(n, tool)]
    config: Fields = {"tools": tools}
    set_if(config, "toolChoice", _tool_choice(request.tool_choice))
    return config


def _refuse_calls_without_tools(messages: Sequence[Message]) -> None:
    if any(message.tool_calls or message.role == "tool" for message in messages):
        why = f"cannot be 'none' in a chat with calls of tools for {_SERVES}"
        raise cannot("tool_choice", why, "tool_choice")


def _tool(number: int, tool: Tool) -> list[Fields]:
    """A tool, and a mark behind it where the cache is to end."""
    function = tool.function
    if tool.type != "function" or function is None:
        where = f"tools[{number}]"
        raise cannot(where, f"must be a function for {_SERVES}", where)
    spec: Fields = {"name": function.name}
    set_if(spec, "description", function.description or None)
    spec["inputSchema"] = {"json": function.parameters}
    set_if(spec, "strict", function.strict)
    return [{"toolSpec": spec}, *cache_point(tool.cache_control)]


def _tool_choice(choice: str | Tool | None) -> Fields | None:
    match choice:
        case None:
            return None
        case "auto":
            return {"auto": {}}
        case "required":
            return {"any": {}}
        case Tool(type="function", function=ToolFunction(name=name)):
            return {"tool": {"name": name}}
    why = f"must be 'auto', 'none', 'required' or a function for {_SERVES}"
    raise cannot("tool_choice", why, "tool_choice")


# --- messages


def _turns(messages: Sequence[Message], first: int) -> list[Fields]:
    """The turns of `messages`, the first of which is number `first` of the request."""
    said = [_said(message, f"messages[{number}]") for number, message in enumerate(messages, first)]
    return [
        {"role": role, "content": [block for _, blocks in run for block in blocks]}
        for role, run in groupby(filter(itemgetter(1), said), key=itemgetter(0))
    ]


def _said(message: Message, where: str) -> Turn:
    match message.role:
        case "assistant":
            return "assistant", assistant_blocks(message, where)
        case "tool":
            return "user", [tool_result(message, where)]
        case "user":
            return "user", blocks_of(message, where)
        case "system" | "developer":
            return "system", blocks_of(message, where)
    raise cannot(f"{where}.role", f"cannot be {message.role[:60]!r}", where)


def _system(head: Sequence[Message]) -> list[Fields]:
    """The instructions at the head of a chat, which are texts."""
    blocks: list[Fields] = []
    for number, message in enumerate(head):
        where = f"messages[{number}]"
        blocks += blocks_of(message, where)
        if any(not {"text", "cachePoint"} >= block.keys() for block in blocks):
            raise cannot(where, f"has an instruction that is no text, for {_SERVES}", where)
    return blocks
