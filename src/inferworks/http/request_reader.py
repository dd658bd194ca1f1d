"""Requests out of the bytes that one client sends, within the limits on them.

The parser is llhttp. What it lets pass and we do not is refused here, by status, and when the head has
come, so that the body of what is refused is never taken: a header given twice that may be given once (two
lengths, two hosts, two credentials), HTTP/1.1 without a host, another version, CONNECT, a target that is no
path, a transfer encoding other than chunked or from a version that has none, heads and bodies that are too
large or of too many fields, and whatever `Receiver.admit` turns away.

The parser and its reader hold each other, so whoever ends a reader has to `close` it: else it, and all it
holds, stays until Python looks for cycles, which is seldom.
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import Protocol

import httptools

from inferworks.http.budget import FREE_BYTES, Held
from inferworks.http.exchange import Admission, Refused, RequestHead
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
_LEARNED_BYTES = 8 * 1024  # larger heads are not kept while their connection is idle
_MOST_FIELDS = 256  # each is some hundred bytes of objects, however short it came
_VERSIONS = frozenset({"1.0", "1.1"})
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9!$&'()*+,;=._~%-]*)(?::[0-9]*)?")
_NO_SUCH_VERSION = "Invalid HTTP version"  # the parser's words


class Receiver(Protocol):
    """Consumer of the requests that a reader finds."""

    peer: str
    """Address at the other end; empty when it has none."""

    def begun(self) -> None:
        """Note that the first byte of a request has come."""
        ...

    def admit(self, head: RequestHead) -> Admission | Refused:
        """Admit or refuse the body that follows `head`."""
        ...

    def hold(self) -> Held:
        """Return a counter of bytes for the body that was admitted last."""
        ...

    def asked_to_continue(self) -> None:
        """Note that the client waits for `100 Continue` before it sends the body."""
        ...

    def received(self, head: RequestHead, body: bytes, held: Held | None) -> None:
        """Take a whole request; `held` counts the bytes of its body."""
        ...

    def refuse(self, status: int, message: str) -> None:
        """Refuse the request by status and message; nothing more of this client is read."""
        ...

    def turn_away(self, refused: Refused) -> None:
        """Refuse the request with an answer that is already written; read nothing more of this client."""
        ...


class RequestReader:
    """Reads what one client sends. The parser calls the `on_` methods, the connection the others."""

    head: RequestHead
    """Head of the last request; empty until that has come."""
    _target: bytes
    _headers: dict[bytes, bytes]

    def __init__(self, receiver: Receiver, limits: Limits) -> None:
        self._receiver = receiver
        self._limits = limits
        self.parser = httptools.HttpRequestParser(self)
        """Parser, replaced after an offer of another protocol."""
        self._body = BytesIO()
        """Grows in place, and gives what it holds without a copy of it."""
        self._held: Held | None = None
        self._reset()
        self.receiving = False
        """True from the first byte of a request to its last."""

    @property
    def in_body(self) -> bool:
        """True when the head of a request has come and its body has not."""
        return self.receiving and self._head_read

    def close(self) -> None:
        """Let go of what was read, of the parser and of the receiver. Nothing may be fed after it."""
        self.drop()
        self._headers = {}
        del self.parser, self._receiver

    def drop(self) -> None:
        """Let go of the body that was being read: it is not to be handed on."""
        self._body = BytesIO()
        if self._held is not None:
            self._held.release()
            self._held = None

    def feed(self, data: bytes) -> None:
        """Feed the parser, again after an offer that was declined; what it cannot read is refused."""
        while data:
            self._unread_bytes += len(data)
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                data = self._without_upgrade() + data[offer.args[0] :]
                continue
            except httptools.HttpParserError as error:
                match error.__context__:
                    case _NotTaken(refused=Refused() as refused):
                        self._receiver.turn_away(refused)
                    case _NotTaken(status=status, message=message):
                        self._receiver.refuse(status, message)
                    case MemoryError():
                        self._receiver.refuse(503, "out of memory; try again later")
                    case _ if str(error) == _NO_SUCH_VERSION:
                        self._receiver.refuse(505, _OTHER_VERSION)
                    case _:
                        message = "this is not a well-formed HTTP/1.1 request"
                        self._receiver.refuse(400, message)
            if self.receiving and self._unread_bytes > self._limits.header_bytes:
                self._receiver.refuse(431, self._too_long())
            return

    def learned(self, data: bytes) -> KnownHead[RequestHead] | None:
        """The head of the last request, to be recognised, if that request is all that `data` holds."""
        if self.receiving or self._headers.keys() & _UNUSUAL:
            return None
        if self._header_bytes + _LENGTH_BYTES > min(self._limits.header_bytes, _LEARNED_BYTES):
            return None
        return learn(data, self._headers.get(b"content-length"), self.head)

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
        self._fields += 1
        if self._fields > _MOST_FIELDS:
            raise _NotTaken(431, f"there are more than {_MOST_FIELDS} header fields")
        if self._head_read:
            return
        name = name.lower()
        if (given := self._headers.get(name)) is None:
            self._headers[name] = value
        elif name in _SINGLE:
            raise _NotTaken(400, f"the header {name.decode('latin-1')} may be given only once")
        else:
            self._headers[name] = given + b", " + value

    def on_headers_complete(self) -> None:
        """Refuse what is not to be taken before its body is."""
        self._head_read = True
        self._check_head()
        path, _, query = self._target.partition(b"?")
        self.head = RequestHead(
            method=self.parser.get_method().decode("latin-1"),
            path=path.decode("latin-1"),
            query=query.decode("latin-1"),
            headers=self._headers,
            keep_alive=self.parser.should_keep_alive(),
            chunked=self.parser.get_http_version() != "1.0",
            peer=self._receiver.peer,
        )
        length = self._headers.get(b"content-length", b"0")
        if length != b"0" or b"transfer-encoding" in self._headers:
            self._most_bytes = self._limits.body_bytes
            length_bytes = int(length) if length.isdigit() else 0  # 0 where it is not told
            if length_bytes > self._most_bytes:
                raise self._too_large()
            admission = self._receiver.admit(self.head)
            if isinstance(admission, Refused):
                raise _NotTaken(admission.status, "", admission)
            if admission.body_bytes is not None and admission.body_bytes < self._most_bytes:
                self._most_bytes = admission.body_bytes
            if length_bytes > self._most_bytes:
                raise self._too_large()
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._receiver.asked_to_continue()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._unread_bytes = 0
        size = self._body.tell() + len(body)
        if size > self._most_bytes:
            raise self._too_large()
        if size > FREE_BYTES:
            if self._held is None:
                self._held = self._receiver.hold()
            if not self._held.more(len(body)):
                raise _NotTaken(
                    503, "the server is receiving too much data at once; try again later"
                )
        self._body.write(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self.parser.should_upgrade():
            return  # to be read again
        self.receiving = False
        held, self._held = self._held, None
        body, self._body = self._body.getvalue(), BytesIO()
        self._receiver.received(self.head, body, held)

    def _without_upgrade(self) -> bytes:
        """The head of an offer of another protocol as if the offer had not been made; for a new parser.

        The parser takes all that follows such an offer for the other protocol, the body included; Java's
        HTTP client makes one (`upgrade: h2c`) with every first POST.
        """
        method = self.parser.get_method()
        version = self.parser.get_http_version().encode()
        kept = [pair for pair in self._headers.items() if pair[0] not in {b"upgrade", b"expect"}]
        self.parser = httptools.HttpRequestParser(self)
        return b"%b %b HTTP/%b\r\n%b\r\n" % (method, self._target, version, field_lines(kept))

    def _check_head(self) -> None:
        """Refuse what the parser lets pass and we do not."""
        version = self.parser.get_http_version()
        headers = self._headers
        if version not in _VERSIONS:
            raise _NotTaken(505, _OTHER_VERSION)
        if self.parser.get_method() == b"CONNECT":
            raise _NotTaken(405, "this server is not a proxy and does not support CONNECT")
        if version == "1.1" and b"host" not in headers:
            raise _NotTaken(400, "an HTTP/1.1 request must have a host header")
        if not _HOST.fullmatch(headers.get(b"host", b"")):
            raise _NotTaken(400, "the host header is invalid")
        if not self._target.startswith(b"/") and self._target != b"*":
            raise _NotTaken(400, "the request target must be a path")
        if b"transfer-encoding" in headers and version == "1.0":
            raise _NotTaken(400, "HTTP/1.0 does not support transfer encodings")
        if headers.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
            raise _NotTaken(501, "the only supported transfer encoding is chunked")

    def _reset(self) -> None:
        """Prepare for the next message."""
        self.receiving = True
        self.head = _NO_HEAD
        self._head_read = False
        self._target = b""
        self._headers = {}
        self._header_bytes = 0
        self._fields = 0
        self._most_bytes = 0
        self._unread_bytes = 0  # brought no body yet: the parser hands on only whole headers

    def _count_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > self._limits.header_bytes:
            raise _NotTaken(431, self._too_long())

    def _too_long(self) -> str:
        return f"the headers are larger than {self._limits.header_bytes} bytes"

    def _too_large(self) -> _NotTaken:
        return _NotTaken(413, f"the body is larger than {self._most_bytes} bytes")


_NO_HEAD = RequestHead("", "", "", {})
_OTHER_VERSION = "this server speaks HTTP/1.1 and HTTP/1.0 only"


class _NotTaken(Exception):
    """Raised inside a parser callback; httptools hands it on."""

    def __init__(self, status: int, message: str, refused: Refused | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.refused = refused
