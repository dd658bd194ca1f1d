"""The fake engine: answers from a rule, at a pace that an injected clock keeps.

A token is a word with the blanks that follow it. Nothing is random: the same messages give the same
answer, and every choice of a call is the same. Under a `SimClock` hours of it pass in milliseconds.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

from inferworks.clock import Clock
from inferworks.hardware.engines.base import (
    Answer,
    Finish,
    GenerationRequest,
    Message,
    TextDelta,
    check_fits,
)
from inferworks.hardware.engines.stopping import StopScanner

Rule = Callable[[tuple[Message, ...]], str]

_WORD = re.compile(r"\A\s*+\S++\s*+|\S++\s*+")
"""A word with the white space around it, which is looked at once."""


def echo(messages: tuple[Message, ...]) -> str:
    """Answer with what was said last."""
    return f"You said: {messages[-1].text}"


def count_words(messages: tuple[Message, ...]) -> int:
    """Tokens of a prompt: its words, and one for each message."""
    return sum(1 + len(_WORD.findall(message.text)) for message in messages)


class StubEngine:
    """The engine seam without an engine."""

    def __init__(
        self,
        clock: Clock,
        *,
        model: str = "stub",
        rule: Rule = echo,
        prefill_s: float = 0.0,
        step_s: float = 0.0,
        context_tokens: int = 4096,
    ) -> None:
        """`prefill_s` passes before the first token of a call, `step_s` before each one after it."""
        self._clock = clock
        self._model = model
        self._rule = rule
        self._prefill_s = prefill_s
        self._step_s = step_s
        self._context_tokens = context_tokens
        self.open_calls = 0
        """Calls that are being answered."""

    @property
    def model(self) -> str:
        """The name under which the model is asked for."""
        return self._model

    @property
    def context_tokens(self) -> int:
        """The most tokens a prompt and its answer can have together."""
        return self._context_tokens

    @asynccontextmanager
    async def generate(self, ask: GenerationRequest) -> AsyncIterator[Answer]:
        """Begin to answer by the rule."""
        prompt_tokens = count_words(ask.messages)
        check_fits(prompt_tokens, self._context_tokens)
        room = self._context_tokens - prompt_tokens
        limit = room if ask.max_tokens is None else min(ask.max_tokens, room)
        pieces = _pieces(self._rule(ask.messages), ask, limit)
        self.open_calls += 1
        try:
            yield _StubAnswer(self, prompt_tokens, ask.choices, pieces)
        finally:
            self.open_calls -= 1

    async def close(self) -> None:
        """Nothing to let go of."""

    async def pause(self, *, first: bool) -> None:
        """Let the time of one step pass; no time at all does not even ask the clock."""
        seconds = self._prefill_s if first else self._step_s
        if seconds > 0:
            await self._clock.sleep(seconds)


class _StubAnswer:
    """One step is one piece for every choice."""

    def __init__(
        self, engine: StubEngine, prompt_tokens: int, choices: int, pieces: Iterator[TextDelta]
    ) -> None:
        self.prompt_tokens = prompt_tokens
        self._engine = engine
        self._choices = choices
        self._pieces = pieces
        self._first = True

    async def next(self) -> tuple[TextDelta, ...]:
        """Return the next piece of every choice, after the time of a step; () at the end."""
        piece = next(self._pieces, None)
        if piece is None:
            return ()
        await self._engine.pause(first=self._first)
        self._first = False
        return tuple(
            TextDelta(choice, piece.text, piece.tokens, piece.finish)
            for choice in range(self._choices)
        )


def _pieces(text: str, ask: GenerationRequest, limit: int) -> Iterator[TextDelta]:
    """Yield the pieces of one choice; the end of the text is a token of its own."""
    scanner = StopScanner(ask.stop)
    words = _WORD.findall(text) or [""]
    said = itertools.cycle(words) if ask.ignore_eos else iter([*words, ""])
    for tokens, word in enumerate(said, 1):
        out, stopped = scanner.feed(word)
        ended = word == "" and not ask.ignore_eos
        finish: Finish | None = "stop" if stopped or ended else None
        if finish is None and tokens >= limit:
            finish = "length"
        if finish is not None and not stopped:
            out += scanner.rest()
        yield TextDelta(0, out, tokens, finish)
        if finish is not None:
            return
