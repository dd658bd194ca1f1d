"""An answer of OpenAI's chat completions, as far as a translation reads it.

Vendors who speak the dialect write some of it otherwise: Mistral's and Databricks' thinking models write
their content as a list of parts, thoughts among them; OpenRouter and newer vLLM call thoughts `reasoning`;
some number every call of a tool 0, some give none of them a number, some repeat an id with every piece, and
some write arguments as an object.

Sources: https://platform.openai.com/docs/api-reference/chat/object,
https://docs.mistral.ai/capabilities/reasoning/, https://openrouter.ai/docs/use-cases/reasoning-tokens,
https://docs.databricks.com/aws/en/machine-learning/model-serving/query-reason-models
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec


class Function(msgspec.Struct):
    """Function that is called; in a stream, a piece of it."""

    needed: ClassVar = frozenset({"name", "arguments"})
    name: str | None = None
    arguments: str | dict[str, Any] | None = None

    @property
    def written(self) -> str:
        """The arguments, or a piece of them, as text."""
        given = self.arguments
        if given is None or isinstance(given, str):
            return given or ""
        return msgspec.json.encode(given).decode()


class ToolCall(msgspec.Struct):
    """One of `tool_calls`; in a stream, a piece of one."""

    needed: ClassVar = frozenset({"function"})
    index: int | None = None
    id: str | None = None
    function: Function = msgspec.field(default_factory=Function)


class Part(msgspec.Struct):
    """A part of content that is a list: a text, or thoughts."""

    type: str = ""
    text: str | None = None
    thinking: str | list[Part] | None = None
    summary: list[Part] | None = None

    @property
    def thought(self) -> str:
        """Text of the thought."""
        inner = self.thinking or self.summary or ()
        if isinstance(inner, str):
            return inner
        return "".join(part.text or part.thought for part in inner)


class ThinkingBlock(msgspec.Struct):
    """Thoughts with their signature, as whoever speaks for Anthropic's models hands them on."""

    type: str = ""
    thinking: str = ""
    signature: str = ""
    data: str = ""


class Said(msgspec.Struct):
    """A message, or in a stream what came of it."""

    needed: ClassVar = frozenset({"content", "tool_calls"})
    content: str | list[Part] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    """Name that some upstreams (OpenRouter, newer vLLM) have for `reasoning_content`."""
    thinking_blocks: list[ThinkingBlock] | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    """The one call of a tool, as it was written before there could be several."""

    @property
    def calls(self) -> Sequence[ToolCall]:
        """The tools that are called, or pieces of that."""
        only = self.function_call
        if self.tool_calls or only is None or not (only.name or only.arguments):
            return self.tool_calls or ()
        return (ToolCall(0, None, only),)

    @property
    def thought(self) -> str:
        """Text of the reasoning."""
        told = self.reasoning_content or self.reasoning
        if told or not isinstance(self.content, list):
            return told or ""
        return "".join(part.thought for part in self.content)

    @property
    def written(self) -> str:
        """Text of the message, without a refusal."""
        content = self.content
        if isinstance(content, list):
            return "".join(part.text or "" for part in content)
        return content or ""

    @property
    def text(self) -> str:
        """Text of the message, or of its refusal."""
        content = self.content
        if isinstance(content, list):
            content = self.written
        return content or self.refusal or ""


class Logprobs(msgspec.Struct):
    """Log probabilities of the answer's tokens."""

    content: list[dict[str, Any]] | None = None


class Choice(msgspec.Struct):
    """The one choice that there is."""

    needed: ClassVar = frozenset({"message", "delta"})
    message: Said = msgspec.field(default_factory=Said)
    delta: Said = msgspec.field(default_factory=Said)
    logprobs: Logprobs | None = None
    finish_reason: str | None = None
    stop_reason: Any = None
    """Stop string that ended it, by an extension of vLLM's."""

    @property
    def sureness(self) -> list[dict[str, Any]]:
        """A log probability for each token of the content, where it was asked for."""
        return (self.logprobs and self.logprobs.content) or []


class Completion(msgspec.Struct):
    """A completion or an event of one."""

    needed: ClassVar = frozenset({"choices"})
    id: str | None = None
    created: int | float | None = None
    model: str | None = None
    choices: list[Choice] | None = None

    @property
    def created_s(self) -> int:
        """Time of creation in Unix seconds, without the fraction that some upstreams write; 0 for none."""
        return int(self.created or 0)

    @property
    def first(self) -> Choice | None:
        """The choice that is translated."""
        return self.choices[0] if self.choices else None


COMPLETIONS = msgspec.json.Decoder(Completion)
"""Reads completions and their events."""
