"""What OpenAI's chat completions and completions tell, and everybody's who speaks like it.

Two things are taken out unless the client asked for them: the usage event of a stream, and the running
usage in its other events (`continuous_usage_stats`, an extension of vLLM). Cached tokens are part of the
prompt's in this dialect, reasoning and audio part of their side's; who speaks it and counts otherwise has
a `Counting` of its own. Some tell of the cache beside the details: Moonshot and Anthropic as
`cached_tokens`, DeepSeek as `prompt_cache_hit_tokens`, Databricks as `cache_read_input_tokens`.

Every event is read, though only as far as its usage and its errors (0.3 microseconds each). Rejected:
looking for `"usage":` in the bytes, which misses an upstream that writes a space after its colons, and
then a whole stream is billed by estimate.

Source: https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from inferworks.cloud.call import Call, Chunk, Told
from inferworks.cloud.readers.counting import AS_OPENAI, Counting, whole_input, whole_output
from inferworks.cloud.readers.fitted import fitted
from inferworks.errors import UpstreamError
from inferworks.http.sse import DONE, event_data
from inferworks.meter.usage import Tokens

Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
"""A number of tokens, as any dialect writes it."""


class _PromptDetails(msgspec.Struct):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    audio_tokens: Count | None = None
    image_tokens: Count | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: Count | None = None
    audio_tokens: Count | None = None
    image_tokens: Count | None = None


_NO_PROMPT_DETAILS = _PromptDetails()
_NO_COMPLETION_DETAILS = _CompletionDetails()


class Usage(msgspec.Struct):
    """The `usage` object of a chat completion."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    total_tokens: Count | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    cached_tokens: Count | None = None
    prompt_cache_hit_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    reasoning_tokens: Count | None = None


class _Body(msgspec.Struct):
    """What we read of an answer or an event; the rest passes unseen."""

    usage: Usage | None = None
    choices: list[msgspec.Raw] | None = None
    error: dict[str, msgspec.Raw] | str | None = None
    service_tier: str | None = None


_read_body = msgspec.json.Decoder(_Body).decode
_read_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class ChatReader:
    """Reads a chat completion, or a completion of the older kind."""

    def __init__(
        self, call: Call, *, running_usage: bool = False, counting: Counting = AS_OPENAI
    ) -> None:
        """`running_usage` says that the upstream was asked for `continuous_usage_stats`."""
        self._counting = counting
        self._wants_usage = call.wants_usage
        self._wants_running = call.wants_running_usage or not running_usage

    def whole(self, data: bytes) -> Chunk:
        """A whole completion."""
        body = _read(data)
        return Chunk(data, _told(body, self._counting), last=True)

    def event(self, event: bytes) -> Chunk:
        """One event; the usage event and the running usage stay out unless the client asked."""
        data = event_data(event)
        if data == DONE:
            return Chunk(event, last=True)
        if not data:
            return Chunk(event)  # a comment
        body = _read(data)
        if body.usage is None:
            return Chunk(event)
        told = _told(body, self._counting)
        if not body.choices:
            return Chunk(event if self._wants_usage else b"", told)
        return Chunk(event if self._wants_running else _without_usage(data), told)


def _without_usage(data: bytes) -> bytes:
    """The event of `data` less its running usage, which only we asked for."""
    fields = _read_fields(data)
    del fields["usage"]
    return b"data: " + msgspec.json.encode(fields) + b"\n\n"


def _read(data: bytes) -> _Body:
    """What an answer or an event tells. UpstreamError when it tells of an error, or nothing readable."""
    try:
        body = _read_body(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError(f"the answer cannot be read: {error}", sent=True) from error
    if body.error and not body.choices:
        raise UpstreamError("the answer broke off with an error", sent=True)
    return body


def _told(body: _Body, counting: Counting) -> Told | None:
    if body.usage is None:
        return None
    return Told(tokens_of(body.usage, counting), service_tier=body.service_tier or "")


def tokens_of(usage: Usage, counting: Counting = AS_OPENAI) -> Tokens:
    """The counts as ours, in which the details are parts of the totals."""
    if _is_plain(usage):
        return Tokens(usage.prompt_tokens, usage.completion_tokens)
    prompt = usage.prompt_tokens_details or _NO_PROMPT_DETAILS
    completion = usage.completion_tokens_details or _NO_COMPLETION_DETAILS
    read, written = _cache(usage, prompt)
    input_tokens = whole_input(usage.prompt_tokens, read + written, counting)
    thought = _first(completion.reasoning_tokens, usage.reasoning_tokens)
    output_tokens, reasoning = whole_output(
        usage.completion_tokens, thought, usage.total_tokens, input_tokens, counting
    )
    return fitted(
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


def _cache(usage: Usage, details: _PromptDetails) -> tuple[int, int]:
    """Tokens read from the cache and written to it, from the first place that tells of them."""
    read = _first(
        details.cached_tokens,
        usage.cached_tokens,
        usage.prompt_cache_hit_tokens,
        usage.cache_read_input_tokens,
    )
    return read, _first(details.cache_write_tokens, usage.cache_creation_input_tokens)


def _first(*counts: int | None) -> int:
    """The first count that is told; an explicit zero is one."""
    for count in counts:
        if count is not None:
            return count
    return 0


def _is_plain(usage: Usage) -> bool:
    """Whether it tells two counts and their sum at most: the common case of a small engine's answer."""
    return (
        usage.prompt_tokens_details is None
        and usage.completion_tokens_details is None
        and usage.total_tokens in {None, usage.prompt_tokens + usage.completion_tokens}
        and usage.cached_tokens is None
        and usage.prompt_cache_hit_tokens is None
        and usage.cache_read_input_tokens is None
        and usage.cache_creation_input_tokens is None
        and usage.reasoning_tokens is None
    )
