"""Anthropic's messages and its counting of their tokens: requests and answers, by each of their readers.

As with OpenAI's chats, the gateway checks a request (`MessagesRequest`) and passes what it does not name; a
translation reads all that a chat has words for (`FullMessagesRequest`). The usage parsers read the usage,
the end and the letters of every event (`MeteredEvent`), a translation what is said (`Message`, `Event`).

Sources: https://platform.claude.com/docs/en/api/messages,
https://platform.claude.com/docs/en/build-with-claude/streaming and /prompt-caching
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from inferworks.dialects.token_conventions import Count

_EMPTY = msgspec.Raw(b"{}")

# --- a request that is checked

Blocks = str | list[dict[str, msgspec.Raw]]


class InputMessage(msgspec.Struct):
    """One turn. Its blocks pass through unseen."""

    role: Annotated[str, Meta(min_length=1, max_length=64)]
    content: Blocks


class Metadata(msgspec.Struct):
    """`metadata` of a request."""

    user_id: Annotated[str, Meta(max_length=4096)] | None = None


class CountRequest(msgspec.Struct, gc=False):
    """Parameters that `messages.count_tokens` and `messages` share."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    messages: Annotated[list[InputMessage], Meta(min_length=1)]
    system: Blocks | None = None


class MessagesRequest(CountRequest, gc=False, kw_only=True):
    """The parameters of `messages` that we check, with Anthropic's bounds."""

    max_tokens: Annotated[int, Meta(ge=1)]
    stream: bool | None = None
    metadata: Metadata | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    stop_sequences: list[str] | None = None


# --- a request that is translated


class Source(msgspec.Struct):
    """Source of an image or a document."""

    type: str
    media_type: str = ""
    data: str = ""
    url: str = ""
    content: str | list[ContentBlock] | None = None


class ContentBlock(msgspec.Struct):
    """A block of content; which fields count depends on its type."""

    type: str
    text: str = ""
    source: Source | str | None = None
    title: str | None = None
    id: str = ""
    name: str = ""
    input: msgspec.Raw = _EMPTY
    tool_use_id: str = ""
    content: str | list[ContentBlock] | None = None
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
    content: str | list[ContentBlock]
    tool_calls: msgspec.Raw = msgspec.Raw(b"null")
    tool_call_id: msgspec.Raw = msgspec.Raw(b"null")
    """Both are OpenAI's, and mean nothing here."""

    @property
    def blocks(self) -> list[ContentBlock]:
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


class FullMessagesRequest(msgspec.Struct):
    """Fields of a request that are translated."""

    model: str
    messages: list[Turn]
    max_tokens: int
    system: str | list[ContentBlock] | None = None
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


def as_blocks(content: str | list[ContentBlock] | None) -> list[ContentBlock]:
    """Content as blocks; no text is none."""
    if isinstance(content, str):
        return [ContentBlock("text", text=content)] if content else []
    return content or []


read_full_messages = msgspec.json.Decoder(FullMessagesRequest).decode


class CacheControl(msgspec.Struct):
    """`cache_control` of a block or a tool, which clients of chats write, too."""

    ttl: str | None = None


class NamedTool(msgspec.Struct):
    """One of `tools` by its name."""

    name: str = ""


class ToolNames(msgspec.Struct):
    """Names of the tools of a request, which are looked up again for its answer."""

    tools: list[NamedTool] | None = None


# --- an answer that is translated


class AnswerBlock(msgspec.Struct):
    """A block of content; which fields count depends on its type."""

    needed: ClassVar = frozenset({"text", "name"})
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")

    @property
    def arguments(self) -> str:
        """The input as text; null is none."""
        given = bytes(self.input).decode()
        return "{}" if given == "null" else given


class Message(msgspec.Struct):
    """A message; in a stream, its beginning."""

    needed: ClassVar = frozenset({"content"})
    id: str = ""
    model: str = ""
    content: list[AnswerBlock] = []
    stop_reason: str | None = None


class Delta(msgspec.Struct):
    """Addition of an event to its block, or to its message."""

    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    stop_reason: str | None = None


class Event(msgspec.Struct):
    """An event of a stream; which fields count depends on its type."""

    needed: ClassVar = frozenset({"message", "content_block", "delta"})
    type: str = ""
    index: int | None = None
    message: Message | None = None
    content_block: AnswerBlock | None = None
    delta: Delta | None = None


MESSAGES = msgspec.json.Decoder(Message)
EVENTS = msgspec.json.Decoder(Event)


# --- an answer that is metered


class CacheCreation(msgspec.Struct):
    """Tokens written to the cache by how long they stay."""

    ephemeral_5m_input_tokens: Count | None = None
    ephemeral_1h_input_tokens: Count | None = None


class OutputDetails(msgspec.Struct):
    """Parts of the output."""

    thinking_tokens: Count | None = None


class ServerToolUse(msgspec.Struct):
    """Uses of the tools that Anthropic runs."""

    web_search_requests: Count | None = None


class MessagesUsage(msgspec.Struct):
    """The `usage` object of a message or of a `message_delta`; None is what it does not say."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation: CacheCreation | None = None
    output_tokens_details: OutputDetails | None = None
    server_tool_use: ServerToolUse | None = None
    service_tier: str | None = None


class MeteredMessage(msgspec.Struct):
    """`message` of the first event, by its usage."""

    usage: MessagesUsage | None = None


class MeteredDelta(msgspec.Struct):
    """`delta` of an event, whose letters are counted."""

    text: str = ""
    thinking: str = ""
    partial_json: str = ""
    stop_reason: str | None = None


class MeteredEvent(msgspec.Struct):
    """Fields of an event, or of a whole message, that are read; the others are passed over."""

    type: str = ""
    message: MeteredMessage | None = None
    usage: MessagesUsage | None = None
    delta: MeteredDelta | None = None
    error: msgspec.Raw = msgspec.Raw()
    content: msgspec.Raw = msgspec.Raw()


class TokenCount(msgspec.Struct):
    """The answer of a count."""

    input_tokens: Count | None = None
    error: msgspec.Raw = msgspec.Raw()


class EventType(msgspec.Struct):
    """An event by its type alone."""

    type: str = ""
