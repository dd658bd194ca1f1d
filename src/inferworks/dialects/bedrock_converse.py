"""Bedrock's Converse: what its answers hold, and the words that its requests know.

The usage parser reads the usage of an answer and of a stream's `metadata` (`MeteredAnswer`), a translation
what is said (`Answer`, `Event`).

Sources: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html,
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html
"""

from __future__ import annotations

from types import MappingProxyType
from typing import ClassVar, Final

import msgspec

from inferworks.dialects.token_conventions import Count

TIERS: Final = frozenset({"default", "flex", "priority", "reserved"})
"""Service tiers of both, by the same names; `auto` is to say nothing."""

IMAGE_FORMATS: Final = MappingProxyType(
    {
        "image/gif": "gif",
        "image/jpeg": "jpeg",
        "image/jpg": "jpeg",
        "image/png": "png",
        "image/webp": "webp",
    }
)
"""Media type -> format of an image."""

DOCUMENT_FORMATS: Final = MappingProxyType(
    {
        "application/msword": "doc",
        "application/pdf": "pdf",
        "application/vnd.ms-excel": "xls",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
        "text/csv": "csv",
        "text/html": "html",
        "text/markdown": "md",
        "text/plain": "txt",
    }
)
"""Media type -> format of a document."""


# --- an answer that is translated


class ToolUse(msgspec.Struct, rename="camel"):
    """A call of a tool; in a stream its beginning, or a piece of its input."""

    tool_use_id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")

    @property
    def arguments(self) -> str:
        """The input as text; null is none."""
        given = bytes(self.input).decode()
        return "{}" if given == "null" else given


class ReasoningText(msgspec.Struct):
    """Text of the reasoning, signed where the model signs it."""

    text: str = ""
    signature: str = ""


class Reasoning(msgspec.Struct, rename="camel"):
    """Thoughts: whole in `reasoning_text`, or a piece of a stream in the other fields."""

    reasoning_text: ReasoningText | None = None
    redacted_content: str = ""
    """Thoughts that are not shown, in base64."""
    text: str = ""
    signature: str = ""


class Text(msgspec.Struct):
    """A piece of text."""

    text: str = ""


class Cited(msgspec.Struct):
    """Text that is backed by citations."""

    content: list[Text] = []


class Block(msgspec.Struct, rename="camel"):
    """A block of content, or a delta of one: one of its fields is there."""

    needed: ClassVar = frozenset({"text", "tool_use"})
    text: str = ""
    tool_use: ToolUse | None = None
    reasoning_content: Reasoning | None = None
    citations_content: Cited | None = None

    @property
    def said(self) -> str:
        """Text for the user."""
        cited = self.citations_content.content if self.citations_content else ()
        return self.text + "".join(piece.text for piece in cited)


class Message(msgspec.Struct):
    """The one message of an answer."""

    needed: ClassVar = frozenset({"content"})
    content: list[Block] = []


class Output(msgspec.Struct):
    """`output`."""

    needed: ClassVar = frozenset({"message"})
    message: Message = msgspec.field(default_factory=Message)


class Answer(msgspec.Struct, rename="camel"):
    """A whole answer."""

    needed: ClassVar = frozenset({"output"})
    output: Output = msgspec.field(default_factory=Output)
    stop_reason: str = ""


class BlockEvent(msgspec.Struct, rename="camel"):
    """An event within a block of content."""

    needed: ClassVar = frozenset({"start", "delta"})
    content_block_index: int = 0
    start: Block = msgspec.field(default_factory=Block)
    delta: Block = msgspec.field(default_factory=Block)


class MessageEvent(msgspec.Struct, rename="camel"):
    """Beginning or end of the message."""

    stop_reason: str = ""


class Event(msgspec.Struct, rename="camel"):
    """An event of a stream: one of its fields is there."""

    message_start: MessageEvent | None = None
    content_block_start: BlockEvent | None = None
    content_block_delta: BlockEvent | None = None
    content_block_stop: BlockEvent | None = None
    message_stop: MessageEvent | None = None
    metadata: dict[str, msgspec.Raw] | None = None
    """Usage, which the reader has reported."""


ANSWERS = msgspec.json.Decoder(Answer)
EVENTS = msgspec.json.Decoder(Event)


# --- an answer that is metered


class CacheDetail(msgspec.Struct):
    """Tokens written to the cache, by how long they stay."""

    ttl: str = ""
    inputTokens: Count = 0  # noqa: N815 the names are the API's


class TokenUsage(msgspec.Struct, rename="camel"):
    """`TokenUsage`, of an answer or of a stream's `metadata`."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    total_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_write_input_tokens: Count | None = None
    cache_details: list[CacheDetail] | None = None


class ServiceTier(msgspec.Struct):
    """`serviceTier`."""

    type: str = ""


class MeteredAnswer(msgspec.Struct, rename="camel"):
    """Fields of an answer, or of `metadata`, that are read; the others are passed over."""

    usage: TokenUsage | None = None
    service_tier: ServiceTier | None = None
    output: msgspec.Raw = msgspec.Raw()


class Failure(msgspec.Struct):
    """The payload of an exception amid a stream."""

    message: str = ""
