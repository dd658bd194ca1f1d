"""JSON answers from models that have no such mode: a tool that they must call, whose input is the answer.

A caller asks for an object (`json_object`) or for one of a certain form (`json_schema`). Anthropic and
Bedrock have a mode for the second alone, only for their newer models, and only for a part of JSON Schema:
every object closed, no bounds of numbers, texts or lists (agentjido/req_llm#302). Whatever does not fit is
asked for by a tool: the model is offered `answer_in_json` and told to call a tool. Its call comes back as
the words of the answer; calls of the caller's own tools beside it stay calls. A model that must call a
tool cannot think before it does (it is one or the other, at Anthropic), so what was asked of thinking is
left out then.

Rejected: to ask in words. Models put their JSON in fences and say something before it.

Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs
"""

from __future__ import annotations

from typing import Final

import msgspec

from inferworks.cloud.translate.chat_tools import Offered
from inferworks.cloud.translate.fields import cannot, read_request
from inferworks.cloud.translate.schemas import is_closed
from inferworks.dialects.openai_chat import ResponseFormat

JSON_TOOL: Final = "answer_in_json"
DESCRIPTION: Final = "Gives the answer to the user. The input is the whole answer."
TO_BE_CALLED: Final = f"Give your answer by calling {JSON_TOOL}, and say nothing beside the call."
"""Instruction for a model that can be offered a tool and not made to call it."""
_ANY_OBJECT: Final = msgspec.Raw(b'{"type":"object","additionalProperties":true}')


def wants_json(given: ResponseFormat | None) -> ResponseFormat | None:
    """The form of JSON that is asked for; None for text. CallError 400 for a form that is none."""
    if given is None or given.type == "text":
        return None
    if given.type == "json_object" or (given.type == "json_schema" and given.json_schema):
        return given
    why = "must be 'text', 'json_object', or 'json_schema' with a schema"
    raise cannot("response_format", why, "response_format")


def schema_of(given: ResponseFormat) -> msgspec.Raw:
    """Return the JSON schema of the answer."""
    schema = given.json_schema
    return _ANY_OBJECT if given.type == "json_object" or schema is None else schema.schema


def is_mode(given: ResponseFormat) -> bool:
    """Return True when a mode of Anthropic's and Bedrock's can hold the answer to the format."""
    if given.type == "json_object":
        return False
    return is_closed(read_request(schema_of(given), msgspec.json.decode))


def may_answer(offered: Offered) -> bool:
    """Return True when the model may answer without calling one of the caller's tools."""
    if any(function.name == JSON_TOOL for function, _ in offered.tools):
        raise cannot(
            "tools", f"has the name {JSON_TOOL!r}, which is ours here; choose another", "tools"
        )
    return offered.forced is None and offered.choice != "required"
