"""Answers that are made of blocks: thoughts, a text, the call of a tool.

Anthropic's messages and Bedrock's Converse have such answers, under different field names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from inferworks.testing.upstreams.script import Scripted

SIGNATURE = "c2lnbmVk"
"""Signature of a block of thoughts."""


class BlocksAnswer(Scripted, frozen=True):
    """Scripted answer in blocks to one request; without words there is no text."""

    thoughts: tuple[str, ...] = ()
    """Thoughts before the text, in a signed block."""
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0

    @property
    def output_tokens(self) -> int:
        """One for each word, thought and call."""
        return len(self.words) + len(self.thoughts) + len(self.tools)

    def words_of(self, text: str) -> Iterator[str]:
        """The words that `text`, the whole or the cut one, is made of."""
        left = len(text)
        for word in self.words:
            if left > 0:
                yield word
            left -= len(word)

    def why_it_ends(self, words: tuple[str, ...]) -> str:
        """The reason of an answer of which `words` are left."""
        if words != self.words:
            return "max_tokens"
        return "tool_use" if self.tool else "end_turn"


def halves_of(given: Any) -> tuple[str, ...]:
    """The arguments of a call as a stream has them; nothing where there are none."""
    text = json.dumps(given, ensure_ascii=False) if given else ""
    half = len(text) // 2
    return (text[:half], text[half:]) if text else ()
