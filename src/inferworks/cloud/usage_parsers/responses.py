"""Usage parser of OpenAI's responses, whole or in typed events.

A stream ends with `response.completed`, `response.incomplete` or `response.failed`; there is no `[DONE]`,
and only that last event reports the usage, all of it. Cached tokens are part of the input in this dialect,
reasoning of the output. A failed response is an answer too: work was done on it, it says why it failed, and
is charged for the usage it reports; one that reports none and has no text has used nothing.

An `error` that is the first event is judged as the status that it carries. Behind others it passes, as do
the events after it: clients heed `response.failed`, which follows. A stream that ends without it has broken
off.

In between a stream reports no usage, yet an answer that breaks off there has been paid for. So the output
is estimated from the deltas (`StreamTokens`). Such a count is marked (`ReportedUsage.is_estimate`) and
gives way to the upstream's own.

Tools that run at the upstream are charged by use: searches of the web as `tool_usage` counts them, or else
as the output lists them (a page that is opened is no search), and images that were made.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

import msgspec

from inferworks.cloud.bodies.bounds import check_answer
from inferworks.cloud.bodies.lenient import fitted_or_unreadable, read_answer
from inferworks.cloud.call import Call, Chunk
from inferworks.cloud.routing.token_estimate import (
    StreamTokens,
    answer_tokens,
    prompt_tokens,
    sides,
)
from inferworks.cloud.usage_parsers.clamped import clamped
from inferworks.cloud.usage_parsers.in_band import is_empty, refusal, tells_an_error
from inferworks.dialects.openai_responses import MeteredEvent, MeteredResponse
from inferworks.dialects.openai_usage import InputTokenDetails, InputUsage, OutputTokenDetails
from inferworks.dialects.token_conventions import (
    AS_OPENAI,
    Counting,
    whole_input,
    whole_output,
)
from inferworks.errors import UnreadableError
from inferworks.http.sse import DONE, event_data
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import NO_ITEMS, NO_TOKENS, Items, Tokens

_LAST = frozenset({"response.completed", "response.incomplete", "response.failed"})


_NO_INPUT_DETAILS = InputTokenDetails()
_NO_OUTPUT_DETAILS = OutputTokenDetails()


_read_response = msgspec.json.Decoder(MeteredResponse)
_read_event = msgspec.json.Decoder(MeteredEvent).decode


class ResponsesReader:
    """Reads a response, whole or in events."""

    def __init__(self, call: Call, *, counting: Counting = AS_OPENAI) -> None:
        self._call = call
        self._counting = counting
        self._input: int | None = None
        """Our own guess at the input, until it is told."""
        self._seen = StreamTokens()
        """Tokens of output, by our own count."""
        self._is_begun = False

    def whole(self, data: bytes) -> Chunk:
        """A whole response, a failed one too."""
        check_answer(data)
        response = read_answer(data, _read_response)
        if response.object != "response" and (not is_empty(response.error) or tells_an_error(data)):
            raise refusal(data)
        written = answer_tokens(self._call, data) if _is_partial(response.usage) else 0
        return Chunk(data, self._reported(response, written), last=True)

    def event(self, event: bytes) -> Chunk:
        """One event; all of them pass."""
        data = event_data(event)
        if not data:
            return Chunk(event)  # a comment
        if data == DONE:
            if not self._is_begun:
                raise UnreadableError("it has no response")
            return Chunk(event, last=True)  # some upstreams end as a chat does
        check_answer(data)
        try:
            body = _read_event(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            body = fitted_or_unreadable(data, MeteredEvent)
        if body.type == "error" or (not body.type and not is_empty(body.error)):
            if not self._is_begun:
                raise refusal(data)
            return Chunk(event)
        self._is_begun = True
        if body.type in _LAST:
            used = (
                None if body.response is None else self._reported(body.response, self._seen.tokens)
            )
            if used is None and body.type == "response.failed" and not self._seen.tokens:
                used = ReportedUsage(NO_TOKENS, is_estimate=True)
            return Chunk(event, used, last=True)
        delta = body.delta
        if not isinstance(delta, str) or not delta:
            return Chunk(event)
        seen = self._seen.see_text(delta)
        if self._input is None:
            self._input = prompt_tokens(self._call)
        return Chunk(event, ReportedUsage(Tokens(self._input, seen), is_estimate=True))

    def ended(self) -> Chunk | None:
        """Return None: only its last event says that a response is whole."""
        return None

    def _reported(self, response: MeteredResponse, written: int) -> ReportedUsage | None:
        """Return the usage, with an estimate of a side that is missing; None when both are."""
        usage = response.usage
        if usage is None or not _is_partial(usage):
            return reported(response, self._counting)
        total = usage.total_tokens
        both = sides(self._call, usage.input_tokens, usage.output_tokens, total, written)
        if both is None:
            return None
        filled = msgspec.structs.replace(usage, input_tokens=both.sent, output_tokens=both.made)
        whole = reported(msgspec.structs.replace(response, usage=filled), self._counting)
        return whole and msgspec.structs.replace(whole, is_estimate=both.is_guess)


def _is_partial(usage: InputUsage | None) -> bool:
    return usage is not None and (usage.input_tokens is None or usage.output_tokens is None)


def reported(response: MeteredResponse, counting: Counting = AS_OPENAI) -> ReportedUsage | None:
    """The counts as ours; None when there are none."""
    if response.usage is None:
        return None
    output = response.output or []
    images = sum(item.is_image for item in output)
    calls = response.usage.tool_calls_details
    if response.tool_usage and response.tool_usage.web_search:
        searches = response.tool_usage.web_search.num_requests
    elif calls and calls.search_web:
        searches = calls.search_web.invocation
    else:
        searches = None
    if searches is None:  # the upstream reports none
        searches = sum(item.is_search for item in output)
    items = Items(images=images, searches=searches) if images or searches else NO_ITEMS
    tokens = tokens_of(response.usage, counting)
    return ReportedUsage(tokens, items, response.service_tier or "")


def tokens_of(usage: InputUsage, counting: Counting = AS_OPENAI) -> Tokens:
    """The counts as ours, in which the details are parts of the totals."""
    details = usage.input_tokens_details or _NO_INPUT_DETAILS
    thought = (usage.output_tokens_details or _NO_OUTPUT_DETAILS).reasoning_tokens or 0
    read, written = details.cached_tokens, details.cache_write_tokens or 0
    if read is None:
        read = details.cache_read_input_tokens or 0
    input_tokens = whole_input(usage.input_tokens or 0, read + written, counting)
    output_tokens, reasoning = whole_output(
        usage.output_tokens or 0, thought, usage.total_tokens, input_tokens, counting
    )
    return clamped(
        Tokens(
            input_tokens, output_tokens, cache_read=read, cache_write=written, reasoning=reasoning
        )
    )
