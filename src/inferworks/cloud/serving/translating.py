"""A provider that can be sent more than it speaks: what it does not speak is translated for it.

    messages --ask--> chat.completions --provider--> events --event--> messages

It is a `Provider` around a `Provider`, so neither the route nor the loop of attempts knows of
translations. What the provider speaks itself passes it by untouched. Translations are chained over one
station at most (messages -> chat -> converse), the shortest way first.

What an answer has used is read before it is translated, from the upstream's own words, and where those tell
nothing it is guessed here from them: so a caller is shown what it is charged, whatever its dialect. A
translation that fails is a failure of ours, whatever the upstream wrote: it has answered, and is paid. What
it told goes with the error, and nobody else is asked.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence, Set
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec

from inferworks.catalog.facts import ANYTHING
from inferworks.cloud.bodies.aside import LARGE_TO_PUT_OVER_BYTES, aside
from inferworks.cloud.call import Call, Chunk, Reply
from inferworks.cloud.offer import Offer
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.base import Provider
from inferworks.cloud.routing.token_estimate import StreamTokens, prompt_tokens, whole_usage
from inferworks.cloud.serving.lacking import lacking
from inferworks.cloud.serving.left_out import left_out_text
from inferworks.cloud.translate.base import StreamTranslation, Translation
from inferworks.cloud.translate.sent_names import in_sent_names, sent_name
from inferworks.errors import CallError, UntranslatableError, UpstreamError
from inferworks.http.sse import EventSplitter
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Tokens

_log = logging.getLogger("inferworks.translate")

Way = tuple[Translation, ...]
"""The translations between a caller's operation and one that the provider speaks, in order."""


class TranslatingProvider:
    """`provider`, and whatever `translations` make of it."""

    def __init__(self, provider: Provider, translations: Sequence[Translation]) -> None:
        self.name = provider.name
        self._provider = provider
        self._ways = ways(provider.operations, translations)
        self.operations: Set[Operation] = frozenset(provider.operations | self._ways.keys())
        """Operations of the provider, and those that can be translated to them."""

    def send(self, offer: Offer, call: Call) -> AbstractAsyncContextManager[Reply]:
        """Send `call` to `offer`, in words that the provider speaks."""
        way = self._ways.get(call.operation)
        return (
            self._provider.send(offer, call) if way is None else self._translated(offer, call, way)
        )

    @asynccontextmanager
    async def _translated(self, offer: Offer, call: Call, way: Way) -> AsyncIterator[Reply]:
        # the call, and what each translation made of it; what is told of it names the fields that came
        asked_as = offer.upstream_model or offer.model
        asked = [msgspec.structs.replace(call, lenient=offer.lenient, asked_as=asked_as)]
        for number, translation in enumerate(way):
            facts = offer.facts if translation is way[-1] else ANYTHING
            before = msgspec.structs.replace(asked[-1], facts=facts)
            large = len(before.body) > LARGE_TO_PUT_OVER_BYTES
            args = (translation, before, way[:number])
            asked.append(await aside(put_over, *args) if large else put_over(*args))
        left_out = left_out_text(asked[-1].left_out)
        async with self._provider.send(offer, asked[-1]) as reply:
            back = list(zip(reversed(way), reversed(asked[:-1]), strict=True))
            if reply.first.last:
                large = len(reply.first.data) > LARGE_TO_PUT_OVER_BYTES
                whole = await aside(_whole, reply, back) if large else _whole(reply, back)
                lacks = lacking(reply.status, reply.first.data) is not None
                reported = left_out or lacks
                yield (
                    msgspec.structs.replace(whole, left_out=left_out, lacks=lacks)
                    if reported
                    else whole
                )
            else:
                rest = _Rest(reply.rest, call, [t.stream(before) for t, before in back])
                first = await rest.put_back(reply.first)
                yield msgspec.structs.replace(
                    reply, first=first, rest=rest, headers=(), left_out=left_out
                )


def put_over(translation: Translation, call: Call, earlier: Way) -> Call:
    """`call` in the words of the translation's target, after those of `earlier`."""
    try:
        after = translation.ask(call)
    except CallError as error:
        message, param = error.message, error.param
        for translated in reversed(earlier):
            message = in_sent_names(message, translated.sent_names)
            param = param and sent_name(param, translated.sent_names)
        raise CallError(error.status, message, code=error.code, param=param) from error
    new = after.left_out[len(call.left_out) :]
    for translated in reversed(earlier):
        new = tuple(sent_name(name, translated.sent_names) for name in new)
    return msgspec.structs.replace(after, left_out=(*call.left_out, *new))


class _Rest:
    """The chunks after the first, put back into the caller's words."""

    def __init__(
        self, rest: AsyncIterator[Chunk], call: Call, streams: Sequence[StreamTranslation]
    ) -> None:
        self._rest = rest
        self._call = call
        self._streams = streams
        self._is_told = False
        self._sent: int | None = None
        self._made = StreamTokens()
        """Estimated usage so far, as long as the upstream reports none."""

    def __aiter__(self) -> _Rest:
        return self

    async def __anext__(self) -> Chunk:
        return await self.put_back(await anext(self._rest))

    async def put_back(self, chunk: Chunk) -> Chunk:
        """`chunk` in the caller's words."""
        if len(chunk.data) > LARGE_TO_PUT_OVER_BYTES:
            return await aside(self.put_over, chunk)
        return self.put_over(chunk)

    def put_over(self, chunk: Chunk) -> Chunk:
        """The same at once, which takes its time for a large one."""
        data, reported = chunk.data, chunk.reported
        if reported is not None and not reported.is_input_only:
            self._is_told = True
        elif not self._is_told:
            if reported is not None:
                self._sent = reported.tokens.input
            elif self._sent is None:
                self._sent = prompt_tokens(self._call)
            made = self._made.tokens if chunk.last else self._made.see(data)
            reported = ReportedUsage(Tokens(self._sent, made), is_estimate=True)
        try:
            for stream in self._streams:
                data = b"".join([stream.event(event, reported) for event in _events(data)])
        except Exception as error:
            raise _untranslatable(error, reported) from error
        return msgspec.structs.replace(chunk, data=data, reported=reported)


def _untranslatable(error: Exception, reported: ReportedUsage | None) -> UntranslatableError:
    """The failure of a translation, with what the upstream has told before it."""
    if not isinstance(error, UpstreamError | CallError):
        _log.exception("an answer cannot be translated")
    failure = UntranslatableError(error)
    failure.reported = reported
    return failure


def _events(data: bytes) -> list[bytes]:
    """The events in `data`, each with its ending; the last may have none."""
    if data.find(b"\n\n") == len(data) - 2 and b"\r" not in data:
        return [data]  # one event, as most come
    splitter = EventSplitter()
    events = splitter.feed(data)
    rest = splitter.rest
    return [*events, rest] if rest else events


def _whole(reply: Reply, back: Sequence[tuple[Translation, Call]]) -> Reply:
    """A whole answer, or a refusal, in the caller's words."""
    data, reported = reply.first.data, reply.first.reported
    if reply.status >= 300:
        for translation, _ in back:
            data = translation.refusal(reply.status, data)
    else:
        reported, _ = whole_usage(back[-1][1], reply.first, reply.content_type)
        try:
            for translation, before in back:
                data = translation.answer(before, data, reported)
        except Exception as error:
            raise _untranslatable(error, reported) from error
    first = msgspec.structs.replace(reply.first, data=data, reported=reported)
    kind = b"application/json"
    return msgspec.structs.replace(reply, content_type=kind, first=first, headers=())


def ways(spoken: Set[Operation], translations: Sequence[Translation]) -> Mapping[Operation, Way]:
    """Return the shortest chain of translations for each operation that the provider itself lacks."""
    found: dict[Operation, Way] = {}
    direct = [t for t in translations if t.target in spoken]
    for translation in direct:
        if translation.source not in spoken:
            found.setdefault(translation.source, (translation,))
    for first in translations:
        for second in direct:
            if first.target == second.source and first.source not in spoken:
                found.setdefault(first.source, (first, second))
    return found
