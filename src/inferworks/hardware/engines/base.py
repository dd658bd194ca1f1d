"""The engine seam: messages in, pieces of text out, several calls at a time.

    engine.generate(ask)        an async context; leaving it frees whatever the call still holds
        answer.prompt_tokens    known as soon as the context is entered
        answer.next()           the pieces of one step, or of several if the reader was slow

An engine is asked for *pieces* and not for tokens: it owns the tokenizer, so it alone knows when a
character is complete and when a stop sequence has begun. Each piece carries the running number of
tokens its choice has used, so that a reader who leaves in the middle knows what was produced.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from inferworks.errors import CallError
from inferworks.ids import CallId

Role = Literal["system", "user", "assistant"]
Finish = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """Request of a call to an engine.

    `max_tokens` of None means as many as the context holds. `temperature` 0 always takes the likeliest
    token. With the same `seed` the same request gives the same answer, whatever else runs. Below
    `min_tokens` neither the end of turn nor a stop sequence ends a choice; `ignore_eos` bars the end of
    turn altogether. `choices` are independent answers to the one prompt.
    """

    call: CallId
    messages: tuple[Message, ...]
    seed: int
    max_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    choices: int = 1
    min_tokens: int = 0
    ignore_eos: bool = False


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    """The next text of one choice, which may be empty. One is made for every token.

    `tokens` is how many tokens the choice has produced so far, this piece included; a choice
    is over with the piece that has a `finish`.
    """

    choice: int
    text: str
    tokens: int
    finish: Finish | None = None


class Answer(Protocol):
    """The answer to one ask, as it comes."""

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt, counted once however many choices were asked for."""
        ...

    async def next(self) -> tuple[TextDelta, ...]:
        """Return what has come since the last time, waiting for at least one piece.

        The empty tuple means that every choice is over. CallError when the engine turns the
        call away or fails.
        """
        ...


class Engine(Protocol):
    """A model that can be asked."""

    @property
    def model(self) -> str:
        """The name under which the model is asked for."""
        ...

    @property
    def context_tokens(self) -> int:
        """The most tokens a prompt and its answer can have together."""
        ...

    def generate(self, ask: GenerationRequest) -> AbstractAsyncContextManager[Answer]:
        """Begin to answer; leaving the context frees what the call still holds.

        CallError 400 `context_length_exceeded` when the prompt does not fit, CallError 503
        `engine_overloaded` when too many calls wait already.
        """
        ...

    async def close(self) -> None:
        """End every call that still runs, and let go of the machine."""
        ...


def check_fits(prompt_tokens: int, context_tokens: int) -> None:
    """CallError 400 unless the prompt leaves room for at least one token of answer."""
    if prompt_tokens >= context_tokens:
        raise CallError(
            400,
            f"This model's maximum context length is {context_tokens} tokens. However, your "
            f"messages resulted in {prompt_tokens} tokens. Please reduce the length of the messages.",
            code="context_length_exceeded",
            param="messages",
        )


def overloaded(waiting: int) -> CallError:
    """The refusal of a call that would wait behind too many others."""
    return CallError(
        503,
        f"{waiting} calls wait for a slot already; try again later",
        kind="server_error",
        code="engine_overloaded",
    )
