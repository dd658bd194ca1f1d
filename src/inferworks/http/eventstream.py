"""Amazon's event streams as bytes: split a stream into messages, checked; and write one.

    | total u32 | headers u32 | CRC of these 8 bytes | headers | payload | CRC of all before it |

Everything is big-endian, both sums are CRC-32. A message that does not add up is an error and no message:
what came through damaged could be anybody's words, or their count. The prelude has a sum of its own so
that a damaged length is known at once, and not waited for.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html (the framing is the
same for every service), https://smithy.io/2.0/aws/amazon-eventstream.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Final
from zlib import crc32

import msgspec

CONTENT_TYPE: Final = b"application/vnd.amazon.eventstream"

_PRELUDE: Final = struct.Struct(">III")
_SUM: Final = struct.Struct(">I")
_SHORT: Final = struct.Struct(">H")
_LEAST_BYTES: Final = _PRELUDE.size + _SUM.size
_MOST_HEADER_BYTES: Final = 128 * 1024
"""Limit of the format; without it one message could have millions of headers."""
_STRING: Final = 7
_FIXED_BYTES: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Type of a header's value -> its size; types 6 (bytes) and 7 (string) say it themselves."""


class Message(msgspec.Struct, frozen=True):
    """One message. Headers whose values are no text are left out: no event of a model has one."""

    headers: Mapping[str, str]
    payload: bytes

    @property
    def kind(self) -> str:
        """`event`, `exception` or `error`."""
        return self.headers.get(":message-type", "")


class MessageSplitter:
    """Collects pieces of an event stream and hands out whole messages.

    What has come of an unfinished one is kept as it grows, and looked at again only once it can be whole.
    """

    def __init__(self, limit_bytes: int = 16 * 1024 * 1024) -> None:
        self._rest = bytearray()
        self._wanted_bytes = 0
        """The size of the unfinished message; 0 while it is not known."""
        self._limit_bytes = limit_bytes

    @property
    def rest(self) -> bytes:
        """Bytes of the unfinished message."""
        return bytes(self._rest)

    def feed(self, data: bytes) -> list[Message]:
        """The messages completed by `data`. ValueError when one is damaged, or beyond the limit.

        Those before a damaged one are handed out first; the next call finds it at the beginning.
        """
        if self._rest:
            self._rest += data
            if len(self._rest) < self._wanted_bytes:
                return []
            data = bytes(self._rest)
        messages: list[Message] = []
        start = 0
        try:
            while size := self._size(data, start):
                end = start + size - _SUM.size
                if crc32(data[start:end]) != _SUM.unpack_from(data, end)[0]:
                    raise ValueError("checksum mismatch in an event")
                headers_at = start + _PRELUDE.size
                headers_end = headers_at + _PRELUDE.unpack_from(data, start)[1]
                headers = dict(_headers(data[headers_at:headers_end]))
                messages.append(Message(headers, data[headers_end:end]))
                start += size
        except ValueError:
            if not messages:
                raise
        self._rest = bytearray(data[start:])
        return messages

    def check_end(self) -> None:
        """ValueError when the body ends in the middle of a message."""
        if self._rest:
            raise ValueError("the stream ended in the middle of an event")

    def _size(self, data: bytes, start: int) -> int:
        """The size of the message at `start`; 0 when it is not whole yet."""
        self._wanted_bytes = 0
        if len(data) - start < _PRELUDE.size:
            return 0
        size: int
        size, headers_bytes, wanted = _PRELUDE.unpack_from(data, start)
        if crc32(data[start : start + 8]) != wanted:
            raise ValueError("checksum mismatch in an event's prelude")
        if size > self._limit_bytes:
            raise ValueError(f"an event is larger than {self._limit_bytes} bytes")
        if size < _LEAST_BYTES + headers_bytes:
            raise ValueError("an event's headers are longer than the event")
        if headers_bytes > _MOST_HEADER_BYTES:
            raise ValueError(f"an event's headers are larger than {_MOST_HEADER_BYTES} bytes")
        if len(data) - start >= size:
            return size
        self._wanted_bytes = size
        return 0


def _headers(data: bytes) -> Iterator[tuple[str, str]]:
    """The headers in `data` whose values are text."""
    try:
        at = 0
        while at < len(data):
            name_end = at + 1 + data[at]
            name, kind = data[at + 1 : name_end].decode("ascii"), data[name_end]
            at = name_end + 1
            if kind in _FIXED_BYTES:
                at += _FIXED_BYTES[kind]
                continue
            value_end = at + 2 + _SHORT.unpack_from(data, at)[0]
            if kind == _STRING:
                yield name, data[at + 2 : value_end].decode()
            at = value_end
        if at > len(data):
            raise IndexError("the last value ends after the headers")
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise ValueError("an event's headers cannot be read") from error


def written(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message as it stands on the wire."""
    lines = b""
    for name, value in headers.items():
        key, text = name.encode("ascii"), value.encode()
        lines += bytes([len(key)]) + key + bytes([_STRING]) + _SHORT.pack(len(text)) + text
    sizes = struct.pack(">II", _LEAST_BYTES + len(lines) + len(payload), len(lines))
    message = sizes + _SUM.pack(crc32(sizes)) + lines + payload
    return message + _SUM.pack(crc32(message))
