"""Requests out of the bytes that one client sends, within the limits on them.

The parser is llhttp. What it lets pass and we do not is refused here, by status: a header given twice that
may be given once (two lengths, two credentials), a target that is no path, a transfer encoding other than
chunked, heads and bodies that are too large, and these before they are kept.
"""

from __future__ import annotations

from typing import Protocol

import httptools

from inferworks.http.exchange import RequestHead
from inferworks.http.heads import KnownHead, field_lines, learn
from inferworks.http.shared import Limits

_SINGLE = frozenset(
    {
        b"authorization",
        b"content-length",
        b"content-type",
        b"host",
        b"transfer-encoding",
        b"x-api-key",
    }
)
_UNUSUAL = frozenset({b"expect", b"transfer-encoding", b"upgrade"})  # never recognised
_LENGTH_BYTES = 20  # by how much a content length may be longer than the one of a known head


class Receiver(Protocol):
    """Who hears of the requests."""

    def begun(self) -> None:
        """The first byte of a request has come."""
        ...

    def asked_to_continue(self) -> None:
        """The client waits to be told before it sends the body."""
        ...

    def received(self, head: RequestHead, body: bytes) -> None:
        """A request is whole."""
        ...

    def refuse(self, status: int, message: str) -> None:
        """What the client sends is not to be read on."""
        ...


class RequestReader:
    """Reads what one client sends. The parser calls the `on_` methods, the connection the others."""

    asked: RequestHead
    """What the last request said before its body."""
    _target: bytes
    _headers: dict[bytes, bytes]

    def __init__(self, receiver: Receiver, limits: Limits) -> None:
        self._receiver = receiver
        self._limits = limits
        self.parser = httptools.HttpRequestParser(self)
        """Another one after an offer of another protocol."""
        self._reset()
        self.receiving = False
        """Whether a request has begun and is not whole."""

    def feed(self, data: bytes) -> None:
        """Feed the parser; a message it cannot read is refused with 400."""
        self._unread_bytes += len(data)
        declined_at = -1
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            declined_at = offer.args[0]
        except httptools.HttpParserError as error:
            match error.__context__:
                case _Refused(status=status, message=message):
                    self._receiver.refuse(status, message)
                case _:
                    self._receiver.refuse(400, "this is not a well-formed HTTP/1.1 request")
        if declined_at >= 0:
            self._read_without_upgrade(data[declined_at:])
        elif self.receiving and self._unread_bytes > self._limits.header_bytes:
            self._receiver.refuse(431, self._too_long())

    def learned(self, data: bytes) -> KnownHead[RequestHead] | None:
        """The head of the last request, to be recognised, if that request is all that `data` holds."""
        if self.receiving or self._headers.keys() & _UNUSUAL:
            return None
        if self._header_bytes + _LENGTH_BYTES > self._limits.header_bytes:
            return None
        return learn(data, self._headers.get(b"content-length"), self.asked)

    def on_message_begin(self) -> None:
        """The first byte of a request starts its clock."""
        self._reset()
        self._receiver.begun()

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self._target += url
        self._count_header(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header field. Trailers, which come after the body, are counted and otherwise ignored."""
        self._count_header(len(name) + len(value) + 4)
        if self._head_read:
            return
        name = name.lower()
        if (given := self._headers.get(name)) is None:
            self._headers[name] = value
        elif name in _SINGLE:
            raise _Refused(400, f"the header {name.decode('latin-1')} may be given only once")
        else:
            self._headers[name] = given + b", " + value

    def on_headers_complete(self) -> None:
        """Refuse what is too large before its body is read."""
        self._head_read = True
        if not self._target.startswith(b"/") and self._target != b"*":
            raise _Refused(400, "the request target must be a path")
        if self._headers.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
            raise _Refused(501, "the only transfer encoding understood is chunked")
        length = self._headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._limits.body_bytes:
            raise _Refused(413, self._too_large())
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._receiver.asked_to_continue()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._unread_bytes = 0
        self._body += body
        if len(self._body) > self._limits.body_bytes:
            raise _Refused(413, self._too_large())

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self.parser.should_upgrade():
            return  # to be read again
        self.receiving = False
        self.asked = self._head_said()
        self._receiver.received(self.asked, bytes(self._body))

    def _read_without_upgrade(self, rest: bytes) -> None:
        """Decline an offer of another protocol: read the request again as if it had not been made.

        The parser takes all that follows such an offer for the other protocol, the body included; Java's
        HTTP client makes one (`upgrade: h2c`) with every first POST.
        """
        method = self.parser.get_method()
        version = self.parser.get_http_version().encode()
        kept = [pair for pair in self._headers.items() if pair[0] not in {b"upgrade", b"expect"}]
        head = b"%b %b HTTP/%b\r\n%b\r\n" % (method, self._target, version, field_lines(kept))
        self.parser = httptools.HttpRequestParser(self)
        self.feed(head + rest)

    def _head_said(self) -> RequestHead:
        """What the parser has read of the head of this request."""
        path, _, query = self._target.partition(b"?")
        return RequestHead(
            method=self.parser.get_method().decode("latin-1"),
            path=path.decode("latin-1"),
            query=query.decode("latin-1"),
            headers=self._headers,
            keep_alive=self.parser.should_keep_alive(),
            chunked=self.parser.get_http_version() != "1.0",
        )

    def _reset(self) -> None:
        """Ready for the next message."""
        self.receiving = True
        self._head_read = False
        self._target = b""
        self._headers = {}
        self._header_bytes = 0
        self._unread_bytes = 0  # brought no body yet: the parser hands on only whole headers
        self._body = bytearray()

    def _count_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > self._limits.header_bytes:
            raise _Refused(431, self._too_long())

    def _too_long(self) -> str:
        return f"the headers are larger than {self._limits.header_bytes} bytes"

    def _too_large(self) -> str:
        return f"the body is larger than {self._limits.body_bytes} bytes"


class _Refused(Exception):
    """Raised inside a parser callback; httptools hands it on."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
