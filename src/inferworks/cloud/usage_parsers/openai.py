"""Usage parser of OpenAI's chat completions and completions, also for compatible APIs.

Three things are taken out unless the client asked for them: the usage event of a stream, the running usage
in its other events (`continuous_usage_stats`, an extension of vLLM), and the `"usage": null` that OpenAI
writes into them where it was asked for usage: clients that check types know no such value.

Cached tokens are part of the prompt's in this dialect, reasoning and audio part of their side's; a provider
that counts otherwise has a `Counting` of its own. Some report the cache beside the details: Moonshot and
Anthropic as `cached_tokens`, DeepSeek as `prompt_cache_hit_tokens`, Databricks as
`cache_read_input_tokens`.

Every event is read, though only as far as its usage and its errors (0.3 microseconds each). Rejected:
looking for `"usage":` in the bytes, which misses an upstream that writes a space after its colons, and then
a whole stream is billed by estimate.

Counts of a stream are cumulative, so none falls: some upstreams report zeros after their usage, or before
it. A side that is missing is the total less the other. A stream ends with `[DONE]`; where that does not
come, a body that ends in order behind the `finish_reason` of every choice is whole too. Without a choice
there is no answer, whatever its end looks like.

Source: https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from inferworks.cloud.bodies.lenient import fitted_or_unreadable, leniently, with_whole_letters
from inferworks.cloud.bodies.rewrite import read_fields, without_value
from inferworks.cloud.call import Call, Chunk
from inferworks.cloud.operation import Operation
from inferworks.cloud.routing.token_estimate import answer_tokens, sides
from inferworks.cloud.usage_parsers.clamped import clamped, highest
from inferworks.cloud.usage_parsers.in_band import (
    LONGEST_EMPTY_BYTES,
    is_empty,
    refusal,
    tells_an_error,
)
from inferworks.cloud.usage_parsers.request_fields import asked
from inferworks.dialects.openai_chat import MeteredChatRequest, MeteredChoices, MeteredCompletion
from inferworks.dialects.openai_usage import InputTokenDetails, OutputTokenDetails, PromptUsage
from inferworks.dialects.token_conventions import (
    AS_OPENAI,
    Counting,
    whole_input,
    whole_output,
)
from inferworks.errors import UnreadableError
from inferworks.http.sse import DONE, event_data
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import NO_ITEMS, Tokens

Changed = TypeVar("Changed")


_NO_PROMPT_DETAILS = InputTokenDetails()
_NO_COMPLETION_DETAILS = OutputTokenDetails()


_NULL = b',"usage":null'
_NULL_BYTES = len(_NULL)
_NO_CHOICES = msgspec.Raw(b"null")
_UNSET = msgspec.UNSET
_LIST_OR_NULL = frozenset(b"[n")
_DONE_EVENT = b"data: %b\n\n" % DONE
_MOST_CHOICES = 4096
_LITTLE_BYTES = 4096
_NEVER_ALL = frozenset({-1})
"""Stands for the choices of a request that asks for more: an end that is not told is none there."""
_read_body = msgspec.json.Decoder(MeteredCompletion).decode
_read_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


class ChatReader:
    """Reads a chat completion, or a completion of the older kind."""

    _choices = _NO_CHOICES
    """Choices of the newest event that has any."""
    _reported: ReportedUsage | None = None
    """Usage that a stream has reported before."""

    def __init__(
        self, call: Call, *, running_usage: bool = False, counting: Counting = AS_OPENAI
    ) -> None:
        """`running_usage` says that the upstream was asked for `continuous_usage_stats`."""
        self._call = call
        self._counting = counting
        self._wants_usage = call.wants_usage
        self._wants_running = call.wants_running_usage or not running_usage
        self._open = _several(call) if call.stream else None
        """Choices that have not come to their end; None where one is asked for, as nearly always."""

    def whole(self, data: bytes) -> Chunk:
        """A whole completion."""
        body = _read(data)
        reported = self._tells(body, data)
        if not body.usage and is_empty(body.choices):
            raise refusal(data) if tells_an_error(data) else UnreadableError("it has no choices")
        return Chunk(data, reported, last=True)

    def event(self, event: bytes) -> Chunk:
        """One event; the usage event and the running usage stay out unless the client asked."""
        data = event_data(event)
        if data == DONE:
            if self._choices is _NO_CHOICES:
                error = UnreadableError("it has no choices")
                error.reported = self._reported
                raise error
            return Chunk(event, last=True)
        if not data:
            return Chunk(event)  # a comment
        body = _read(data)
        usage, choices = body.usage, body.choices
        if usage is _UNSET or usage is None:
            if len(choices) >= LONGEST_EMPTY_BYTES or not is_empty(choices):
                self._choices = choices
                if self._open:
                    self._open -= _ended_of(choices)
            elif tells_an_error(data):
                raise refusal(data)
            if usage is None and not self._wants_usage:
                return Chunk(_without_null(event, data))
            return Chunk(event)
        reported = self._tells(body)
        if is_empty(choices):
            return Chunk(event if self._wants_usage else b"", reported)
        self._choices = choices
        if self._open:
            self._open -= _ended_of(choices)
        if self._wants_running:
            return Chunk(event, reported)
        fields = _strictly(read_fields, data)  # less the running usage, which only we asked for
        del fields["usage"]
        return Chunk(b"data: %b\n\n" % msgspec.json.encode(fields), reported)

    def ended(self) -> Chunk | None:
        """The last chunk of a stream that ends without `[DONE]`; None when it is not whole."""
        if self._choices is _NO_CHOICES:
            return None
        is_whole = _has_ended(self._choices) if self._open is None else not self._open
        return Chunk(_DONE_EVENT, last=True) if is_whole else None

    def _tells(self, body: MeteredCompletion, whole: bytes = b"") -> ReportedUsage | None:
        """Return the usage that `body` and those before it report; `whole` is a whole answer's body."""
        usage = body.usage
        if usage is _UNSET or usage is None:
            return None
        before, is_guess = self._reported, False
        sent, made = usage.prompt_tokens, usage.completion_tokens
        if sent is None or made is None:
            written = answer_tokens(self._call, whole) if whole else None  # amid a stream: unknown
            both = sides(self._call, sent, made, usage.total_tokens, written)
            if both is None:  # amid a stream no more than the input may be told
                if before is not None or sent is None:
                    return before
                tokens = tokens_of(usage, self._counting)
                return ReportedUsage(tokens, is_estimate=True, is_input_only=True)
            is_guess = both.is_guess
            usage = msgspec.structs.replace(
                usage, prompt_tokens=both.sent, completion_tokens=both.made
            )
        reported = ReportedUsage(
            tokens_of(usage, self._counting), NO_ITEMS, body.service_tier or ""
        )
        if is_guess:
            reported = msgspec.structs.replace(reported, is_estimate=True)
        if before is not None:
            reported = highest(before, reported)
        self._reported = reported
        return reported


def _without_null(event: bytes, data: bytes) -> bytes:
    """`event`, whose `data` has a `usage` that is null, without it; every other byte stays."""
    at = event.rfind(_NULL)
    if at >= 0 and event.find(b"}", at) == event.rfind(b"}"):  # all ends there: it is no inner one
        return event[:at] + event[at + _NULL_BYTES :]
    if data not in event:  # it came in several lines
        event = b"data: %b\n\n" % data.replace(b"\n", b" ")
        data = event_data(event)
    return event.replace(data, _strictly(lambda whole: without_value(whole, "usage"), data), 1)


def _strictly(change: Callable[[bytes], Changed], data: bytes) -> Changed:
    """Apply `change` to `data`, in which there may be half a letter."""
    try:
        return change(data)
    except msgspec.DecodeError:
        return change(with_whole_letters(data))


def _read(data: bytes) -> MeteredCompletion:
    """Read an answer or an event. UpstreamError when it is an error, or unreadable."""
    try:
        body = _read_body(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = fitted_or_unreadable(data, MeteredCompletion)
    if bytes(body.choices)[0] not in _LIST_OR_NULL:
        raise UnreadableError("its choices are no list")
    if len(body.error) and not is_empty(body.error):
        if is_empty(body.choices):
            raise refusal(data)
        if _has_ended(body.choices, "error"):  # one beside what an answer says is none
            raise refusal(b'{"error":%b}' % bytes(body.error))
    return body


def _several(call: Call) -> frozenset[int] | None:
    """The numbers of the choices that are asked for; None for one: of each prompt there may be some."""
    # three bytes are quickly looked for in little; in much it takes longer than to read all of it
    is_little = len(call.body) < _LITTLE_BYTES and call.operation is not Operation.COMPLETIONS
    if is_little and b'"n"' not in call.body:
        return None
    request = asked(call, MeteredChatRequest)
    prompts = _read_list(request.prompt) if bytes(request.prompt).startswith(b"[") else []
    are_tokens = bool(prompts) and bytes(prompts[0]).isdigit()
    number = (request.n or 1) * (1 if are_tokens else max(1, len(prompts)))
    if number > _MOST_CHOICES:
        return _NEVER_ALL
    return frozenset(range(number)) if number > 1 else None


def _ended_of(choices: msgspec.Raw) -> frozenset[int]:
    """The numbers of those of `choices` that say that they have come to their end."""
    read = leniently(b'{"choices":%b}' % bytes(choices), MeteredChoices).choices or ()
    return frozenset(choice.index or 0 for choice in read if choice.finish_reason)


def _has_ended(choices: msgspec.Raw, finish: str = "") -> bool:
    """Return True when one of `choices` has ended, with the reason `finish` if one is given."""
    read = leniently(b'{"choices":%b}' % bytes(choices), MeteredChoices).choices or ()
    return any(c.finish_reason and finish in {"", c.finish_reason} for c in read)


def tokens_of(usage: PromptUsage, counting: Counting = AS_OPENAI) -> Tokens:
    """The counts as ours, in which the details are parts of the totals."""
    sent, made = usage.prompt_tokens or 0, usage.completion_tokens or 0
    if (
        usage.prompt_tokens_details is None
        and usage.completion_tokens_details is None
        and usage.total_tokens in {None, sent + made}
        and usage.cached_tokens is None
        and usage.prompt_cache_hit_tokens is None
        and usage.cache_read_input_tokens is None
        and usage.cache_creation_input_tokens is None
        and usage.reasoning_tokens is None
    ):  # two counts and their sum at most, as a small engine's answers have
        return Tokens(sent, made)
    prompt = usage.prompt_tokens_details or _NO_PROMPT_DETAILS
    completion = usage.completion_tokens_details or _NO_COMPLETION_DETAILS
    read = _first(
        prompt.cached_tokens,
        usage.cached_tokens,
        usage.prompt_cache_hit_tokens,
        usage.cache_read_input_tokens,
    )
    written = _first(prompt.cache_write_tokens, usage.cache_creation_input_tokens)
    input_tokens = whole_input(sent, read + written, counting)
    thought = _first(completion.reasoning_tokens, usage.reasoning_tokens)
    output_tokens, reasoning = whole_output(
        made, thought, usage.total_tokens, input_tokens, counting
    )
    return clamped(
        Tokens(
            input_tokens,
            output_tokens,
            cache_read=read,
            cache_write=written,
            reasoning=reasoning,
            input_audio=prompt.audio_tokens or 0,
            output_audio=completion.audio_tokens or 0,
            input_image=prompt.image_tokens or 0,
            output_image=completion.image_tokens or 0,
        )
    )


def _first(*counts: int | None) -> int:
    """The first count that is told; an explicit zero is one."""
    for count in counts:
        if count is not None:
            return count
    return 0
