"""Content codings: what came compressed is made plain, a bounded piece at a time.

Problem. A few hundred bytes may stand for gigabytes, and a decoder that is asked for all of them makes all
of them. Nobody who takes what is coded can say beforehand how large it will be.

Decision. Whoever decodes gets pieces of at most `PIECE_BYTES`, counts each, and stops when it has had
enough: no more is decoded than is asked for. What is coded must be what it says from its first byte to its
last: a stream that is cut off, or has something behind it, is refused, as a message with two lengths is.

gzip and deflate are decoded as they come, by the standard library. zstd is decoded where all of it is
there, by Arrow, where that is installed. Several codings on top of each other are not
taken: nobody sends them but to see what happens.

Rejected: `gzip.decompress` (no bound); packages for brotli and zstd (clients and upstreams are told what is
taken, and choose).

Source: https://www.rfc-editor.org/rfc/rfc9110#section-8.4
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from inferworks.arrow import pa
from inferworks.extras import is_installed

PIECE_BYTES: Final = 256 * 1024
TAKEN: Final = b"gzip, deflate, zstd" if is_installed("pyarrow") else b"gzip, deflate"
"""Codings accepted for a whole body, as an `accept-encoding` value."""
_WHOLE_ONLY: Final = b"zstd"
_STEP_BYTES: Final = 16 * 1024
"""Bytes read at a time: what lies behind the end of a member is copied."""
_MOST_MEMBERS: Final = 1000
"""A gzip may be several, one behind the other, and each costs more than its 20 bytes."""
_GZIP: Final = 16 + zlib.MAX_WBITS
_NAMES: Final = {b"x-gzip": b"gzip"}


def coding_of(header: bytes) -> bytes:
    """Return the coding of a `content-encoding` header; empty for none or `identity`.

    Several codings give their list, which `can_decode` refuses.
    """
    named = [word.strip().lower() for word in header.split(b",")]
    codings = [_NAMES.get(word, word) for word in named if word not in (b"", b"identity")]
    return b", ".join(codings)


def can_decode(coding: bytes) -> bool:
    """Return True when a whole body in this coding can be decoded."""
    return coding in TAKEN.split(b", ")


def decoded(data: bytes, coding: bytes) -> Iterator[bytes]:
    """The pieces of a whole body that `can_decode`. ValueError when it is not in that coding."""
    if coding == _WHOLE_ONLY:
        try:
            with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
                while piece := stream.read(PIECE_BYTES):
                    yield piece
        except OSError as error:
            raise ValueError(f"the data does not match its content coding ({error})") from error
        return
    inflater = Inflater(coding)
    yield from inflater.feed(data)
    inflater.end()


class Inflater:
    """Decodes gzip or deflate as it comes. ValueError, here and from its methods, when it is neither."""

    def __init__(self, coding: bytes) -> None:
        if coding not in (b"gzip", b"deflate"):
            raise ValueError(f"unsupported content coding ({coding[:40]!r})")
        self._is_gzip = coding == b"gzip"
        self._inside: zlib._Decompress | None = None
        """Decompressor of the member that has begun and is not whole."""
        self._members = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The pieces that `data` completes; take all of them before the next."""
        try:
            for start in range(0, len(data), _STEP_BYTES):
                yield from self._step(data[start : start + _STEP_BYTES])
        except zlib.error as error:
            raise ValueError(f"the data does not match its content coding ({error})") from error

    def end(self) -> None:
        """Nothing more comes."""
        if self._inside is not None:
            raise ValueError("the compressed data is truncated")

    def _step(self, data: bytes) -> Iterator[bytes]:
        while data:
            inside = self._inside
            if inside is None:  # the next member begins
                if self._members and not self._is_gzip:
                    raise ValueError("data follows the end of the compressed stream")
                if self._members == _MOST_MEMBERS:
                    raise ValueError(f"the compressed data has more than {_MOST_MEMBERS:,} members")
                self._members += 1
                # Deflate has a head by its standard, and with some servers it has none.
                has_head = data[0] & 0x8F == 0x08
                bits = _GZIP if self._is_gzip else zlib.MAX_WBITS if has_head else -zlib.MAX_WBITS
                self._inside = inside = zlib.decompressobj(bits)
            piece = inside.decompress(data, PIECE_BYTES)
            while piece:
                yield piece
                is_all = len(piece) < PIECE_BYTES or inside.eof
                piece = b"" if is_all else inside.decompress(inside.unconsumed_tail, PIECE_BYTES)
            data = inside.unused_data
            if inside.eof:
                self._inside = None
