"""Anthropic's refusals beyond its published types, with their wording.

Its API says what Pydantic says, with the tags of unions in the place: `messages.1.content.0.tool_use.id`.
Later checks have a wording of their own.

Sources: https://platform.claude.com/docs/en/api/messages, /en/about-claude/models/overview,
/en/build-with-claude/extended-thinking, /en/build-with-claude/structured-outputs; the words as reported,
among others in anthropics/claude-code#12526 (calls and results), LibreChat-AI/agents#124 (empty texts),
maximhq/bifrost#5097 (ids), anthropics/claude-code#24451 (limits), altic-dev/FluidVoice#285 (temperatures).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from inferworks.testing.upstreams.anthropic_order import messages_order
from inferworks.testing.upstreams.script import Body
from inferworks.testing.upstreams.strict import (
    Bound,
    Flaw,
    flaw_of,
    request_type,
)

_API = "https://platform.claude.com/docs/en/api/messages"
_IDS = "https://github.com/maximhq/bifrost/issues/5097"
_ID = {"pattern": "^[a-zA-Z0-9_-]+$"}
_BOUNDS = (
    Bound("max_tokens", {"minimum": 0}, _API),
    Bound("messages", {"minItems": 1, "maxItems": 100_000}, _API),
    Bound("temperature", {"minimum": 0, "maximum": 1}, _API),
    Bound("top_p", {"minimum": 0, "maximum": 1}, _API),
    Bound("top_k", {"minimum": 0}, _API),
    Bound("metadata.user_id", {"maxLength": 256}, _API),
    Bound("thinking.budget_tokens", {"minimum": 1024}, _API),
    Bound("tools[].name", {"pattern": "^[a-zA-Z0-9_-]{1,128}$"}, _API),
    Bound("messages[].content[].id", _ID, _IDS),
    Bound("messages[].content[].tool_use_id", _ID, _IDS),
    Bound("messages[].content[].name", {"minLength": 1, "maxLength": 200}, _API),
)

_WORDS: Mapping[str, str] = {
    "required": "Field required",
    "additionalProperties": "Extra inputs are not permitted",
    "pattern": "String should match pattern '{bound}'",
    "minLength": "String should have at least {bound} character",
    "maxLength": "String should have at most {bound} characters",
    "minItems": "List should have at least {bound} item after validation, not {size}",
    "maxItems": "List should have at most {bound} items after validation, not {size}",
    "minimum": "Input should be greater than or equal to {bound}",
    "maximum": "Input should be less than or equal to {bound}",
}
_OWN: Mapping[tuple[str, str], str] = {
    ("messages", "minItems"): "at least one message is required",
    ("temperature", "minimum"): "range: 0..1",
    ("temperature", "maximum"): "range: 0..1",
}
"""Field and keyword -> wording in place of Pydantic's."""
_KINDS: Mapping[str, str] = {
    "string": "string", "integer": "integer", "number": "number", "boolean": "boolean",
    "array": "list", "object": "dictionary", "null": "null",
}  # fmt: skip


class Family(NamedTuple):
    """Known limits of a family of models."""

    models: str
    """Prefix of the names of the models."""
    max_tokens: int
    samples: bool = True
    """True if the family takes a temperature, `top_p` and `top_k`."""
    thinking: Sequence[str] = ("enabled", "disabled")
    """Accepted types of `thinking`."""
    has_effort: bool = False
    prefills: bool = True
    """The last message may be the beginning of its answer."""

    def flaws(self, request: Body) -> Iterator[str]:
        """Yield the fields and values of `request` that the family does not take."""
        wanted = request.get("max_tokens", 0)
        if wanted > self.max_tokens:
            yield (
                f"max_tokens: {wanted} > {self.max_tokens}, which is the maximum allowed number of "
                f"output tokens for {request['model']}"
            )
        for name in ("temperature", "top_p", "top_k"):
            if not self.samples and request.get(name, 1) != 1:
                yield f"`{name}` is deprecated for this model."
        if {"temperature", "top_p"} <= request.keys():
            yield (
                "`temperature` and `top_p` cannot both be specified for this model. "
                "Please use only one."
            )
        kind = (request.get("thinking") or {}).get("type", "disabled")
        if kind not in self.thinking and kind == "adaptive":
            yield "adaptive thinking is not supported on this model"
        elif kind not in self.thinking:
            yield (
                f'"thinking.type.{kind}" is not supported for this model. Use '
                '"thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
            )
        if not self.has_effort and (request.get("output_config") or {}).get("effort"):
            yield "This model does not support the effort parameter."


_BOTH = ("enabled", "adaptive", "disabled")
_ADAPTIVE = ("adaptive", "disabled")
FAMILIES: Sequence[Family] = (
    Family("claude-3-haiku|claude-3-opus|claude-3-sonnet", 4096, thinking=("disabled",)),
    Family("claude-3-5", 8192, thinking=("disabled",)),
    Family("claude-3-7", 128_000),
    Family(r"claude-opus-4-(1|0|\d{8})|claude-opus-4$", 32_000),
    Family("claude-opus-4-5", 64_000, has_effort=True),
    Family("claude-opus-4-6", 128_000, thinking=_BOTH, has_effort=True, prefills=False),
    Family("claude-sonnet-4-6", 64_000, thinking=_BOTH, has_effort=True, prefills=False),
    Family("claude-(sonnet|haiku)-4", 64_000),
    Family(
        r"claude-opus-4-[78]|claude-\w+-(5|[6-9])|claude-mythos", 128_000,
        samples=False, thinking=_ADAPTIVE, has_effort=True, prefills=False,
    ),
)  # fmt: skip
"""Families of models; the first with a matching name counts, and a model of none takes everything."""


def flaw_in(request: Body, *, counts: bool, is_beta: bool) -> str | None:
    """Return Anthropic's refusal of `request`, a message or one to be counted; None when it serves it."""
    name = "anthropic_count" if counts else "anthropic_messages"
    flaw = flaw_of(request, request_type(f"{name}_beta" if is_beta else name, _BOUNDS))
    return next(_flaws(request), None) if flaw is None else worded(flaw)


def worded(flaw: Flaw) -> str:
    """Return Pydantic's wording of `flaw`, as Anthropic shows it."""
    *outer, last = flaw.place or ("",)
    if flaw.keyword == "enum" and last == "type" and len(flaw.bound) > 1:
        known = ", ".join(f"'{name}'" for name in flaw.bound)
        found = (
            f"Input tag '{flaw.value}' found using 'type' does not match any of the expected tags"
        )
        return f"{'.'.join(map(str, outer))}: {found}: {known}"
    place = ".".join(map(str, flaw.place))
    if own := _OWN.get((place, flaw.keyword)):
        said = own
    elif flaw.keyword == "enum":
        *first, last = [f"'{value}'" for value in flaw.bound]
        others = f"{', '.join(first)} or " if first else ""
        said = f"Input should be {others}{last}"
    elif flaw.keyword == "type":
        kinds = [kind for kind in flaw.bound if kind != "null"]
        said = f"Input should be a valid {_KINDS[kinds[0]]}"
    else:
        size = len(flaw.value) if isinstance(flaw.value, list) else 0
        said = _WORDS[flaw.keyword].format(bound=flaw.bound, size=size)
    return f"{place}: {said}"


def _flaws(request: Body) -> Iterator[str]:
    """Refusals in the order of checking, once the types are right."""
    # a name may have the cloud's before it: `eu.anthropic.claude-...`
    name = request["model"][max(request["model"].find("claude"), 0) :]
    family = next((family for family in FAMILIES if re.match(family.models, name)), None)
    if family is not None:
        yield from family.flaws(request)
    yield from _thinking_flaws(request)
    # https://github.com/BerriAI/litellm/issues/3286
    if any(not stop.strip() for stop in request.get("stop_sequences") or ()):
        yield "stop_sequences: each stop sequence must contain non-whitespace"
    yield from _tool_flaws(request)
    wanted = (request.get("output_config") or {}).get("format") or request.get("output_format")
    for flaw in _schema_flaws(wanted.get("schema")) if wanted else ():
        yield f"output_config.format.schema: {flaw}"
    yield from messages_order(request)
    if family and not family.prefills and request["messages"][-1]["role"] == "assistant":
        yield (
            "This model does not support assistant message prefill. "
            "The conversation must end with a user message."
        )
    marked = list(_marked([request.get("system"), request.get("tools"), request["messages"]]))
    if len(marked) > 4:
        yield f"A maximum of 4 blocks with cache_control may be provided. Found {len(marked)}."


def _thinking_flaws(request: Body) -> Iterator[str]:
    thinking = request.get("thinking") or {}
    if thinking.get("type", "disabled") == "disabled":
        return
    if thinking.get("budget_tokens", -1) >= request.get("max_tokens", 1 << 62):
        yield "`max_tokens` must be greater than `thinking.budget_tokens`."
    if request.get("temperature", 1) != 1:
        yield "`temperature` may only be set to 1 when thinking is enabled."
    if "top_k" in request:
        yield "`top_k` must be unset when thinking is enabled."
    if (request.get("tool_choice") or {}).get("type") in ("any", "tool"):
        yield "Thinking may not be enabled when tool_choice forces tool use."


def _tool_flaws(request: Body) -> Iterator[str]:
    tools = request.get("tools") or []
    names = [tool["name"] for tool in tools if "name" in tool]
    if len(set(names)) < len(names):
        yield "tools: Tool names must be unique."
    for number, tool in enumerate(tools):
        schema = tool.get("input_schema")
        place = f"tools.{number}.custom.input_schema"
        if schema is None:
            continue
        if "type" not in schema:
            yield f"{place}.type: Field required"
        elif schema["type"] != "object":
            yield f"{place}.type: Input should be 'object'"
        if schema.keys() & {"oneOf", "allOf", "anyOf"}:
            yield f"{place}: input_schema does not support oneOf, allOf, or anyOf at the top level"
    choice = request.get("tool_choice")
    if choice is not None and not tools:
        yield "tool_choice: tool_choice may only be specified while providing tools."
    if choice is not None and choice["type"] == "tool" and choice["name"] not in names:
        yield f"tool_choice: Tool '{choice['name']}' not found in provided tools"


_UNSUPPORTED: Mapping[str, Sequence[str]] = {
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "string": ("minLength", "maxLength"),
    "array": ("maxItems", "uniqueItems"),
}
"""Kind of value -> keywords that the schema of an answer may not use for it."""


def _schema_flaws(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for part in schema:
            yield from _schema_flaws(part)
    if not isinstance(schema, Mapping):
        return
    kind = schema.get("type")
    if kind == "object" and schema.get("additionalProperties") is not False:
        yield "For 'object' type, 'additionalProperties' must be explicitly set to false"
    refused = [name for name in _UNSUPPORTED.get(str(kind), ()) if name in schema]
    if refused:
        yield f"For '{kind}' type, properties {', '.join(refused)} are not supported"
    for name in ("properties", "$defs", "definitions"):
        yield from _schema_flaws(list((schema.get(name) or {}).values()))
    for name in ("items", "anyOf", "allOf"):
        yield from _schema_flaws(schema.get(name))


def _marked(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for part in value:
            yield from _marked(part)
    elif isinstance(value, dict):
        if value.get("cache_control"):
            yield value
        yield from _marked(value.get("content"))
