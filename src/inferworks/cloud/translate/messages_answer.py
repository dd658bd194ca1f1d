"""An answer of Anthropic's messages, as far as a translation reads it."""

from __future__ import annotations

import msgspec

from inferworks.cloud.readers.anthropic import Usage
from inferworks.cloud.translate.fields import Fields


class Block(msgspec.Struct):
    """A block of content; which fields count depends on its type."""

    type: str
    text: str = ""
    thinking: str = ""
    signature: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")


class Message(msgspec.Struct):
    """A message; in a stream, its beginning."""

    id: str = ""
    model: str = ""
    content: list[Block] = []
    stop_reason: str | None = None
    usage: Usage = msgspec.field(default_factory=Usage)


class Delta(msgspec.Struct):
    """What an event adds to its block, or to its message."""

    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    stop_reason: str | None = None


class Event(msgspec.Struct):
    """An event of a stream; which fields count depends on its type."""

    type: str
    message: Message | None = None
    content_block: Block | None = None
    delta: Delta | None = None
    usage: Usage | None = None


read_message = msgspec.json.Decoder(Message).decode
read_event = msgspec.json.Decoder(Event).decode


def signed(block: Block) -> Fields:
    """A block of thoughts as Anthropic wants to see it again."""
    if block.type == "redacted_thinking":
        return {"type": block.type, "data": block.data}
    return {"type": block.type, "thinking": block.thinking, "signature": block.signature}
