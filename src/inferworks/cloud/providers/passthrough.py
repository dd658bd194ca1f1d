"""Passthrough provider: for every upstream with a dialect that its callers use too.

Requests and answers pass as the bytes that came. A prompt is never decoded and encoded again: a request is
changed at its top level only, where it must be (the model's name at this upstream, the request for usage),
and its other values stay the bytes that came. So does an error body, but for our own credential, which some
servers repeat in it. The differences between APIs are data: a `Profile` (paths, readers, fixed headers) and
a `Credential`. Own replicas are called in the same way.
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
from urllib.parse import quote

import msgspec

from inferworks.cloud.bodies.aside import LARGE_BYTES, aside
from inferworks.cloud.bodies.bounds import PASSED_OVER, check_answer
from inferworks.cloud.call import Call, Chunk, Reply
from inferworks.cloud.credentials.base import Credential
from inferworks.cloud.offer import Offer
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.forwarded_headers import USUAL, forwarded_headers
from inferworks.cloud.routing.retry_after import retry_after_ns
from inferworks.cloud.usage_parsers.base import PieceReader, PieceReaderOf, Reader, ReaderOf
from inferworks.errors import RefusalError, UnreadableError, UpstreamError
from inferworks.http.client import HttpClient, Origin, Response
from inferworks.http.sse import EventSplitter

_JSON = b"application/json"
_STREAM = b"text/event-stream"
_WORDS = (b"application/json", b"text/")
"""Content types that are never audio: an error that does not call itself one."""
_LONGEST_REFUSAL_BYTES = LARGE_BYTES
_MOST_AT_ONCE_BYTES = 64 * 1024
_MOST_EVENTS_AT_ONCE = 256
"""Events read before other tasks have their turn: an upstream may send empty ones by the megabyte."""
_PING = b"event: ping"
_MOST_COMMENT_BYTES = 4096
"""Most bytes of the comments before the first event that are kept, to be sent with it."""
_SHORTEST_SECRET_BYTES = 8
_END_S = 1.0
"""Seconds that the end of a body may take after its last event before its connection is closed."""


class Splitter(Protocol):
    """Cuts the body of a stream into server-sent events."""

    def feed(self, data: bytes) -> list[bytes]:
        """The events completed by `data`. ValueError when they cannot be any."""
        ...

    def end(self) -> list[bytes]:
        """The events completed by the end of the body. ValueError when it comes amid one."""
        ...


@dataclass(frozen=True, slots=True)
class Framing:
    """Framing of a stream: its content type, and the splitter into events."""

    content_type: bytes
    splitter: Callable[[], Splitter]


EVENTS = Framing(_STREAM, EventSplitter)
"""Server-sent events, as most upstreams write."""


def as_it_came(call: Call, _offer: Offer) -> bytes:
    """Write the caller's own body."""
    return call.body


def model_path(
    suffix: str, stream_suffix: str | None = None, *, unquoted: str = ""
) -> Callable[[Call, Offer], str]:
    """Return the end of a path: the model as one quoted segment, then what is asked of it."""

    def place(call: Call, offer: Offer) -> str:
        model = quote(offer.upstream_model or call.model, safe=unquoted)
        return model + (suffix if stream_suffix is None or not call.stream else stream_suffix)

    return place


@dataclass(frozen=True, slots=True)
class OperationSpec:
    """Specification of one operation of an API."""

    path: str
    """Path, after the base path of the offer."""
    reader: ReaderOf
    write: Callable[[Call, Offer], bytes] = as_it_came
    """Write the body that is sent."""
    place: Callable[[Call, Offer], str] | None = None
    """Return the rest of the path where it depends on the call, the model's name for instance."""
    framing: Framing = EVENTS
    pieces: PieceReaderOf | None = None
    """Reader of an answer that is streamed but is no stream of events, audio for instance."""
    may_be_whole: bool = False
    """True when a stream may be answered with a whole body: the API says that some models do."""
    refusal: Callable[[int, bytes], bytes] | None = None
    """Convert an error body to the dialect's, where the API has its own."""
    whole_as_it_came: bool = False
    """True when `write` changes nothing but a stream, or the name of a model that has another one here."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Profile of one API: its operations, headers and limits."""

    name: str
    operations: Mapping[Operation, OperationSpec]
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Headers sent with every request, unless the caller sends another value of its own."""
    between_bytes_s: float = 120.0
    max_answer_bytes: int = 64 * 1024 * 1024
    answer_headers: tuple[bytes, ...] = ()
    """Headers of an answer that are part of it and go to the caller."""


class PassthroughProvider:
    """A `Provider` for an upstream that a profile describes."""

    def __init__(self, client: HttpClient, profile: Profile, credential: Credential) -> None:
        self.name = profile.name
        self.operations: Set[Operation] = frozenset(profile.operations)
        """Operations that the profile has a path for."""
        self._client = client
        self._profile = profile
        self._credential = credential

    def send(self, offer: Offer, call: Call) -> AbstractAsyncContextManager[Reply]:
        """Send `call` to `offer` and enter with its answer."""
        return _Sending(self._client, self._profile, self._credential, offer, call)


class _Sending(AbstractAsyncContextManager[Reply]):
    """One call sent to one offer.

    A class and not a generator: the event loop keeps a list of the generators that run, by weak
    references in Python, and that alone costs four microseconds a call.
    """

    __slots__ = ("_asking", "_call", "_client", "_credential", "_events", "_offer", "_profile",
                 "_response", "_sent")  # fmt: skip

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
        call, offer, profile = self._call, self._offer, self._profile
        spec = profile.operations[call.operation]
        path = spec.path + spec.place(call, offer) if spec.place else spec.path
        is_large = len(call.body) > LARGE_BYTES
        if spec.whole_as_it_came and not (call.stream or offer.upstream_model):
            body = call.body
        else:
            body = await aside(spec.write, call, offer) if is_large else spec.write(call, offer)
        url = _url(offer.origin, path)
        headers = await self._credential.headers("POST", url, self._headers(), body)
        self._sent = headers
        self._asking = self._client.stream("POST", offer.origin, path, headers, body)
        self._response = response = await self._asking.__aenter__()
        came = response.headers
        try:
            reader = await aside(spec.reader, call) if is_large else spec.reader(call)
            if response.status < 300 and call.stream:
                return await self._begin_stream(spec, reader)
            whole, own = await self._whole(spec, reader), profile.answer_headers
            return Reply(
                response.status,
                came.get(b"content-type", _JSON),
                whole,
                Nothing(),
                retry_after_ns(came) if response.status >= 300 else None,
                tuple((name, came[name]) for name in own if name in came) if own else (),
                () if came.keys() <= USUAL else forwarded_headers(came),
            )
        except RefusalError as error:  # told of in an answer: as if its status had come
            first = self._refusal(spec, error.status, error.body)
            again_ns, forwarded = retry_after_ns(came), forwarded_headers(came)
            return Reply(error.status, _JSON, first, Nothing(), again_ns, forwarded=forwarded)
        except BaseException as error:
            if isinstance(error, UpstreamError):  # of whatever is wrong with what has come
                error.answered = error.sent and not error.gave_up
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
                # The end of the body is read, so that the connection can be kept. An end that does not
                # come, or comes badly, costs the connection and nothing else.
                with suppress(TimeoutError, UpstreamError):
                    async with asyncio.timeout(_END_S):
                        while await self._response.next_piece(_END_S):
                            pass
        finally:
            await self._asking.__aexit__(exc_type, exc, traceback)

    async def _begin_stream(self, spec: OperationSpec, reader: Reader) -> Reply:
        """The answer to a stream, once its first chunk has come."""
        response, between_bytes_s = self._response, self._profile.between_bytes_s
        content_type = response.headers.get(b"content-type", _JSON)
        framing = spec.framing
        if content_type.lower().startswith(framing.content_type):
            events = _Events(response, between_bytes_s, reader, framing.splitter())
            first, forwarded = await events.first(), forwarded_headers(response.headers)
            self._events = events
            return Reply(
                response.status,
                content_type if framing is EVENTS else _STREAM,
                first,
                events,
                forwarded=forwarded,
                is_over=events.is_over,
            )
        if spec.may_be_whole:
            first, forwarded = await self._whole(spec, reader), forwarded_headers(response.headers)
            return Reply(response.status, content_type, first, Nothing(), forwarded=forwarded)
        if spec.pieces is None or content_type.lower().startswith(_WORDS):
            whole = await self._whole(spec, reader)  # which raises if it is an error after all
            error = UnreadableError("a stream was requested and something else was sent")
            error.reported = whole.reported
            raise error
        self._events = pieces = _Pieces(response, between_bytes_s, spec.pieces(self._call))
        first, forwarded = await anext(pieces), forwarded_headers(response.headers)
        return Reply(response.status, content_type, first, pieces, forwarded=forwarded)

    def _headers(self) -> list[tuple[bytes, bytes]]:
        """The request's headers but for its credential."""
        call = self._call
        own = [(b"content-type", call.content_type), (b"x-inferworks-call-id", call.id.encode())]
        fixed = self._profile.headers
        if fixed and call.headers:
            named = {name for name, _ in call.headers}
            fixed = tuple(pair for pair in fixed if pair[0] not in named)
        return [*own, *fixed, *call.headers]

    async def _whole(self, spec: OperationSpec, reader: Reader) -> Chunk:
        """The answer as one chunk; or a refusal, as it came where it is in the dialect's words."""
        profile, response = self._profile, self._response
        data = await response.read(profile.between_bytes_s, profile.max_answer_bytes)
        if response.status < 300:
            if max(len(data), len(self._call.body)) > LARGE_BYTES:
                return await aside(_read_large, reader.whole, data)
            return reader.whole(data)
        return self._refusal(spec, response.status, data)

    def _refusal(self, spec: OperationSpec, status: int, data: bytes) -> Chunk:
        """An error body as it came, or in the dialect's words where the API has others of its own.

        What was sent to prove who asks is `***` in it, should it be repeated there.
        """
        plain = self._headers()
        for header in self._sent:
            secret = header[1].rpartition(b" ")[2]
            if header not in plain and len(secret) >= _SHORTEST_SECRET_BYTES:
                data = data.replace(secret, b"***")
        if spec.refusal is not None:
            data = spec.refusal(status, data[:_LONGEST_REFUSAL_BYTES])
        return Chunk(data, last=True)


class _Events:
    """The events of a stream as chunks: what has come at once is one, and the last event one by itself.

    A busy upstream sends many events in a segment. They are read one by one, since any of them may tell of
    usage or of an error, but counted, framed and sent together: some hundreds at most, and a large event by
    itself, beside the event loop, so that no upstream takes more than a moment of it.

    Not an async generator: what it holds is its reader's, so there is nothing to close when it is left.
    """

    def __init__(
        self, response: Response, between_bytes_s: float, reader: Reader, splitter: Splitter
    ) -> None:
        self.ended = False
        self._response = response
        self._plain = response.plain
        """Connection from which an answer that is not compressed is taken without another coroutine."""
        self._between_bytes_s = between_bytes_s
        self._reader = reader
        self._read = reader.event
        self._splitter = splitter
        self._unread = b""
        """Bytes of the body that have come and were not split yet."""
        self._ready: deque[bytes] = deque()
        self._last: Chunk | None = None
        self._error: UpstreamError | None = None
        """The last event, or an error, that was read after others which are on their way."""

    def is_over(self) -> bool:
        """Return True when the answer would be whole if nothing more came."""
        return self._last is not None or self._reader.ended() is not None

    async def first(self) -> Chunk:
        """The first chunk that says something. A comment does not: what follows it may be an error."""
        chunk, before = await anext(self), b""
        while chunk.reported is None and not chunk.last:
            events = chunk.data.split(b"\n\n")
            if any(b"data:" in event and not event.startswith(_PING) for event in events):
                break
            if len(before) < _MOST_COMMENT_BYTES:
                before += chunk.data
            chunk = await anext(self)
        return msgspec.structs.replace(chunk, data=before + chunk.data) if before else chunk

    def __aiter__(self) -> _Events:
        return self

    async def __anext__(self) -> Chunk:  # noqa: C901 waits here, not in a coroutine for each piece
        if self.ended:
            raise StopAsyncIteration
        if self._error is not None:
            raise self._error
        chunk = self._last
        if chunk is None:
            if self._ready or self._unread:
                await asyncio.sleep(0)  # others have their turn
            while not self._ready:
                piece = self._unread
                if not piece and (plain := self._plain) is not None:
                    while not plain.buffered_bytes and not plain.complete:
                        await plain.more(self._between_bytes_s)
                    piece = plain.take()
                elif not piece:
                    piece = await self._response.next_piece(self._between_bytes_s)
                self._unread = piece[_MOST_AT_ONCE_BYTES:]
                ready, splitter = self._ready, self._splitter
                try:
                    ready += splitter.feed(piece[:_MOST_AT_ONCE_BYTES]) if piece else splitter.end()
                except ValueError as error:
                    raise UpstreamError(str(error), sent=True) from error
                if not (piece or ready):  # the body has ended, and not amid an event
                    chunk = self._reader.ended()
                    if chunk is None:
                        raise UpstreamError("the stream ended before its last event", sent=True)
                    self.ended = True
                    return chunk
            event = self._ready.popleft()
            if len(event) > LARGE_BYTES:  # only the first can be, for it came in several pieces
                chunk = await aside(_read_large, self._read, event)
            else:
                chunk = self._read(event)
                if self._ready and not chunk.last:
                    chunk = self._joined(chunk)
        self.ended = chunk.last
        return chunk

    def _joined(self, first: Chunk) -> Chunk:
        """`first` and the events that are ready, but for the last one and what cannot be read."""
        data, reported = [first.data], first.reported
        for _ in range(min(len(self._ready), _MOST_EVENTS_AT_ONCE)):
            try:
                chunk = self._read(self._ready.popleft())
            except UpstreamError as error:
                self._error = error
                break
            if chunk.last:
                self._last = chunk
                break
            data.append(chunk.data)
            reported = chunk.reported or reported
        return Chunk(b"".join(data), reported)


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


def _read_large(read: Callable[[bytes], Chunk], data: bytes) -> Chunk:
    """Read a large answer or event, within the bounds on its values."""
    check_answer(data, PASSED_OVER)
    return read(data)


class Nothing:
    """Iterator over no chunks, after a whole answer."""

    def __aiter__(self) -> Nothing:
        return self

    async def __anext__(self) -> Chunk:
        raise StopAsyncIteration


@lru_cache(maxsize=1024)
def _url(origin: Origin, path: str) -> str:
    """The address that is asked. There are few, and nearly every call is to one of the same."""
    return origin.url + path
