"""A request of OpenAI's chat completions in the words of Bedrock's Converse.

Converse has one form for every model of Bedrock, and a place for what only some of them know
(`additionalModelRequestFields`). A caller may write that field itself, and some that only models know go
there (`top_k`, `thinking`, `reasoningConfig`). Converse's own fields (`guardrailConfig`,
`performanceConfig`, ...) pass where they stand.

One call at a time is nothing that Converse knows, but Anthropic's models do, by a `tool_choice` among those
fields; Bedrock refuses it beside a choice of Converse's own (BerriAI/litellm#36536), so it stands alone.
Beside a forced call it asks for nothing.

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

from inferworks.catalog.facts import ModelFacts
from inferworks.cloud.bodies.rewrite import read_fields
from inferworks.cloud.call import Call
from inferworks.cloud.translate.chat_fields import OPENAI_ALONE, UNHEEDED, WISHES
from inferworks.cloud.translate.chat_fit import at_most, leave_out_sampling, nearest_effort
from inferworks.cloud.translate.chat_to_converse.content import (
    assistant_blocks,
    blocks_of,
    cache_point,
    tool_result,
)
from inferworks.cloud.translate.chat_tools import offered
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
from inferworks.dialects.bedrock_converse import TIERS
from inferworks.dialects.openai_chat import (
    FullChatRequest,
    FullMessage,
    Tool,
    ToolFunction,
    read_full_chat,
)

_OWN: Final = frozenset(
    {
        "additionalModelResponseFieldPaths", "guardrailConfig", "performanceConfig",
        "promptVariables", "requestMetadata",
    }
)  # fmt: skip
"""Fields of Converse's that a caller may write into a chat."""
_MODELS_OWN: Final = frozenset(
    {
        "additionalModelRequestFields", "anthropic_beta", "reasoningConfig", "reasoning_config",
        "thinking", "top_k", "topK",
    }
)  # fmt: skip
"""Fields of models behind Converse that a caller may write into a chat."""
_RULES = FieldRules(
    "Bedrock's Converse",
    same={"temperature", "top_p", *_OWN, *_MODELS_OWN},
    translated={
        "model", "messages", "max_tokens", "max_completion_tokens", "stop", "stream", "tools",
        "tool_choice", "parallel_tool_calls", "reasoning_effort", "response_format", "service_tier",
    },
    dropped={*UNHEEDED, "safety_identifier", "user"},
    wishes=WISHES,
    refused=OPENAI_ALONE,
)  # fmt: skip
_INFERENCE: Final = (("temperature", "temperature"), ("top_p", "topP"))
_SERVES: Final = "Bedrock's Converse, which serves this model"


def converse_request(call: Call, omissions: Omissions) -> bytes:
    """The body of `/converse`; the model's name stands in the path and not in it."""
    request = read_request(call.body, read_full_chat)
    extra = passed(call.body, _RULES, omissions)
    system, turns = _said(request.messages)
    fields: Fields = {"messages": turns}
    set_if(fields, "system", system or None)
    set_if(fields, "inferenceConfig", _inference(request, call.facts, extra, omissions) or None)
    effort = request.reasoning_effort
    output: Fields = {}
    if effort is not None and effort != "none":  # without one a model uses its default
        set_if(output, "effort", nearest_effort(effort, call.facts.efforts))
        if not output:
            omissions.leave_out("reasoning_effort")
    tools = _Tools(request, call, omissions)
    if tools.format is not None:
        output["textFormat"] = tools.format
    elif tools.answers and not call.facts.forced_tools:
        fields["system"] = [*fields.get("system", ()), {"text": TO_BE_CALLED}]
    if tools.is_forced and (output.pop("effort", None) or extra.pop("thinking", None)):
        omissions.leave_out("reasoning_effort")  # a model that must call does not think before
    set_if(fields, "toolConfig", tools.config)
    set_if(fields, "outputConfig", output or None)
    tier = request.service_tier
    if tier in TIERS:
        fields["serviceTier"] = {"type": tier}
    elif tier is not None and tier != "auto":
        omissions.refuse("service_tier", f"cannot be {tier[:60]!r} for {_SERVES}", "service_tier")
    fields |= {name: extra.pop(name) for name in _OWN & extra.keys()}
    set_if(extra, "tool_choice", tools.choice_of_the_model)
    given = extra.pop("additionalModelRequestFields", None)
    if given is not None:
        extra = {**read_request(given, read_fields), **extra}
    set_if(fields, "additionalModelRequestFields", extra or None)
    return msgspec.json.encode(fields)


def _inference(
    request: FullChatRequest, facts: ModelFacts, extra: Fields, omissions: Omissions
) -> Fields:
    """`inferenceConfig`; what is of it is taken out of `extra`."""
    if request.temperature is not None and request.temperature > 1:
        omissions.refuse("temperature", f"cannot be above 1 for {_SERVES}", "temperature")
        extra["temperature"] = 1
    if facts.temperature == 0:
        leave_out_sampling(extra, omissions)
    elif {"temperature", "top_p"} <= extra.keys() and not facts.top_p_beside_temperature:
        del extra["top_p"]
        omissions.leave_out("top_p")
    fields: Fields = {}
    set_if(fields, "maxTokens", request.limit and at_most(request.limit, facts))
    for ours, theirs in _INFERENCE:
        set_if(fields, theirs, extra.pop(ours, None))
    stops = [stop for stop in request.stops or () if facts.blank_stops or stop.strip()]
    set_if(fields, "stopSequences", stops or None)
    return fields


# --- tools and forms of the answer


class _Tools:
    """Tools of a chat, and the format of its answer, which may have to be one of them."""

    def __init__(self, request: FullChatRequest, call: Call, omissions: Omissions) -> None:
        self.format: Fields | None = None
        """The form of the answer, where Converse has a mode for it."""
        self.answers = False
        """True when a tool call is the answer."""
        self.choice_of_the_model: Fields | None = None
        """The choice in Anthropic's words, where Converse's have none."""
        facts = call.facts
        given = offered(request, _SERVES, facts, omissions)
        if (
            given.choice == "none"
            and given.tools
            and any(message.tool_calls or message.role == "tool" for message in request.messages)
        ):
            why = f"cannot be 'none' in a chat with calls of tools for {_SERVES}"
            raise cannot("tool_choice", why, "tool_choice")
        offers = [] if given.choice == "none" else given.tools
        tools = [field for function, tool in offers for field in _tool(function, tool, facts)]
        choice: Fields | None = None
        if offers and given.forced is not None:
            choice = {"tool": {"name": given.forced}}
        elif offers and given.choice is not None:
            choice = {"any" if given.choice == "required" else given.choice: {}}
        wanted = wants_json(request.response_format)
        if wanted is not None and "json_schema" in facts.json_modes and is_mode(wanted):
            schema = {"schema": bytes(schema_of(wanted)).decode()}
            self.format = {"type": "json_schema", "structure": {"jsonSchema": schema}}
        elif wanted is not None and may_answer(given):
            self.answers = True
            # more know it than a tool by name
            choice = {"any": {}} if facts.forced_tools else {"auto": {}}
            spec: Fields = {"name": JSON_TOOL, "description": DESCRIPTION}
            spec["inputSchema"] = {"json": as_object(schema_of(wanted))}
            tools.append({"toolSpec": spec})
        self.is_forced = choice is not None and "auto" not in choice
        """True when one of the tools must be called."""
        # A demand for any of one tool is a forced call, too: Vercel's `generateObject` says it so.
        is_forced = given.forced is not None or (
            given.choice == "required" and len(given.tools) == 1
        )
        if request.parallel_tool_calls is False and offers and not is_forced:
            choice = self._one_at_a_time(call, choice, omissions)
        self.config: Fields | None = None
        if tools:
            self.config = {"tools": tools}
            set_if(self.config, "toolChoice", choice)

    def _one_at_a_time(
        self, call: Call, choice: Fields | None, omissions: Omissions
    ) -> Fields | None:
        """The choice that is left for Converse to say."""
        if "claude" in (call.asked_as or call.model) and call.facts.parallel_tools:
            kind = "any" if choice is not None and "any" in choice else "auto"
            self.choice_of_the_model = {"type": kind, "disable_parallel_tool_use": True}
            return None
        omissions.leave_out("parallel_tool_calls")
        return choice


def _tool(function: ToolFunction, tool: Tool, facts: ModelFacts) -> list[Fields]:
    """A tool, and a mark behind it where the cache is to end."""
    spec: Fields = {"name": function.name}
    set_if(spec, "description", function.description or None)
    spec["inputSchema"] = {"json": as_object(function.parameters)}
    if function.strict and "json_schema" in facts.json_modes and is_closed_raw(function.parameters):
        spec["strict"] = True
    return [{"toolSpec": spec}, *cache_point(tool.cache_control)]


# --- messages


def _said(messages: Sequence[FullMessage]) -> tuple[list[Fields], list[Fields]]:
    """The instructions at the head of a chat, which are texts, and its turns, which alternate."""
    ids = CallIds()
    said: list[Turn] = []
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        role = role_of(message, where)
        if role == "assistant":
            said.append((role, assistant_blocks(message, ids, where)))
        elif role == "tool":
            said.append((role, [tool_result(message, ids, where)]))
        else:
            said.append((role, blocks_of(message, where)))
    system, placed_turns = placed(said, amid=False)
    if any(not {"text", "cachePoint"} >= block.keys() for block in system):
        raise cannot(
            "messages[0]", f"has an instruction that is no text, for {_SERVES}", "messages[0]"
        )
    turns: list[Fields] = [
        {"role": role, "content": [block for _, blocks in run for block in blocks]}
        for role, run in groupby(placed_turns, key=itemgetter(0))
    ]
    if not turns or turns[0]["role"] != "user":
        turns.insert(0, {"role": "user", "content": [{"text": BEGINNING}]})
    return system, turns
