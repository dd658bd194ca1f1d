"""A provider that can be sent more than it speaks: what it does not speak is translated for it.

    messages --ask--> chat.completions --provider--> events --event--> messages

It is a `Provider` around a `Provider`, so neither the route nor the loop of attempts knows of
translations. What the provider speaks itself passes it by untouched. Translations are chained over one
station at most (messages -> chat -> converse), the shortest way first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence, Set
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec

from inferworks.cloud.call import Call, Chunk, Reply
from inferworks.cloud.offer import Offer
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.base import Provider
from inferworks.cloud.translate.base import StreamTranslation, Translation
from inferworks.http.sse import EventSplitter

Way = tuple[Translation, ...]
"""The translations between a caller's operation and one that the provider speaks, in order."""


class TranslatingProvider:
    """`provider`, and whatever `translations` make of it."""

    def __init__(self, provider: Provider, translations: Sequence[Translation]) -> None:
        self.name = provider.name
        self._provider = provider
        self._ways = ways(provider.operations, translations)
        self._operations = frozenset(provider.operations | self._ways.keys())

    @property
    def operations(self) -> Set[Operation]:
        """What it speaks, and what can be translated to that."""
        return self._operations

    def send(self, offer: Offer, call: Call) -> AbstractAsyncContextManager[Reply]:
        """Send `call` to `offer`, in words that the provider speaks."""
        way = self._ways.get(call.operation)
        return (
            self._provider.send(offer, call) if way is None else self._translated(offer, call, way)
        )

    @asynccontextmanager
    async def _translated(self, offer: Offer, call: Call, way: Way) -> AsyncIterator[Reply]:
        asked = [call]
        for translation in way:
            asked.append(translation.ask(asked[-1]))
        async with self._provider.send(offer, asked[-1]) as reply:
            back = list(zip(reversed(way), reversed(asked[:-1]), strict=True))
            if reply.first.last:
                yield _whole(reply, back)
            else:
                streams = [translation.stream(before) for translation, before in back]
                first = _put_back(reply.first, streams)
                yield Reply(reply.status, reply.content_type, first, _Rest(reply.rest, streams))


class _Rest:
    """The chunks after the first, put back into the caller's words."""

    def __init__(self, rest: AsyncIterator[Chunk], streams: Sequence[StreamTranslation]) -> None:
        self._rest = rest
        self._streams = streams

    def __aiter__(self) -> _Rest:
        return self

    async def __anext__(self) -> Chunk:
        return _put_back(await anext(self._rest), self._streams)


def _put_back(chunk: Chunk, streams: Sequence[StreamTranslation]) -> Chunk:
    """`chunk` in the caller's words; what it told and whether it is the last stay."""
    data = chunk.data
    for stream in streams:
        data = b"".join([stream.event(event) for event in _events(data)])
    return msgspec.structs.replace(chunk, data=data)


def _events(data: bytes) -> list[bytes]:
    """The events in `data`, each with its ending; the last may have none."""
    splitter = EventSplitter()
    events = splitter.feed(data)
    return [*events, splitter.rest] if splitter.rest else events


def _whole(reply: Reply, back: Sequence[tuple[Translation, Call]]) -> Reply:
    """A whole answer, or a refusal, in the caller's words."""
    data = reply.first.data
    for translation, before in back:
        if reply.status >= 400:
            data = translation.refusal(reply.status, data)
        else:
            data = translation.answer(before, data)
    first = msgspec.structs.replace(reply.first, data=data)
    return Reply(reply.status, b"application/json", first, reply.rest, reply.retry_after_ns)


def ways(spoken: Set[Operation], translations: Sequence[Translation]) -> Mapping[Operation, Way]:
    """For each operation that is not spoken but can be reached: the shortest way there."""
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
