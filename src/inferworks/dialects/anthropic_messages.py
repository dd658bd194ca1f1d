"""A request of Anthropic's messages, as far as a translation reads it."""

from __future__ import annotations

from typing import Any

import msgspec

_EMPTY = msgspec.Raw(b"{}")


class Source(msgspec.Struct):
    """Source of an image or a document."""

    type: str
    media_type: str = ""
    data: str = ""
    url: str = ""
    content: str | list[Block] | None = None


class Block(msgspec.Struct):
    """A block of content; which fields count depends on its type."""

    type: str
    text: str = ""
    source: Source | str | None = None
    title: str | None = None
    id: str = ""
    name: str = ""
    input: msgspec.Raw = _EMPTY
    tool_use_id: str = ""
    content: str | list[Block] | None = None
    is_error: bool | None = None
    thinking: str = ""
    signature: str = ""
    tool_name: str = ""

    @property
    def origin(self) -> str:
        """Type of the source; empty without one."""
        return self.source.type if isinstance(self.source, Source) else ""


class Turn(msgspec.Struct):
    """One of `messages`."""

    role: str
    content: str | list[Block]
    tool_calls: msgspec.Raw = msgspec.Raw(b"null")
    tool_call_id: msgspec.Raw = msgspec.Raw(b"null")
    """Both are OpenAI's, and mean nothing here."""

    @property
    def blocks(self) -> list[Block]:
        """The content as blocks."""
        return as_blocks(self.content)


class Tool(msgspec.Struct):
    """One of `tools`."""

    name: str
    type: str | None = None
    description: str | None = None
    input_schema: msgspec.Raw = _EMPTY
    strict: bool | None = None


class ToolChoice(msgspec.Struct):
    """`tool_choice`."""

    type: str
    name: str = ""
    disable_parallel_tool_use: bool | None = None


class Thinking(msgspec.Struct):
    """`thinking`."""

    type: str
    budget_tokens: int = 0


class OutputFormat(msgspec.Struct):
    """`output_config.format`."""

    type: str
    schema: msgspec.Raw = _EMPTY


class OutputConfig(msgspec.Struct):
    """`output_config`."""

    effort: str | None = None
    format: OutputFormat | None = None


class Edit(msgspec.Struct):
    """One of `context_management.edits`."""

    type: str
    keep: msgspec.Raw = _EMPTY


class ContextManagement(msgspec.Struct):
    """`context_management`."""

    edits: list[Edit] = []


class Metadata(msgspec.Struct):
    """`metadata`."""

    user_id: str | None = None


class Request(msgspec.Struct):
    """Fields of a request that are translated."""

    model: str
    messages: list[Turn]
    max_tokens: int
    system: str | list[Block] | None = None
    stop_sequences: list[str] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    """Name that a beta had for `output_config.format`."""
    context_management: ContextManagement | None = None
    metadata: Metadata | None = None
    service_tier: str | None = None
    thread: Any = None


def as_blocks(content: str | list[Block] | None) -> list[Block]:
    """Content as blocks; no text is none."""
    if isinstance(content, str):
        return [Block("text", text=content)] if content else []
    return content or []


read_messages = msgspec.json.Decoder(Request).decode
