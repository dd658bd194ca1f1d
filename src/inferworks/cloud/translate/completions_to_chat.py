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
from typing import ClassVar, Final

import msgspec

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.chat_fit import fit_chat
from inferworks.cloud.translate.fields import (
    FieldRules,
    Fields,
    Omissions,
    cannot,
    passed,
    read_answer,
    read_request,
)
from inferworks.cloud.translate.sent_names import (
    COMPLETIONS_TO_CHAT,
    SentNames,
    error_in_sent_names,
)
from inferworks.cloud.translate.usage import chat_usage
from inferworks.dialects.finish_reasons import chat_finish_reason
from inferworks.dialects.openai_chat import COMPLETIONS, AnswerMessage, Choice, Completion
from inferworks.dialects.openai_completions import CompletionsRequest
from inferworks.http.sse import DONE, event_data
from inferworks.meter.reported_usage import ReportedUsage

_DEFAULT_MAX_TOKENS: Final = 16
_RULES = FieldRules(
    "a chat API",
    same={
        "model", "max_tokens", "temperature", "top_p", "n", "stream", "stream_options", "seed", "stop",
        "user", "frequency_penalty", "presence_penalty", "logit_bias",
    },
    translated={"prompt"},
    dropped=(),
    wishes={},
    refused={"suffix": ("",), "echo": (False,), "best_of": (1,), "logprobs": ()},
)  # fmt: skip


_read_body = msgspec.json.Decoder(CompletionsRequest).decode


@dataclass(frozen=True, slots=True)
class CompletionsToChat:
    """`completions` by way of `chat.completions`."""

    source: ClassVar[Operation] = Operation.COMPLETIONS
    target: ClassVar[Operation] = Operation.CHAT
    sent_names: ClassVar[SentNames] = COMPLETIONS_TO_CHAT

    def ask(self, call: Call) -> Call:
        """`call` as a chat. CallError 400 for what a chat cannot do."""
        request = read_request(call.body, _read_body)
        omissions = Omissions(call.lenient)
        fields = passed(call.body, _RULES, omissions)
        match request.prompt:
            case str(text) | [str(text)]:
                fields["messages"] = [{"role": "user", "content": text}]
            case _:
                why = "must be one text: the model is served by a chat API"
                raise cannot("prompt", why, "prompt")
        if request.max_tokens is None:
            fields["max_tokens"] = _DEFAULT_MAX_TOKENS
        fitted = fit_chat(fields, call.facts, omissions.called(COMPLETIONS_TO_CHAT))
        body = msgspec.json.encode(fitted)
        return msgspec.structs.replace(
            call,
            operation=self.target,
            body=body,
            wants_usage=True,
            left_out=(*call.left_out, *omissions.names),
        )

    def answer(self, call: Call, data: bytes, reported: ReportedUsage) -> bytes:
        """A whole chat completion as a completion."""
        chat = read_answer(data, COMPLETIONS)
        choices = [_choice(choice, choice.message) for choice in chat.choices or ()]
        return msgspec.json.encode(_completion(call, chat, choices, reported))

    def refusal(self, status: int, data: bytes) -> bytes:
        """Both write their errors alike, but for the names of fields."""
        return error_in_sent_names(data, self.sent_names)

    def stream(self, call: Call) -> CompletionsStream:
        """A chat's events as a completion's."""
        return CompletionsStream(call)


class CompletionsStream:
    """One stream on its way to a client of completions."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._newest = Completion()
        self._reported: ReportedUsage | None = None

    def event(self, event: bytes, reported: ReportedUsage | None) -> bytes:
        """The completion's event for one of the chat; nothing for one that says nothing.

        What it has used is told before the end, to those who asked.
        """
        self._reported = reported or self._reported
        data = event_data(event)
        if not data:
            return event
        if data == DONE:
            wanted = self._call.wants_usage and self._reported is not None
            return (self._event([], self._reported) if wanted else b"") + event
        chat = self._newest = read_answer(data, COMPLETIONS)
        said = [c for c in chat.choices or () if c.delta.text or c.finish_reason]
        return self._event([_choice(c, c.delta) for c in said]) if said else b""

    def _event(self, choices: list[Fields], reported: ReportedUsage | None = None) -> bytes:
        completion = _completion(self._call, self._newest, choices, reported)
        return b"data: %b\n\n" % msgspec.json.encode(completion)


def _choice(choice: Choice, said: AnswerMessage) -> Fields:
    finish = choice.finish_reason and chat_finish_reason(choice.finish_reason, calls_tools=False)
    return {
        "text": said.text,
        "index": choice.index or 0,
        "logprobs": None,
        "finish_reason": finish if finish in {None, "length", "content_filter"} else "stop",
    }


def _completion(
    call: Call, chat: Completion, choices: list[Fields], reported: ReportedUsage | None
) -> Fields:
    fields = {
        "id": "cmpl-" + (chat.id or call.id).removeprefix("chatcmpl-"),
        "object": "text_completion",
        "created": chat.created_s,
        "model": chat.model or call.model,
        "choices": choices,
    }
    return fields if reported is None else {**fields, "usage": chat_usage(reported)}
