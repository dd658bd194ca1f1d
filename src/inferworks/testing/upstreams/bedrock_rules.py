"""Refusals of Bedrock's Converse, with their wording.

The service's own model has types, lengths, ranges and patterns; a conversation has rules beside them.

Sources: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html,
https://docs.aws.amazon.com/bedrock/latest/userguide/tool-use-inference-call.html; the words as reported,
among others in langchain-ai/langchain-aws#130 (roles) and NousResearch/hermes-agent#41985 (blank texts).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from inferworks.testing.upstreams.blocks import SIGNATURE
from inferworks.testing.upstreams.script import Body
from inferworks.testing.upstreams.strict import (
    Flaw,
    Place,
    flaw_of,
    request_type,
)

_CONSTRAINTS: Mapping[str, str] = {
    "required": "Member must not be null",
    "enum": "Member must satisfy enum value set: [{choices}]",
    "pattern": "Member must satisfy regular expression pattern: {bound}",
    "minLength": "Member must have length greater than or equal to {bound}",
    "maxLength": "Member must have length less than or equal to {bound}",
    "minItems": "Member must have length greater than or equal to {bound}",
    "maxItems": "Member must have length less than or equal to {bound}",
    "minimum": "Member must have value greater than or equal to {bound}",
    "maximum": "Member must have value less than or equal to {bound}",
    "minProperties": "Member must have one of its fields set",
    "maxProperties": "Member must have only one of its fields set",
}


def converse_flaw(request: Body, model: str) -> str | None:
    """Return Bedrock's refusal of `request`; None when it serves it."""
    flaw = flaw_of(request, request_type("bedrock_converse"))
    if flaw is not None:
        return worded(flaw)
    return next(_flaws(request, is_claude="anthropic" in model), None)


def worded(flaw: Flaw) -> str:
    """Return AWS's wording of `flaw`."""
    if flaw.keyword == "additionalProperties":
        *outer, name = map(str, flaw.place)
        place = "/".join(("#", *outer))
        said = f"{place}: extraneous key [{name}] is not permitted"
        return f"Malformed input request: {said}, please reformat your input and try again."
    if flaw.keyword == "type":
        return f"Malformed input request: {_at(flaw.place)} is of the wrong type."
    choices = ", ".join(flaw.bound) if flaw.keyword == "enum" else ""
    constraint = _CONSTRAINTS[flaw.keyword].format(bound=flaw.bound, choices=choices)
    value = "Value null" if flaw.keyword == "required" else f"Value '{flaw.value}'"
    return (
        f"1 validation error detected: {value} at '{_at(flaw.place)}' failed to satisfy constraint: "
        f"{constraint}"
    )


def _at(place: Place) -> str:
    """`messages.1.member.content`: arrays count from one."""
    parts = [f"{part + 1}.member" if isinstance(part, int) else part for part in place]
    return ".".join(parts)


def _flaws(request: Body, *, is_claude: bool) -> Iterator[str]:
    messages = request["messages"]
    if messages and messages[0]["role"] != "user":
        yield (
            "A conversation must start with a user message. Try again with a conversation that starts "
            "with a user message."
        )
    roles = [message["role"] for message in messages]
    if any(one == next_one for one, next_one in pairwise(roles)):
        yield (
            "A conversation must alternate between user and assistant roles. Make sure the conversation "
            "alternates between user and assistant roles and try again."
        )
    for number, message in enumerate(messages):
        yield from _blank(number, message["content"])
    yield from _calls(messages)
    blocks = [block for message in messages for block in message["content"]]
    if "toolConfig" not in request and any({"toolUse", "toolResult"} & set(one) for one in blocks):
        yield "The toolConfig field must be defined when using toolUse and toolResult content blocks."
    if not is_claude:
        return
    # the refusals of Anthropic's models behind Bedrock
    said = "The model returned the following errors: "
    stops = request.get("inferenceConfig", {}).get("stopSequences", ())
    if any(not stop.strip() for stop in stops):
        yield f"{said}stop_sequences: each stop sequence must contain non-whitespace"
    for block in blocks:
        thought = block.get("reasoningContent", {}).get("reasoningText")
        if thought is not None and thought.get("signature") != SIGNATURE:
            yield f"{said}messages.content: Invalid `signature` in `thinking` block"


def _blank(number: int, blocks: Sequence[Body]) -> Iterator[str]:
    if not blocks:
        yield (
            f"The content field in the Message object at messages.{number} is empty. Add a ContentBlock "
            "object to the content field and try again."
        )
    for place, block in enumerate(blocks):
        if "text" in block and not block["text"].strip():
            yield (
                f"The text field in the ContentBlock object at messages.{number}.content.{place} is "
                "blank. Add text to the text field, and try again."
            )
    if any("document" in block for block in blocks) and not any("text" in one for one in blocks):
        yield f"messages.{number}: a text block is required beside a document."


def _calls(messages: Sequence[Body]) -> Iterator[str]:
    called: list[str] = []
    for number, message in enumerate(messages):
        results = [
            one["toolResult"]["toolUseId"] for one in message["content"] if "toolResult" in one
        ]
        missing = [one for one in called if one not in results]
        if missing:
            ids = ", ".join(missing)
            yield f"Expected toolResult blocks at messages.{number}.content for the following Ids: {ids}"
        if len(results) > len(called) or set(results) - set(called):
            yield (
                f"The number of toolResult blocks at messages.{number}.content exceeds the number of "
                "toolUse blocks of previous turn."
            )
        called = [one["toolUse"]["toolUseId"] for one in message["content"] if "toolUse" in one]
        if len(set(called)) < len(called):
            yield f"The toolUse blocks at messages.{number}.content contain duplicate Ids: {called[0]}"
    if called:
        ids = ", ".join(called)
        place = f"messages.{len(messages)}.content"
        yield f"Expected toolResult blocks at {place} for the following Ids: {ids}"
