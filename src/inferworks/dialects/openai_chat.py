"""A request of OpenAI's chat completions, as far as a translation reads it."""

from __future__ import annotations

from itertools import takewhile

import msgspec

_NO_RAW = msgspec.Raw()
_NO_ARGUMENTS = msgspec.Raw(b'{"type":"object","properties":{}}')


class ImageUrl(msgspec.Struct):
    """URL of an image."""

    url: str


class File(msgspec.Struct):
    """A file, in the request or stored."""

    filename: str | None = None
    file_data: str = ""


class Part(msgspec.Struct):
    """A part of content; which fields count depends on its type."""

    type: str
    text: str = ""
    refusal: str = ""
    image_url: ImageUrl | None = None
    file: File | None = None
    cache_control: msgspec.Raw = _NO_RAW


class Function(msgspec.Struct):
    """Function that a tool call calls."""

    name: str
    arguments: str = ""


class ToolCall(msgspec.Struct):
    """One of `tool_calls`."""

    id: str
    function: Function | None = None


class Message(msgspec.Struct):
    """One of `messages`."""

    role: str
    content: str | list[Part] | None = None
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
    def parts(self) -> list[Part]:
        """The content in parts."""
        if isinstance(self.content, str):
            return [Part("text", text=self.content)] if self.content else []
        return self.content or []


class _Thought(msgspec.Struct):
    type: str | None = None
    signature: str | None = None
    data: str | None = None


_read_thought = msgspec.json.Decoder(_Thought).decode


def _is_signed(block: dict[str, msgspec.Raw]) -> bool:
    try:
        thought = _read_thought(msgspec.json.encode(block))
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


class Request(msgspec.Struct):
    """Fields of a request that are translated."""

    model: str
    messages: list[Message]
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
    def head(self) -> list[Message]:
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


read_chat = msgspec.json.Decoder(Request).decode
