"""Text to tokens and back: a token is a byte, or one of five marks.

The chat template, recorded with the model: `<begin>`, then for each message `<role>` text
`<end_of_turn>`, then `<assistant>`, after which the model writes.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from inferworks.hardware.engines.base import Message

BYTES = 256
"""Tokens below this are bytes."""

_ASCII = 128


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """The five marks, by number; `end_of_turn` must be the one that follows the bytes."""

    end_of_turn: int
    begin: int
    system: int
    user: int
    assistant: int

    def chat(self, messages: tuple[Message, ...]) -> tuple[int, ...]:
        """Return the tokens of a chat, up to where the answer begins."""
        marks = {"system": self.system, "user": self.user, "assistant": self.assistant}
        tokens = [self.begin]
        for message in messages:
            tokens.append(marks[message.role])
            tokens += message.text.encode("utf-8", "replace")
            tokens.append(self.end_of_turn)
        return (*tokens, self.assistant)


class Detokenizer:
    """Byte tokens to text, never half a character.

    Bytes that are no UTF-8 become U+FFFD, as soon as it is certain that they are none.
    """

    __slots__ = ("_decoder", "_partial")

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._partial = False

    def feed(self, token: int) -> str:
        """Return the characters that `token`, a byte, completes."""
        if token < _ASCII and not self._partial:
            return chr(token)
        text = self._decoder.decode(token.to_bytes(1, "little"))
        self._partial = bool(self._decoder.getstate()[0])
        return text

    def rest(self) -> str:
        """Return U+FFFD for a character that was begun and not finished."""
        return self._decoder.decode(b"", True)
