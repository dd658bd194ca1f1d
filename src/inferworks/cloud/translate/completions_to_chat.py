"""A client of OpenAI's older completions, served by an upstream that has chats only.

The prompt becomes the one message of a user. That is not what a completion was (the model answers the text
instead of going on with it), but it is what every upstream without completions can do, and what those of
OpenAI's models do that have lost theirs. What a chat cannot do is refused: several prompts, tokens,
`suffix`, `echo`, `best_of`, `logprobs`. A completion without a limit is one of 16 tokens, as the reference
has it. What a model thinks before it speaks has no place in a completion and is left out.

Source: https://platform.openai.com/docs/api-reference/completions
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.chat_answer import Said
from inferworks.cloud.translate.fields import (
    FieldRules,
    Fields,
    cannot,
    passed,
    read_answer,
    read_request,
)
from inferworks.http.sse import DONE, event_data

_DEFAULT_MAX_TOKENS: Final = 16
_RULES = FieldRules(
    "a chat API",
    translated={"prompt"},
    dropped=(),
    refused={"suffix": ("",), "echo": (False,), "best_of": (1,), "logprobs": ()},
)


class _Request(msgspec.Struct):
    prompt: str | list[str | int | list[int]]
    max_tokens: int | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    message: Said = msgspec.field(default_factory=Said)
    delta: Said = msgspec.field(default_factory=Said)
    finish_reason: str | None = None


class _Chat(msgspec.Struct):
    """A chat completion or an event of one."""

    id: str = ""
    created: int = 0
    model: str = ""
    choices: list[_Choice] = []
    usage: Fields | None = None


_read_body = msgspec.json.Decoder(_Request).decode
_read_chat = msgspec.json.Decoder(_Chat).decode


@dataclass(frozen=True, slots=True)
class CompletionsToChat:
    """`completions` by way of `chat.completions`."""

    @property
    def source(self) -> Operation:
        """What the caller asked for."""
        return Operation.COMPLETIONS

    @property
    def target(self) -> Operation:
        """What the upstream is asked for."""
        return Operation.CHAT

    def ask(self, call: Call) -> Call:
        """`call` as a chat. CallError 400 for what a chat cannot do."""
        request = read_request(call.body, _read_body)
        fields = passed(call.body, _RULES)
        fields["messages"] = [{"role": "user", "content": _one_text(request.prompt)}]
        if request.max_tokens is None:
            fields["max_tokens"] = _DEFAULT_MAX_TOKENS
        body = msgspec.json.encode(fields)
        return msgspec.structs.replace(call, operation=self.target, body=body, wants_usage=True)

    def answer(self, call: Call, data: bytes) -> bytes:
        """A whole chat completion as a completion."""
        chat = read_answer(data, _read_chat)
        choices = [_choice(choice, choice.message) for choice in chat.choices]
        return msgspec.json.encode(
            _completion(call, chat, choices, with_usage=chat.usage is not None)
        )

    def refusal(self, status: int, data: bytes) -> bytes:
        """Both write their errors alike."""
        return data

    def stream(self, call: Call) -> CompletionsStream:
        """A chat's events as a completion's."""
        return CompletionsStream(call)


class CompletionsStream:
    """One stream on its way to a client of completions."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def event(self, event: bytes) -> bytes:
        """The completion's event for one of the chat; nothing for one that says nothing."""
        data = event_data(event)
        if not data or data == DONE:
            return event
        chat = read_answer(data, _read_chat)
        said = [c for c in chat.choices if c.delta.text or c.finish_reason]
        tells = self._call.wants_usage and chat.usage is not None
        if not said and not (tells and not chat.choices):
            return b""
        choices = [_choice(choice, choice.delta) for choice in said]
        completion = _completion(self._call, chat, choices, with_usage=tells)
        return b"data: " + msgspec.json.encode(completion) + b"\n\n"


def _one_text(prompt: str | list[str | int | list[int]]) -> str:
    if isinstance(prompt, str):
        return prompt
    if len(prompt) == 1 and isinstance(prompt[0], str):
        return prompt[0]
    raise cannot("prompt", "must be one text: the model is served by a chat API", "prompt")


def _choice(choice: _Choice, said: Said) -> Fields:
    finish = choice.finish_reason
    return {
        "text": said.text,
        "index": choice.index,
        "logprobs": None,
        "finish_reason": finish if finish in {None, "length", "content_filter"} else "stop",
    }


def _completion(call: Call, chat: _Chat, choices: list[Fields], *, with_usage: bool) -> Fields:
    fields = {
        "id": "cmpl-" + chat.id.removeprefix("chatcmpl-"),
        "object": "text_completion",
        "created": chat.created,
        "model": chat.model or call.model,
        "choices": choices,
    }
    return {**fields, "usage": chat.usage} if with_usage else fields
