"""OpenAI's refusals beyond its published types: bounds, dependent fields, families of models.

Sources: https://platform.openai.com/docs/api-reference/chat/create, /responses/create,
/embeddings/create, /images/create, /audio, /moderations; where the reference is silent, the public report
that shows the refusal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from inferworks.testing.upstreams.openai_order import chat_order, responses_order
from inferworks.testing.upstreams.openai_schemas import schema_flaw
from inferworks.testing.upstreams.openai_words import (
    not_among,
    only_default,
    unsupported,
    worded,
)
from inferworks.testing.upstreams.script import Body
from inferworks.testing.upstreams.strict import (
    Bound,
    Refusal,
    flaw_of,
    request_type,
)

_API = "https://platform.openai.com/docs/api-reference"
_CHAT = f"{_API}/chat/create"
_RESPONSES = f"{_API}/responses/create"
_NAME = {"minLength": 1, "maxLength": 64, "pattern": "^[a-zA-Z0-9_-]+$"}
_TOO_LONG = "https://github.com/camel-ai/camel/issues/2215"

_PARTS = "https://github.com/langchain-ai/langchain/blob/master/libs/partners/openai/tests/integration_tests"
"""Test suite of LangChain that sends OpenAI parts with Anthropic's `cache_control`, and is served."""

_SHARED = (
    Bound("user", {"maxLength": 64}, "https://github.com/maximhq/bifrost/issues/1000"),
    Bound("safety_identifier", {"maxLength": 64}, _CHAT),
    Bound("prompt_cache_key", {"maxLength": 64}, _CHAT),
    Bound("metadata", {"maxProperties": 16, "maxNameLength": 64}, _CHAT),
    Bound("metadata.*", {"maxLength": 512}, _CHAT),
    Bound("temperature", {"minimum": 0, "maximum": 2}, _CHAT),
    Bound("top_p", {"minimum": 0, "maximum": 1}, _CHAT),
    Bound("top_logprobs", {"minimum": 0, "maximum": 20}, _CHAT),
    Bound("n", {"minimum": 1, "maximum": 128}, _CHAT),
    Bound("presence_penalty", {"minimum": -2, "maximum": 2}, _CHAT),
    Bound("frequency_penalty", {"minimum": -2, "maximum": 2}, _CHAT),
    Bound("max_tokens", {"minimum": 1}, _CHAT),
    Bound("stop", {"maxItems": 4}, _CHAT),
)
CHAT_BOUNDS = (
    *_SHARED,
    Bound("max_completion_tokens", {"minimum": 1}, _CHAT),
    Bound("messages", {"minItems": 1}, _CHAT),
    Bound("messages[].content", {"minItems": 1}, _CHAT),
    Bound("messages[].content[]", {"isOpen": True}, _PARTS),
    Bound("messages[].name", {"pattern": r"^[^\s<|\\/>]+$"}, _CHAT),
    Bound("messages[].tool_calls", {"minItems": 1, "maxItems": 128}, _CHAT),
    Bound("messages[].tool_calls[].id", {"maxLength": 40}, _TOO_LONG),
    Bound("messages[].tool_calls[].function.name", _NAME, _CHAT),
    Bound("messages[].tool_call_id", {"maxLength": 40}, _TOO_LONG),
    Bound("tools", {"minItems": 1, "maxItems": 128}, _CHAT),
    Bound("tools[].function.name", _NAME, _CHAT),
    Bound("tools[].function.description", {"maxLength": 1024}, _CHAT),
    Bound("response_format.json_schema.name", _NAME, _CHAT),
)
RESPONSES_BOUNDS = (
    *_SHARED,
    Bound("max_output_tokens", {"minimum": 16}, _RESPONSES),
    Bound("input", {"minItems": 1}, _RESPONSES),
    Bound("input[].call_id", {"maxLength": 64}, "https://github.com/AnswerDotAI/fastllm/issues/45"),
    Bound("input[].id", {"maxLength": 64}, _RESPONSES),
    Bound("input[].name", _NAME, _RESPONSES),
    Bound("tools[].name", _NAME, _RESPONSES),
    Bound("text.format.name", _NAME, _RESPONSES),
)
_COMPLETIONS_BOUNDS = (*_SHARED, Bound("logprobs", {"minimum": 0, "maximum": 5}, _API))
_INPUTS = (
    Bound("user", {"maxLength": 64}, _API),
    Bound("input", {"minItems": 1, "minLength": 1, "maxItems": 2048}, f"{_API}/embeddings/create"),
    Bound("dimensions", {"minimum": 1}, f"{_API}/embeddings/create"),
)
_IMAGES_BOUNDS = (
    Bound("user", {"maxLength": 64}, _API),
    Bound("prompt", {"minLength": 1, "maxLength": 32_000}, f"{_API}/images/create"),
    Bound("n", {"minimum": 1, "maximum": 10}, f"{_API}/images/create"),
    Bound("partial_images", {"minimum": 0, "maximum": 3}, f"{_API}/images/create"),
    Bound("output_compression", {"minimum": 0, "maximum": 100}, f"{_API}/images/create"),
)
_SPEECH_BOUNDS = (
    Bound("input", {"minLength": 1, "maxLength": 4096}, f"{_API}/audio/createSpeech"),
    Bound("speed", {"minimum": 0.25, "maximum": 4}, f"{_API}/audio/createSpeech"),
)
_SOUND_BOUNDS = (
    Bound("temperature", {"minimum": 0, "maximum": 1}, f"{_API}/audio/createTranscription"),
)


class Family(NamedTuple):
    """Restrictions of one family of models, beyond the operation's type."""

    models: str
    """Prefix of the names of the models."""
    source: str
    lacks: Mapping[str, str] = {}
    """Field -> the one to use instead, if any."""
    fixed: Mapping[str, object] = {}
    """Field -> the only value."""
    efforts: Sequence[str] = ()
    """Efforts of reasoning; empty: the models do not reason, and the field is unknown."""
    unless_effort: str = ""
    """Effort with which it takes its otherwise missing fields, but for limits and stops."""


_REASONING = "https://platform.openai.com/docs/guides/reasoning"
_NO_STOP = "https://github.com/n8n-io/n8n/issues/18149"
_SAMPLING = (
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "logit_bias",
)
_LIMIT = {"max_tokens": "max_completion_tokens", "stop": ""}
_LACKS = {**_LIMIT, **dict.fromkeys(_SAMPLING, "")}
_ONE = {"temperature": 1}
FAMILIES: Sequence[Family] = (
    Family(r"gpt-5(\.\d)?-chat|chatgpt-|gpt-5-search", _REASONING, {"max_tokens": "max_completion_tokens"}),
    Family(
        r"gpt-(5\.[2-9]|[6-9])", _REASONING, _LACKS, _ONE,
        ("none", "low", "medium", "high", "xhigh", "max"), unless_effort="none",
    ),
    Family(r"gpt-5\.1", _REASONING, _LACKS, _ONE, ("none", "low", "medium", "high"), unless_effort="none"),
    Family(r"gpt-5", _NO_STOP, _LACKS, _ONE, ("minimal", "low", "medium", "high")),
    Family(r"o\d", _REASONING, {**_LACKS, "parallel_tool_calls": ""}, _ONE, ("low", "medium", "high")),
    Family(r"gpt-[34]|chatgpt-4o", "https://github.com/coroot/coroot/issues/698"),
)  # fmt: skip
"""Families of models; the first with a matching name counts, and a model of none takes everything."""

_TOOLS_WITHOUT_EFFORT = re.compile(r"gpt-(5\.[4-9]|[6-9])(?!.*-chat)")
"""Models that take functions in a chat only beside no reasoning: openai/openai-openapi#541."""
_REASONS_UNASKED = re.compile(r"gpt-(5\.[6-9]|[6-9])")
"""Models among them that reason unless told not to: BerriAI/litellm#34569."""
_ONLY_RESPONSES = re.compile(r"o\d-pro|gpt-5(\.\d)?-pro|.*codex|o\d-deep-research|computer-use")
_IS_CHAT = re.compile(r"gpt-(?!3\.5-turbo-instruct)|o\d|chatgpt-")


class Operation(NamedTuple):
    """Checks of the requests of one path."""

    file: str
    bounds: tuple[Bound, ...]
    rules: Sequence[Callable[[Body], Refusal | None]] = ()
    is_older: bool = False


def refusal_of(path: str, request: Body) -> Refusal | None:
    """Return OpenAI's refusal of a request at `path`; None when it accepts it."""
    operation = OPERATIONS.get(path)
    if operation is None:
        return None
    flaw = flaw_of(request, request_type(operation.file, operation.bounds))
    if flaw is not None:
        family = family_of(str(request.get("model", "")))
        is_newer_model = family is not None and bool(family.efforts)
        return worded(flaw, is_older=operation.is_older and not is_newer_model)
    return next(filter(None, (rule(request) for rule in operation.rules)), None)


def family_of(model: str) -> Family | None:
    """The family that `model` belongs to."""
    found = (family for family in FAMILIES if re.match(family.models, model))
    return next(found, None)


def chat_family(request: Body) -> Refusal | None:
    """A field that the asked model does not take."""
    model = request["model"]
    if _ONLY_RESPONSES.match(model):
        message = "This model is only supported in v1/responses and not in v1/chat/completions."
        return Refusal(message, "model", status=404)
    family, effort = family_of(model), request.get("reasoning_effort")
    if family is None:
        return None
    if effort is not None and not family.efforts:
        return Refusal("Unrecognized request argument supplied: reasoning_effort")
    if effort is not None and effort not in family.efforts:
        return not_among("reasoning_effort", effort, model, family.efforts)
    is_free = bool(family.unless_effort) and effort == family.unless_effort
    for name, instead in family.lacks.items():
        if request.get(name) not in (None, False, 0, {}) and not (is_free and name in _SAMPLING):
            return unsupported(name, instead)
    for name, only in family.fixed.items():
        if request.get(name, only) not in (only, None) and not is_free:
            return only_default(name, request[name], only)
    if not family.efforts and request.get("verbosity", "medium") not in ("medium", None):
        return not_among("verbosity", request["verbosity"], model, ["medium"])
    return None


def chat_tools_and_effort(request: Body) -> Refusal | None:
    """Functions beside reasoning, which the newest models take in responses alone."""
    model, effort = request["model"], request.get("reasoning_effort")
    if not request.get("tools") or not _TOOLS_WITHOUT_EFFORT.match(model):
        return None
    if effort == "none" or (effort is None and not _REASONS_UNASKED.match(model)):
        return None
    message = (
        f"Function tools with reasoning_effort are not supported for {model} in /v1/chat/completions. "
        "To use function tools, use /v1/responses or set reasoning_effort to 'none'."
    )
    return Refusal(message, "reasoning_effort")


def chat_combinations(request: Body) -> Refusal | None:
    """Check fields that require others, and fields that exclude others."""
    for name in ("tool_choice", "parallel_tool_calls"):
        if request.get(name) is not None and not request.get("tools"):
            message = (
                f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified."
            )
            return Refusal(message, name)
    if request.get("stream_options") is not None and not request.get("stream"):
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        return Refusal(message, "stream_options")
    if request.get("max_tokens") and request.get("max_completion_tokens"):
        message = (
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        )
        return Refusal(message, "max_tokens", "invalid_parameter_combination")
    if request.get("top_logprobs") and not request.get("logprobs"):
        message = "'logprobs' must be enabled to use 'top_logprobs'."
        return Refusal(f"Invalid value for 'top_logprobs': {message}", "top_logprobs")
    wanted = (request.get("response_format") or {}).get("type")
    said = [message.get("content") for message in request["messages"]]
    if wanted == "json_object" and "json" not in str(said).lower():
        message = (
            "'messages' must contain the word 'json' in some form, "
            "to use 'response_format' of type 'json_object'."
        )
        return Refusal(message, "messages")
    return None


def named_tool(request: Body) -> Refusal | None:
    """A choice that names a tool which is not offered."""
    choice = request.get("tool_choice")
    if not isinstance(choice, dict) or choice.get("type") != "function":
        return None
    name = choice["function"]["name"]
    names = {tool.get("function", {}).get("name") for tool in request.get("tools") or ()}
    if name in names:
        return None
    message = f"Tool choice 'function.name' '{name}' is not found in 'tools' parameter."
    return Refusal(f"Invalid value for 'tool_choice': {message}", "tool_choice")


def chat_schemas(request: Body) -> Refusal | None:
    """A schema of a function or of the answer that is none, or not as strict as it says."""
    for number, tool in enumerate(request.get("tools") or ()):
        function = tool.get("function")
        if function is not None and "parameters" in function:
            flaw = schema_flaw(function["parameters"], is_strict=bool(function.get("strict")))
            if flaw is not None:
                message = f"Invalid schema for function '{function['name']}': {flaw}"
                param = f"tools[{number}].function.parameters"
                return Refusal(message, param, "invalid_function_parameters")
    wanted = (request.get("response_format") or {}).get("json_schema")
    if wanted is not None and "schema" in wanted:
        flaw = schema_flaw(wanted["schema"], is_strict=bool(wanted.get("strict")))
        if flaw is not None:
            message = f"Invalid schema for response_format '{wanted['name']}': {flaw}"
            return Refusal(message, "response_format")
    return None


def completions_model(request: Body) -> Refusal | None:
    """A model of chats, asked for by the older operation: go-openai and n8n met it first."""
    if not _IS_CHAT.match(request["model"]):
        return None
    message = (
        "This is a chat model and not supported in the v1/completions endpoint. "
        "Did you mean to use v1/chat/completions?"
    )
    return Refusal(message, "model", status=404)


def responses_family(request: Body) -> Refusal | None:
    """A field that the asked model does not take."""
    model = request.get("model") or ""
    family, reasoning = family_of(model), request.get("reasoning") or {}
    if family is None:
        return None
    effort = reasoning.get("effort")
    if effort is not None and not family.efforts:
        return unsupported("reasoning.effort")
    if effort is not None and effort not in family.efforts:
        return not_among("reasoning.effort", effort, model, family.efforts)
    is_free = bool(family.unless_effort) and effort == family.unless_effort
    for name, default in (("temperature", 1), ("top_p", 1)):
        if family.fixed and not is_free and request.get(name, default) not in (default, None):
            return unsupported(name)
    return None


def edited_pictures(request: Body) -> Refusal | None:
    """An edit of nothing."""
    if "image" in request or "images" in request:
        return None
    return Refusal("Missing required parameter: 'image'.", "image", "missing_required_parameter")


def responses_combinations(request: Body) -> Refusal | None:
    """Fields that go only with others."""
    if not request.get("input") and not any(
        request.get(name) for name in ("previous_response_id", "prompt", "conversation")
    ):
        names = "'input' or 'previous_response_id' or 'prompt' or 'conversation_id'"
        message = f"One of {names} must be provided."
        return Refusal(message, "", "missing_required_parameter")
    return None


OPERATIONS: Mapping[str, Operation] = {
    "/chat/completions": Operation(
        "openai_chat", CHAT_BOUNDS,
        (chat_family, chat_tools_and_effort, chat_combinations, named_tool, chat_order, chat_schemas),
        is_older=True,
    ),
    "/completions": Operation(
        "openai_completions", _COMPLETIONS_BOUNDS, (completions_model,), is_older=True
    ),
    "/responses": Operation(
        "openai_responses", RESPONSES_BOUNDS, (responses_combinations, responses_family, responses_order)
    ),
    "/embeddings": Operation("openai_embeddings", _INPUTS, is_older=True),
    "/moderations": Operation("openai_moderations", _INPUTS, is_older=True),
    "/images/generations": Operation("openai_images", _IMAGES_BOUNDS),
    "/images/edits": Operation("openai_image_edits", _IMAGES_BOUNDS, (edited_pictures,)),
    "/audio/speech": Operation("openai_speech", _SPEECH_BOUNDS),
    "/audio/transcriptions": Operation("openai_transcriptions", _SOUND_BOUNDS),
    "/audio/translations": Operation("openai_translations", _SOUND_BOUNDS),
}  # fmt: skip
"""Path -> how its requests are checked."""
