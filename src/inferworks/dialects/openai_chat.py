"""OpenAI's chat completions: requests and answers, as each of their readers needs them.

A request is read three times for three purposes. The gateway checks it (`ChatRequest`), with OpenAI's
bounds where all vendors share them, and passes what it does not name unseen. A translation reads all that
another dialect has words for (`FullChatRequest`), of a request that has been checked. The engine
(`EngineChatRequest`) takes less than the gateway, which speaks for every vendor, and refuses what it cannot
do. An answer is read twice: the usage parsers read its usage and its end and nothing in between
(`MeteredCompletion`), for they read every event of every stream; a translation reads its words
(`Completion`).

Vendors who speak the dialect write some of an answer otherwise: Mistral's and Databricks' thinking models
write their content as a list of parts, thoughts among them; OpenRouter and newer vLLM call thoughts
`reasoning`; some number every call of a tool 0, some give none of them a number, some repeat an id with
every piece, and some write arguments as an object.

Sources: https://platform.openai.com/docs/api-reference/chat/object,
https://docs.mistral.ai/capabilities/reasoning/, https://openrouter.ai/docs/use-cases/reasoning-tokens,
https://docs.databricks.com/aws/en/machine-learning/model-serving/query-reason-models
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from inferworks.dialects.openai_usage import PromptUsage

_NO_RAW = msgspec.Raw()
_NO_ARGUMENTS = msgspec.Raw(b'{"type":"object","properties":{}}')

# --- a request that is checked


class ChatMessage(msgspec.Struct):
    """One message of a chat. Fields we do not name (tool calls, names) pass through unseen."""

    role: Annotated[str, Meta(min_length=1, max_length=64)]
    content: str | list[dict[str, msgspec.Raw]] | None = None


class StreamOptions(msgspec.Struct):
    """`stream_options` of a request."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None
    """vLLM's extension: usage in every event."""


class ChatRequest(msgspec.Struct, gc=False):
    """The parameters of `chat.completions` that we check, with OpenAI's bounds where all share them."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    seed: int | None = None
    stop: (
        Annotated[str, Meta(max_length=4096)]
        | Annotated[list[Annotated[str, Meta(max_length=4096)]], Meta(max_length=1024)]
        | None
    ) = None
    user: Annotated[str, Meta(max_length=4096)] | None = None
    safety_identifier: Annotated[str, Meta(max_length=4096)] | None = None
    """Newer name of OpenAI's for `user`."""
    prompt_cache_key: Annotated[str, Meta(max_length=4096)] | None = None
    usage: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """OpenRouter's wish for the cost in the answer; whatever else it may be passes through unseen."""


# --- a request that is translated


class ImageUrl(msgspec.Struct):
    """URL of an image."""

    url: str


class File(msgspec.Struct):
    """A file, in the request or stored."""

    filename: str | None = None
    file_data: str = ""


class ContentPart(msgspec.Struct):
    """A part of content; which fields count depends on its type."""

    type: str
    text: str = ""
    refusal: str = ""
    image_url: ImageUrl | None = None
    file: File | None = None
    cache_control: msgspec.Raw = _NO_RAW


class CalledFunction(msgspec.Struct):
    """Function that a tool call calls."""

    name: str
    arguments: str = ""


class ToolCall(msgspec.Struct):
    """One of `tool_calls`."""

    id: str
    function: CalledFunction | None = None


class FullMessage(msgspec.Struct):
    """One of `messages`."""

    role: str
    content: str | list[ContentPart] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str = ""
    thinking_blocks: list[dict[str, msgspec.Raw]] | None = None

    @property
    def signed_thoughts(self) -> list[dict[str, msgspec.Raw]]:
        """Blocks of `thinking_blocks` that can go back to the model that made them, as they came."""
        return [block for block in self.thinking_blocks or () if _is_signed(block)]

    @property
    def is_instruction(self) -> bool:
        """True when the message is an instruction to the model (system or developer)."""
        return self.role in {"system", "developer"}

    @property
    def parts(self) -> list[ContentPart]:
        """The content in parts."""
        if isinstance(self.content, str):
            return [ContentPart("text", text=self.content)] if self.content else []
        return self.content or []


class SentThinkingBlock(msgspec.Struct):
    """One of `thinking_blocks`, an extension by which signed thoughts come back; all of it is sent on."""

    type: str
    thinking: str = ""
    signature: str = ""
    data: str = ""


class _SignedBlock(msgspec.Struct):
    """The same by what tells whether it can be sent back, where null is nothing."""

    type: str | None = None
    signature: str | None = None
    data: str | None = None


_read_signed_block = msgspec.json.Decoder(_SignedBlock).decode


def _is_signed(block: dict[str, msgspec.Raw]) -> bool:
    try:
        thought = _read_signed_block(msgspec.json.encode(block))
    except msgspec.DecodeError:
        return True  # whoever knows such blocks says what is wrong with it
    return bool(
        {"thinking": thought.signature, "redacted_thinking": thought.data}.get(
            thought.type or "", True
        )
    )


class ToolFunction(msgspec.Struct):
    """Function that may be called, or that must be."""

    name: str
    description: str | None = None
    parameters: msgspec.Raw = _NO_ARGUMENTS
    strict: bool | None = None


class Tool(msgspec.Struct):
    """One of `tools`, or a `tool_choice` that names one or several."""

    type: str
    function: ToolFunction | None = None
    allowed_tools: AllowedTools | None = None
    cache_control: msgspec.Raw = _NO_RAW


class AllowedTools(msgspec.Struct):
    """Subset of the tools that may be called now."""

    mode: str = "auto"
    tools: list[Tool] = []


class JsonSchema(msgspec.Struct):
    """`response_format.json_schema`."""

    schema: msgspec.Raw = _NO_ARGUMENTS


class ResponseFormat(msgspec.Struct):
    """`response_format`."""

    type: str
    json_schema: JsonSchema | None = None


class FullChatRequest(msgspec.Struct):
    """Fields of a request that are translated."""

    model: str
    messages: list[FullMessage]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    temperature: float | None = None
    tools: list[Tool] | None = None
    tool_choice: str | Tool | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    response_format: ResponseFormat | None = None
    user: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None

    @property
    def head(self) -> list[FullMessage]:
        """The instructions that it begins with."""
        return list(takewhile(lambda message: message.is_instruction, self.messages))

    @property
    def limit(self) -> int | None:
        """Most tokens that the answer may have, by the new name or the old."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def stops(self) -> list[str] | None:
        """Stop sequences; None for none."""
        return ([self.stop] if isinstance(self.stop, str) else self.stop) or None


read_full_chat = msgspec.json.Decoder(FullChatRequest).decode


# --- a request to the engine


class EnginePart(msgspec.Struct, frozen=True):
    """A part of a message."""

    type: str
    text: str = ""


class EngineMessage(msgspec.Struct, frozen=True):
    """A message, with its text alone."""

    role: str
    content: str | list[EnginePart] | None = None


class EngineStreamOptions(msgspec.Struct, frozen=True):
    """`stream_options` as vLLM has them."""

    include_usage: bool = False
    continuous_usage_stats: bool = False


_AtLeastOne = Annotated[int, Meta(ge=1)]


class EngineChatRequest(msgspec.Struct, frozen=True):
    """The body of a request, as far as this engine reads it; what it does not name it ignores."""

    model: str
    messages: Annotated[list[EngineMessage], Meta(min_length=1)]
    max_tokens: _AtLeastOne | None = None
    max_completion_tokens: _AtLeastOne | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    seed: int | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    n: Annotated[int, Meta(ge=1, le=8)] | None = None
    stream: bool | None = None
    stream_options: EngineStreamOptions | None = None
    min_tokens: Annotated[int, Meta(ge=0)] | None = None
    ignore_eos: bool | None = None
    tools: list[Any] | None = None
    logprobs: bool | None = None
    response_format: dict[str, Any] | None = None


# --- an answer that is translated


class FunctionPiece(msgspec.Struct):
    """Function that is called; in a stream, a piece of it."""

    needed: ClassVar = frozenset({"name", "arguments"})
    name: str | None = None
    arguments: str | dict[str, Any] | None = None

    @property
    def written(self) -> str:
        """The arguments, or a piece of them, as text."""
        given = self.arguments
        if given is None or isinstance(given, str):
            return given or ""
        return msgspec.json.encode(given).decode()


class ToolCallPiece(msgspec.Struct):
    """One of `tool_calls`; in a stream, a piece of one."""

    needed: ClassVar = frozenset({"function"})
    index: int | None = None
    id: str | None = None
    function: FunctionPiece = msgspec.field(default_factory=FunctionPiece)


class AnswerPart(msgspec.Struct):
    """A part of content that is a list: a text, or thoughts."""

    type: str = ""
    text: str | None = None
    thinking: str | list[AnswerPart] | None = None
    summary: list[AnswerPart] | None = None

    @property
    def thought(self) -> str:
        """Text of the thought."""
        inner = self.thinking or self.summary or ()
        if isinstance(inner, str):
            return inner
        return "".join(part.text or part.thought for part in inner)


class ThinkingBlock(msgspec.Struct):
    """Thoughts with their signature, as whoever speaks for Anthropic's models hands them on."""

    type: str = ""
    thinking: str = ""
    signature: str = ""
    data: str = ""


class AnswerMessage(msgspec.Struct):
    """A message, or in a stream what came of it."""

    needed: ClassVar = frozenset({"content", "tool_calls"})
    content: str | list[AnswerPart] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    """Name that some upstreams (OpenRouter, newer vLLM) have for `reasoning_content`."""
    thinking_blocks: list[ThinkingBlock] | None = None
    tool_calls: list[ToolCallPiece] | None = None
    function_call: FunctionPiece | None = None
    """The one call of a tool, as it was written before there could be several."""

    @property
    def calls(self) -> Sequence[ToolCallPiece]:
        """The tools that are called, or pieces of that."""
        only = self.function_call
        if self.tool_calls or only is None or not (only.name or only.arguments):
            return self.tool_calls or ()
        return (ToolCallPiece(0, None, only),)

    @property
    def thought(self) -> str:
        """Text of the reasoning."""
        told = self.reasoning_content or self.reasoning
        if told or not isinstance(self.content, list):
            return told or ""
        return "".join(part.thought for part in self.content)

    @property
    def written(self) -> str:
        """Text of the message, without a refusal."""
        content = self.content
        if isinstance(content, list):
            return "".join(part.text or "" for part in content)
        return content or ""

    @property
    def text(self) -> str:
        """Text of the message, or of its refusal."""
        content = self.content
        if isinstance(content, list):
            content = self.written
        return content or self.refusal or ""


class Logprobs(msgspec.Struct):
    """Log probabilities of the answer's tokens."""

    content: list[dict[str, Any]] | None = None


class Choice(msgspec.Struct):
    """A choice; most answers have one."""

    needed: ClassVar = frozenset({"message", "delta"})
    index: int | None = None
    message: AnswerMessage = msgspec.field(default_factory=AnswerMessage)
    delta: AnswerMessage = msgspec.field(default_factory=AnswerMessage)
    logprobs: Logprobs | None = None
    finish_reason: str | None = None
    stop_reason: Any = None
    """Stop string that ended it, by an extension of vLLM's."""

    @property
    def sureness(self) -> list[dict[str, Any]]:
        """A log probability for each token of the content, where it was asked for."""
        return (self.logprobs and self.logprobs.content) or []


class Completion(msgspec.Struct):
    """A completion or an event of one."""

    needed: ClassVar = frozenset({"choices"})
    id: str | None = None
    created: int | float | None = None
    model: str | None = None
    choices: list[Choice] | None = None

    @property
    def created_s(self) -> int:
        """Time of creation in Unix seconds, without the fraction that some upstreams write; 0 for none."""
        return int(self.created or 0)

    @property
    def first(self) -> Choice | None:
        """The choice that is translated."""
        return self.choices[0] if self.choices else None


COMPLETIONS = msgspec.json.Decoder(Completion)
"""Reads completions and their events."""


# --- an answer that is metered


class MeteredCompletion(msgspec.Struct):
    """Fields of a completion or an event that are metered; the others are passed over."""

    usage: PromptUsage | msgspec.UnsetType | None = msgspec.UNSET
    choices: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw()
    service_tier: str | None = None


class MeteredChoice(msgspec.Struct):
    """A choice by its end."""

    index: int | None = None
    finish_reason: str | None = None


class MeteredChoices(msgspec.Struct):
    """The `choices` of a completion, which are read only where there may be an end."""

    choices: list[MeteredChoice] | None = None


class WrittenFunction(msgspec.Struct):
    """Call of a function, by the words that a model writes of it."""

    name: str | None = None
    arguments: str | None = None


class WrittenToolCall(msgspec.Struct):
    """Call of a tool in a delta."""

    function: WrittenFunction | None = None


class WrittenDelta(msgspec.Struct):
    """`delta` of a choice, by what a model writes."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[WrittenToolCall] | None = None
    function_call: WrittenFunction | None = None

    @property
    def says_more(self) -> bool:
        """True when it has more than its content."""
        return bool(
            self.reasoning_content
            or self.reasoning
            or self.tool_calls
            or self.refusal
            or self.function_call
        )

    def others(self) -> list[str]:
        """Return what it says beside its content; reasoning that comes under two names is the same."""
        said = [self.reasoning_content or self.reasoning, self.refusal]
        for function in (*[one.function for one in self.tool_calls or ()], self.function_call):
            if function is not None:
                said += function.name, function.arguments
        return [text for text in said if text]


class WrittenChoice(msgspec.Struct):
    """A choice in an event of a chat, or of a completion, by what a model writes."""

    delta: WrittenDelta | None = None
    text: str | None = None


class WrittenEvent(msgspec.Struct):
    """An event of a chat, or of a completion, by what a model writes; None where it is none of them."""

    choices: list[WrittenChoice] | None = None


class MeteredChatRequest(msgspec.Struct):
    """Fields of a request that say how many choices there will be, also of completions."""

    n: int | None = None
    prompt: msgspec.Raw = msgspec.Raw(b"null")
