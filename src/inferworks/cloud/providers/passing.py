"""The provider that passes bytes: every upstream that speaks a dialect its callers speak too.

What goes down is what the caller wrote, what comes up is what the upstream wrote. A prompt is never
decoded and encoded again: a request is changed at its top level only, where it must be (the model's name
at this upstream, the wish for usage), and its other values stay the bytes that came. What differs from
one API to the next is data: a `Profile` (its paths, its readers, its fixed headers) and a `Credential`.
Our own replicas are spoken to in the same way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Set
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Protocol

from inferworks.cloud.call import Call, Chunk, Reply
from inferworks.cloud.credentials.base import Credential
from inferworks.cloud.offer import Offer
from inferworks.cloud.operation import Operation
from inferworks.cloud.readers.base import PieceReader, PieceReaderOf, Reader, ReaderOf
from inferworks.cloud.retry_after import retry_after_ns
from inferworks.errors import UpstreamError
from inferworks.http.client import HttpClient, Origin, Response
from inferworks.http.sse import EventSplitter

_STREAM = b"text/event-stream"
_WORDS = (b"application/json", b"text/")
"""What no sound is: an error that does not call itself one."""
_END_S = 1.0
"""How long the end of a body may take after its last event before its connection is given up."""


class Splitter(Protocol):
    """Cuts the body of a stream into server-sent events."""

    def feed(self, data: bytes) -> list[bytes]:
        """The events completed by `data`. ValueError when they cannot be any."""
        ...


@dataclass(frozen=True, slots=True)
class Framing:
    """How a stream is written."""

    content_type: bytes
    splitter: Callable[[], Splitter]


EVENTS = Framing(_STREAM, EventSplitter)
"""Server-sent events, as nearly everybody writes."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """How an API is asked for one operation."""

    path: str
    """After the base path of the offer."""
    reader: ReaderOf
    write: Callable[[Call, Offer], bytes]
    """The body that is sent."""
    place: Callable[[Call, Offer], str] | None = None
    """What comes after `path` where it depends on the call, the model's name for instance."""
    framing: Framing = EVENTS
    pieces: PieceReaderOf | None = None
    """Reads an answer to a stream that is no stream of events, but sound, say, sent as it is made."""
    may_be_whole: bool = False
    """A stream may be answered with a whole body: the API says that some models do."""
    refusal: Callable[[int, bytes], bytes] | None = None
    """An error body in the words of the dialect, where the API has others of its own."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How one API is spoken to."""

    name: str
    spoken: Mapping[Operation, Spoken]
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Sent with every request, unless the caller sends another value of its own."""
    between_bytes_s: float = 120.0
    max_answer_bytes: int = 64 * 1024 * 1024
    answer_headers: tuple[bytes, ...] = ()
    """Headers of an answer that are part of it and go to the caller."""


class PassingProvider:
    """A `Provider` for an upstream that a profile describes."""

    def __init__(self, client: HttpClient, profile: Profile, credential: Credential) -> None:
        self.name = profile.name
        self._client = client
        self._profile = profile
        self._credential = credential

    @property
    def operations(self) -> Set[Operation]:
        """What its profile knows a path for."""
        return self._profile.spoken.keys()

    def send(self, offer: Offer, call: Call) -> AbstractAsyncContextManager[Reply]:
        """Send `call` to `offer` and enter with its answer."""
        return _Sending(self._client, self._profile, self._credential, offer, call)


class _Sending(AbstractAsyncContextManager[Reply]):
    """One call sent to one offer.

    A class and not a generator: the event loop keeps a list of the generators that run, by weak
    references in Python, and that alone costs four microseconds a call.
    """

    __slots__ = ("_asking", "_call", "_client", "_credential", "_events", "_offer", "_profile",
                 "_response")  # fmt: skip

    _asking: AbstractAsyncContextManager[Response]
    _response: Response

    def __init__(
        self,
        client: HttpClient,
        profile: Profile,
        credential: Credential,
        offer: Offer,
        call: Call,
    ) -> None:
        self._client = client
        self._profile = profile
        self._credential = credential
        self._offer = offer
        self._call = call
        self._events: _Events | _Pieces | None = None

    async def __aenter__(self) -> Reply:
        call, offer = self._call, self._offer
        spoken = self._profile.spoken[call.operation]
        path = spoken.path + spoken.place(call, offer) if spoken.place else spoken.path
        body = spoken.write(call, offer)
        url = _url(offer.origin, path)
        headers = await self._credential.headers("POST", url, self._headers(), body)
        self._asking = self._client.stream("POST", offer.origin, path, headers, body)
        self._response = await self._asking.__aenter__()
        try:
            return await self._begin(spoken)
        except BaseException as error:
            await self._asking.__aexit__(type(error), error, error.__traceback__)
            raise

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if exc is None and self._events is not None and self._events.ended:
                await _finish(self._response)
        finally:
            await self._asking.__aexit__(exc_type, exc, traceback)

    async def _begin(self, spoken: Spoken) -> Reply:
        """The answer, once its first chunk has come."""
        response = self._response
        content_type = response.headers.get(b"content-type", b"application/json")
        reader = spoken.reader(self._call)
        if response.status >= 300 or not self._call.stream:
            whole = await self._whole(spoken, reader)
            again_ns = retry_after_ns(response.headers) if response.status >= 300 else None
            headers = self._answer_headers() if self._profile.answer_headers else ()
            return Reply(response.status, content_type, whole, Nothing(), again_ns, headers)
        framing = spoken.framing
        if not content_type.lower().startswith(framing.content_type):
            return await self._begin_otherwise(spoken, content_type, reader)
        if framing is not EVENTS:
            content_type = _STREAM
        splitter = framing.splitter()
        self._events = _Events(response, self._profile.between_bytes_s, reader, splitter)
        return Reply(response.status, content_type, await anext(self._events), self._events)

    async def _begin_otherwise(self, spoken: Spoken, content_type: bytes, reader: Reader) -> Reply:
        """The answer to a stream that is not framed as one."""
        response = self._response
        if spoken.may_be_whole:
            return Reply(
                response.status, content_type, await self._whole(spoken, reader), Nothing()
            )
        if spoken.pieces is None or content_type.lower().startswith(_WORDS):
            raise UpstreamError("it was asked for a stream and sent something else", sent=True)
        pieces = spoken.pieces(self._call)
        self._events = _Pieces(response, self._profile.between_bytes_s, pieces)
        return Reply(response.status, content_type, await anext(self._events), self._events)

    def _answer_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The headers of the answer that go to the caller."""
        names, came = self._profile.answer_headers, self._response.headers
        return tuple((name, came[name]) for name in names if name in came)

    def _headers(self) -> list[tuple[bytes, bytes]]:
        """The request's headers but for its credential."""
        call = self._call
        own = [(b"content-type", call.content_type), (b"x-inferworks-call-id", call.id.encode())]
        fixed = self._profile.headers
        if fixed and call.headers:
            named = {name for name, _ in call.headers}
            fixed = tuple(pair for pair in fixed if pair[0] not in named)
        return [*own, *fixed, *call.headers]

    async def _whole(self, spoken: Spoken, reader: Reader) -> Chunk:
        """The answer as one chunk; or a refusal, as it came where it is in the dialect's words."""
        profile, response = self._profile, self._response
        data = await response.read(profile.between_bytes_s, profile.max_answer_bytes)
        if response.status < 300:
            return reader.whole(data)
        if spoken.refusal is not None:
            data = spoken.refusal(response.status, data)
        return Chunk(data, last=True)


class _Events:
    """The events of a stream as chunks: what has come at once is one, and the last event one by itself.

    A busy upstream sends many events in a segment. They are read one by one, since any of them may tell of
    usage or of an error, but counted, framed and sent together.

    Not an async generator: what it holds is its reader's, so there is nothing to close when it is left.
    """

    def __init__(
        self, response: Response, between_bytes_s: float, reader: Reader, splitter: Splitter
    ) -> None:
        self.ended = False
        self._response = response
        self._between_bytes_s = between_bytes_s
        self._read = reader.event
        self._splitter = splitter
        self._ready: deque[bytes] = deque()
        self._last: Chunk | None = None
        self._error: UpstreamError | None = None
        """The last event, or an error, that was read after others which are on their way."""

    def __aiter__(self) -> _Events:
        return self

    async def __anext__(self) -> Chunk:
        if self.ended:
            raise StopAsyncIteration
        if self._error is not None:
            raise self._error
        if self._last is None:
            while not self._ready:
                piece = await self._response.next_piece(self._between_bytes_s)
                if not piece:
                    raise UpstreamError("the stream ended before its last event", sent=True)
                self._ready.extend(_split(self._splitter, piece))
        chunk = self._last or self._take()
        self.ended = chunk.last
        return chunk

    def _take(self) -> Chunk:
        """The next event, with those that have come after it."""
        chunk = self._read(self._ready.popleft())
        return chunk if chunk.last or not self._ready else self._joined(chunk)

    def _joined(self, first: Chunk) -> Chunk:
        """`first` and all events that are ready, but for the last one and what cannot be read."""
        data, told = [first.data], first.told
        while self._ready:
            try:
                chunk = self._read(self._ready.popleft())
            except UpstreamError as error:
                self._error = error
                break
            if chunk.last:
                self._last = chunk
                break
            data.append(chunk.data)
            told = chunk.told or told
        return Chunk(b"".join(data), told)


class _Pieces:
    """A body as chunks, each handed on as it comes; the last is empty and says that it was all.

    A body that breaks off is an UpstreamError of the connection, so its end is the answer's.
    """

    __slots__ = ("_between_bytes_s", "_reader", "_response", "ended")

    def __init__(self, response: Response, between_bytes_s: float, reader: PieceReader) -> None:
        self.ended = False
        self._response = response
        self._between_bytes_s = between_bytes_s
        self._reader = reader

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> Chunk:
        if self.ended:
            raise StopAsyncIteration
        piece = await self._response.next_piece(self._between_bytes_s)
        if piece:
            return self._reader.piece(piece)
        self.ended = True
        return self._reader.end()


class Nothing:
    """What follows a whole answer."""

    def __aiter__(self) -> Nothing:
        return self

    async def __anext__(self) -> Chunk:
        raise StopAsyncIteration


@lru_cache(maxsize=1024)
def _url(origin: Origin, path: str) -> str:
    """The address that is asked. There are few, and nearly every call is to one of the same."""
    return origin.url + path


async def _finish(response: Response) -> None:
    """Read the end of a body whose answer is whole, so that the connection can be kept.

    An end that does not come, or comes badly, costs the connection and nothing else.
    """
    with suppress(TimeoutError, UpstreamError):
        async with asyncio.timeout(_END_S):
            while await response.next_piece(_END_S):
                pass


def _split(splitter: Splitter, piece: bytes) -> list[bytes]:
    try:
        return splitter.feed(piece)
    except ValueError as error:
        raise UpstreamError(str(error), sent=True) from error
