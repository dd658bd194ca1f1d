"""An answer of Anthropic's messages, as far as a translation reads it."""

from __future__ import annotations

from typing import ClassVar

import msgspec


class Block(msgspec.Struct):
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
    content: list[Block] = []
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
    content_block: Block | None = None
    delta: Delta | None = None


MESSAGES = msgspec.json.Decoder(Message)
EVENTS = msgspec.json.Decoder(Event)
