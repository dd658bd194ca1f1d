"""An answer of OpenAI's chat completions, as far as a translation reads it."""

from __future__ import annotations

from typing import Any

import msgspec

from inferworks.cloud.readers.openai import Usage, tokens_of
from inferworks.cloud.translate.anthropic_terms import STOP_REASONS
from inferworks.meter.usage import NO_TOKENS, Tokens


class Function(msgspec.Struct):
    """What is called; in a stream, a piece of it."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(msgspec.Struct):
    """One of `tool_calls`; in a stream, a piece of one."""

    index: int | None = None
    id: str | None = None
    function: Function = msgspec.field(default_factory=Function)


class Said(msgspec.Struct):
    """A message, or in a stream what came of it."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    """What some upstreams (OpenRouter, newer vLLM) call `reasoning_content`."""
    tool_calls: list[ToolCall] | None = None

    @property
    def thought(self) -> str:
        """What was thought and not said."""
        return self.reasoning_content or self.reasoning or ""

    @property
    def text(self) -> str:
        """What was said."""
        return self.content or self.refusal or ""


class Logprobs(msgspec.Struct):
    """How sure the model was of each token of what it said."""

    content: list[dict[str, Any]] | None = None


class Choice(msgspec.Struct):
    """The one choice that there is."""

    message: Said = msgspec.field(default_factory=Said)
    delta: Said = msgspec.field(default_factory=Said)
    logprobs: Logprobs | None = None
    finish_reason: str | None = None
    stop_reason: Any = None
    """Which stop string ended it, by an extension of vLLM's."""

    @property
    def sureness(self) -> list[dict[str, Any]]:
        """A log probability for each token of the content, where it was asked for."""
        return (self.logprobs and self.logprobs.content) or []


class Completion(msgspec.Struct):
    """A completion or an event of one."""

    id: str = ""
    created: int = 0
    model: str = ""
    choices: list[Choice] = []
    usage: Usage | None = None

    @property
    def tokens(self) -> Tokens:
        """What it says it has used."""
        return NO_TOKENS if self.usage is None else tokens_of(self.usage)


read_completion = msgspec.json.Decoder(Completion).decode


def stop_reason(finish: str | None, stopped_by: object, *, calls_tools: bool) -> tuple[str, Any]:
    """Anthropic's `stop_reason` and `stop_sequence`.

    A forced call of a tool ends with `stop` at OpenAI, which to Anthropic is the end of a turn; a call of
    a tool is none, whatever it says.
    """
    if finish == "stop" and isinstance(stopped_by, str):
        return "stop_sequence", stopped_by
    if calls_tools and finish == "stop":
        return "tool_use", None
    return STOP_REASONS.get(finish or "stop", "end_turn"), None
