"""Compression of a file, and the encoding of its text.

Problem. Clouds deliver `.csv.gz` and zips of several files, spreadsheets save UTF-16, and a compressed
file of a kilobyte can hold a terabyte.

Decision. A compressed file is read as a stream, never decompressed as a whole (except Parquet, which
needs random access), and the stream ends with an error where it exceeds `MOST_BYTES` or a plausible
ratio. A zip is a folder: each of its members is a file of its own. Any other format is refused by its
name, with the format to save it as. The first bytes decide, never the name of the file.

UTF-8 is assumed; UTF-16 and UTF-32 are known by their mark. Every file is also valid Windows-1252, so
that one has to be declared. A mark, and any other character without width, may stand within a file, where
parts were joined; around a cell it is never part of the cell's text (`bare`).
"""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

from inferworks.arrow import pa
from inferworks.errors import BillError, NoBillError

MOST_BYTES: Final = 8 * 2**30
"""Of one file, unpacked."""
_MOST_PARQUET_BYTES: Final = 2 * 2**30
_MOST_RATIO: Final = 400
"""Unpacked to packed: bills pack to a tenth or, at best, a hundredth."""
_ALWAYS_BYTES: Final = 32 * 2**20
"""Unpacked, whatever the ratio."""
_MOST_MEMBERS: Final = 10_000
_CHUNK_BYTES: Final = 2**20
_TAR_MARK_AT: Final = 257

_GZIP, _ZSTD, _ZIP, _PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"PAR1"
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # begins with the mark of UTF-16, and so is looked for first
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_NO_WIDTH = "\ufeff\u200b\u200c\u200d\u200e\u200f\u2060\u202a\u202c"
_AROUND = re.compile(rf"^\s*[{_NO_WIDTH}][\s{_NO_WIDTH}]*|[\s{_NO_WIDTH}]*[{_NO_WIDTH}]\s*$")
_FOREIGN = (
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save its sheet as CSV"),
    (b"%PDF", "a PDF, which has no columns; ask its sender for CSV"),
    (b"<!DOCTYPE", "a web page; the download may have needed a login"),
    (b"<html", "a web page; the download may have needed a login"),
    (b"<?xml", "XML; export it as CSV, JSON or Parquet"),
    (b"Obj\x01", "Avro; export it as CSV, JSON or Parquet"),
    (b"ORC", "ORC; export it as CSV, JSON or Parquet"),
    (b"BZh", "packed with bzip2; unpack it, or pack it with gzip"),
    (b"\xfd7zXZ", "packed with xz; unpack it, or pack it with gzip"),
    (b"7z\xbc\xaf", "packed with 7-Zip; unpack it, or pack it as zip"),
    (b"Rar!", "packed with RAR; unpack it, or pack it as zip"),
    (b"SQLite format 3", "an SQLite database; export the table as CSV"),
)


def is_parquet(head: bytes) -> bool:
    """Return True if a file that begins with `head` claims to be Parquet; otherwise it is text."""
    return head.startswith(_PARQUET)


def is_zip(raw: bytes) -> bool:
    """Return True if the file claims to be a zip."""
    return raw.startswith(_ZIP)


def members(name: str, raw: bytes) -> Iterator[tuple[str, bytes]]:
    """The files in `raw` with their names, in the order of their names: itself, or what a zip holds.

    BillError when the zip cannot be read, is an office document, or holds too much.
    """
    if not is_zip(raw):
        yield name, raw
        return
    with _told(name, "zip"), zipfile.ZipFile(io.BytesIO(raw)) as archive:
        entries = sorted(
            (e for e in archive.infolist() if not e.is_dir()), key=lambda e: e.filename
        )
        names = {entry.filename for entry in entries}
        if "[Content_Types].xml" in names:
            raise NoBillError(f"{name}: an Excel workbook or other office document; save it as CSV")
        if names >= {"content.xml", "mimetype"}:
            raise NoBillError(f"{name}: an OpenDocument file; save its sheet as CSV")
        if len(entries) > _MOST_MEMBERS:
            raise BillError(f"{name}: holds {len(entries)} files; at most {_MOST_MEMBERS} are read")
        if not entries:
            raise BillError(f"{name}: the zip is empty")
        left = _most_bytes(len(raw), MOST_BYTES)
        for entry in entries:
            if entry.flag_bits & 1:
                raise BillError(f"{name}: {entry.filename} needs a password; unpack it first")
            with archive.open(entry) as file:
                content = file.read(left + 1)
            left -= len(content)
            if left < 0:
                raise _too_large(name)
            if is_zip(content):
                raise BillError(f"{name}: {entry.filename} is a zip in a zip; unpack it first")
            yield f"{name}/{entry.filename}", content


def is_packed(raw: bytes) -> bool:
    """Return True if the file is packed with gzip or zstd."""
    return raw.startswith((_GZIP, _ZSTD))


def opened(name: str, raw: bytes) -> io.BytesIO | io.BufferedReader:
    """The content of `raw`, unpacked as it is read; a BillError where it is damaged or too large."""
    if not is_packed(raw):
        return io.BytesIO(raw)
    return io.BufferedReader(_Unpacked(name, raw), _CHUNK_BYTES)


def head_of(name: str, raw: bytes) -> bytes:
    """The first bytes of the content of `raw`."""
    return opened(name, raw).read(_CHUNK_BYTES)


def random_access(name: str, raw: bytes) -> bytes:
    """The whole content of `raw`, for a reader that needs it so."""
    if not is_packed(raw):
        return raw
    content = opened(name, raw).read(_MOST_PARQUET_BYTES + 1)
    if len(content) > _MOST_PARQUET_BYTES:
        raise _too_large(name)
    return content


def encoding_of(head: bytes, declared: str = "") -> str:
    """The encoding of a text that begins with `head`: what its mark says, else `declared` or UTF-8."""
    return _marked(head) or declared or "utf-8-sig"


def _marked(head: bytes) -> str:
    return next((encoding for mark, encoding in _MARKS.items() if head.startswith(mark)), "")


def bare(text: str) -> str:
    """`text` without what has no width around it, such as the mark of a part's beginning."""
    return text if text.isascii() else _AROUND.sub("", text)


def all_bare(texts: Sequence[str]) -> Sequence[str]:
    """Each of `texts` so; they are looked at one by one only where any of them has such a character."""
    together = "".join(texts)
    if together.isascii() or not any(mark in together for mark in _NO_WIDTH):
        return texts
    return [bare(text) for text in texts]


def bare_lines(lines: Iterable[str]) -> Iterator[str]:
    """`lines` without what has no width before them: a quoted cell would not be seen behind it."""
    for line in lines:
        yield line if line.isascii() else line.lstrip(_NO_WIDTH)


def check(name: str, raw: bytes, encoding: str = "") -> None:
    """BillError when `raw` is in no form that is read here, damaged, too large, or no such text."""
    head = head_of(name, raw)
    if is_packed(raw) and (is_packed(head) or is_zip(head)):
        raise BillError(f"{name}: is packed twice; unpack it once")
    begins = head[:64].lstrip()
    for mark, what in _FOREIGN:
        if begins[: len(mark)].lower() == mark.lower():
            raise NoBillError(f"{name}: {what}")
    if b"\0" in head[:2] and not _marked(head):
        raise NoBillError(
            f"{name}: UTF-16 without its mark, or no text at all; save it as UTF-8 CSV"
        )
    if head[_TAR_MARK_AT : _TAR_MARK_AT + 5] == b"ustar":
        raise NoBillError(f"{name}: a tar archive; unpack it and import its files")
    if is_parquet(head):
        return
    codec = encoding_of(head, encoding)
    decoder, at = codecs.getincrementaldecoder(codec)(), 0
    stream = opened(name, raw)
    while True:
        chunk = stream.read(_CHUNK_BYTES)
        begun = at - len(decoder.getstate()[0])
        at += len(chunk)
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeError as error:
            if codec != "utf-8-sig":
                raise NoBillError(f"{name}: not {codec} text; save it as UTF-8 CSV") from error
            raise NoBillError(
                f"{name}: not UTF-8 text at byte {begun + getattr(error, 'start', 0)}; export it as UTF-8 "
                'CSV, or say in a mapping what it is ([form] encoding = "windows-1252")'
            ) from error
        if not chunk:
            return


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Unpacked(io.RawIOBase):
    """The unpacked content of `raw`, which ends with a BillError when it is damaged or grows too large."""

    def __init__(self, name: str, raw: bytes) -> None:
        self._name = name
        self._stream: _Stream
        if raw.startswith(_GZIP):
            self._kind, self._stream = "gzip", gzip.GzipFile(fileobj=io.BytesIO(raw))
        else:
            self._kind = "zstd"
            self._stream = pa.CompressedInputStream(pa.BufferReader(raw), "zstd")
        self._left = _most_bytes(len(raw), MOST_BYTES)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` with the next bytes; how many there were."""
        with _told(self._name, self._kind):
            data = self._stream.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise _too_large(self._name)
        buffer[: len(data)] = data
        return len(data)


def _most_bytes(packed: int, most: int) -> int:
    return min(most, max(_ALWAYS_BYTES, packed * _MOST_RATIO))


def _too_large(name: str) -> BillError:
    return BillError(
        f"{name}: unpacks to more than {MOST_BYTES >> 30} GiB or to more than {_MOST_RATIO} times its "
        "size; if it is a bill, unpack it and split it"
    )


@contextmanager
def _told(name: str, kind: str) -> Iterator[None]:
    """Turn errors of unpacking into a BillError that names the file."""
    try:
        yield
    except (EOFError, OSError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:120]
        raise BillError(
            f"{name}: not a whole {kind} file, it may have been cut off; fetch it again ({reason})"
        ) from error
