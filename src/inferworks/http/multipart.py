"""Forms with files (multipart/form-data): where their fields are, and one of them exchanged.

Problem. A recording that is to be transcribed, or a picture that is to be changed, comes as a form whose
parts are megabytes of file and a few short fields. A gateway must know three or four of the fields (which
model, streamed or not) and pass the rest on as it came. And it must read them as the upstream will: were
two parsers to disagree on which part is `model`, a caller could be charged for one and be served another.

Decision. A reader that finds places and copies nothing: it looks for the boundary (one `bytes.find` a
part, which runs at the speed of memory) and reads the few header lines after it. It is strict where
parsers are known to differ, and refuses what no client writes: something before the first boundary or
after the last, lines that end in LF alone, folded or repeated headers, white space after a boundary, a
boundary that is the beginning of a longer line, a name that is escaped or written in the extended way
(`name*`), an encoding of its own for a part. A field that is asked for comes once. Sizes and numbers are
bounded, and every search is linear.

To give the upstream its own name of a model, the value of that one part is exchanged; the boundary, the
order and every other byte stay, so the content type of the request still fits.

Rejected. The `email` package (it copies every part several times, and forgives what it does not
understand); python-multipart (made to write files away while they come, with a callback for each
piece, and a dependency for what are a hundred lines here); reading the form while it comes (the request
is in memory anyway, because an attempt that fails is made again elsewhere).

Sources: https://www.rfc-editor.org/rfc/rfc7578, https://www.rfc-editor.org/rfc/rfc2046#section-5.1
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

MEDIA_TYPE: Final = b"multipart/form-data"

_MOST_PARTS: Final = 128
_MOST_HEAD_BYTES: Final = 4096
_MOST_FIELD_BYTES: Final = 64 * 1024
_LONGEST_BOUNDARY: Final = 70

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = re.compile(
    rb"[ \t]*;[ \t]*(" + _TOKEN + rb')=(?:"((?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f])*)"|('
    rb"[^\"\s;,=\x00-\x1f\x7f]+))"
)
"""A parameter of a header: its name, and its value in quotes or bare."""
_HEADER: Final = re.compile(rb"(" + _TOKEN + rb"):[ \t]*+([^\x00-\x08\x0a-\x1f\x7f]*)")
_BOUNDARY: Final = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]*[0-9A-Za-z'()+_,./:=?-]")
_PLAIN_ENCODINGS: Final = frozenset({b"7bit", b"8bit", b"binary"})


class Part(NamedTuple):
    """One part of a form: its value is `body[start:end]`."""

    name: str
    is_file: bool
    start: int
    end: int


def is_form(content_type: bytes) -> bool:
    """Return True when `content_type` is multipart/form-data."""
    return content_type.lower().startswith(MEDIA_TYPE)


def read_parts(body: bytes, content_type: bytes) -> tuple[Part, ...]:
    """The parts of `body`, in order. ValueError, in one clear line, when it is not strictly a form."""
    return tuple(_parts(body, b"\r\n--" + boundary_of(content_type)))


def text_fields(body: bytes, parts: Collection[Part], names: Collection[str]) -> dict[str, str]:
    """The values of those fields of `names` that the form has.

    `names` are in small letters. ValueError when one comes twice, as a file, in another encoding than
    UTF-8, or larger than 64 KiB; or in capitals, which to some readers of forms is the same name.
    """
    found: dict[str, str] = {}
    for part in parts:
        if (name := part.name.casefold()) not in names:
            continue
        if part.name != name:
            raise ValueError(f"the field {part.name} must be called {name}")
        if part.name in found:
            raise ValueError(f"the field {part.name} comes twice")
        if part.is_file:
            raise ValueError(f"the field {part.name} is a file")
        if part.end - part.start > _MOST_FIELD_BYTES:
            raise ValueError(f"the field {part.name} is larger than {_MOST_FIELD_BYTES} bytes")
        try:
            found[part.name] = body[part.start : part.end].decode()
        except UnicodeDecodeError:
            raise ValueError(f"the field {part.name} is not UTF-8") from None
    return found


def with_field(body: bytes, content_type: bytes, name: str, value: str) -> bytes:
    """The form `body` with `value` as its field `name`; every other byte stays.

    A field that it does not have yet is put before the others. ValueError when the body is no form, has the
    field twice, or a value could be taken for something else than one.
    """
    if "\r" in value or "\n" in value or value.startswith("--"):
        raise ValueError(f"the field {name} cannot have the value {value[:80]!r}")
    given = [part for part in read_parts(body, content_type) if part.name == name]
    if len(given) > 1:
        raise ValueError(f"the field {name} comes twice")
    for part in given:
        return b"".join((body[: part.start], value.encode(), body[part.end :]))
    return _written(boundary_of(content_type), name, value) + body


def without_field(body: bytes, content_type: bytes, name: str) -> bytes:
    """The form `body` less its fields of that `name`; ValueError when it is no form."""
    kept, at = [], 0
    for part in read_parts(body, content_type):
        end = part.end + 2  # its line break, after which the next boundary begins
        if part.name != name:
            kept.append(body[at:end])
        at = end
    return b"".join(kept) + body[at:]


def form_of(fields: Collection[tuple[str, str]], boundary: bytes) -> bytes:
    """A form of `fields`, none of them a file. ValueError when `boundary` is within a value."""
    if any(boundary in value.encode() for _, value in fields):
        raise ValueError("a field holds the boundary")
    parts = [_written(boundary, name, value) for name, value in fields]
    return b"".join(parts) + b"--" + boundary + b"--\r\n"


def boundary_of(content_type: bytes) -> bytes:
    """The boundary of a form's `content_type`. ValueError when it has none, or two, or is no form's."""
    media_type, semicolon, rest = content_type.partition(b";")
    if media_type.strip().lower() != MEDIA_TYPE:
        raise ValueError("the content type must be multipart/form-data")
    given = [v for name, v in _parameters(semicolon + rest, "content type") if name == b"boundary"]
    if len(given) != 1 or not 0 < len(given[0]) <= _LONGEST_BOUNDARY:
        raise ValueError("the content type needs one boundary of 1 to 70 characters")
    if not _BOUNDARY.fullmatch(given[0]):
        raise ValueError("the boundary has characters that none may have")
    return given[0]


def _written(boundary: bytes, name: str, value: str) -> bytes:
    head = b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n' % (boundary, name.encode())
    return head + value.encode() + b"\r\n"


def _parts(body: bytes, mark: bytes) -> Iterator[Part]:
    """The parts between one `mark` (a line break, two hyphens and the boundary) and the next."""
    if not body.startswith(mark[2:]):
        raise ValueError("the form must begin with its boundary")
    at = len(mark) - 2
    count = 0
    while not body.startswith(b"--", at):
        count += 1
        if count > _MOST_PARTS:
            raise ValueError(f"the form has more than {_MOST_PARTS} parts")
        name, is_file, start = _head(body, at)
        end = body.find(mark, start - 2)
        if end < start:
            raise ValueError("the form does not end with its boundary" if end < 0 else _NO_VALUE)
        yield Part(name, is_file, start, end)
        at = end + len(mark)
    if body[at + 2 : at + 5] not in (b"", b"\r\n"):
        raise ValueError("something follows the end of the form")


_NO_VALUE: Final = "a part has no empty line between its headers and its boundary"


def _head(body: bytes, at: int) -> tuple[str, bool, int]:
    """Return a part's name, whether it is a file, and its value's start; its boundary ends at `at`."""
    if not body.startswith(b"\r\n", at):
        raise ValueError("a boundary is not alone on its line")
    end = body.find(b"\r\n\r\n", at, at + _MOST_HEAD_BYTES)
    if end < 0:
        raise ValueError(f"the headers of a part do not end within {_MOST_HEAD_BYTES} bytes")
    headers: dict[bytes, bytes] = {}
    for line in body[at + 2 : end].split(b"\r\n"):
        found = _HEADER.fullmatch(line)
        if found is None:
            raise ValueError("a part has a header line that cannot be read")
        header = found[1].lower()
        if header in headers:
            raise ValueError(f"a part has the header {header.decode('latin-1')} twice")
        headers[header] = found[2]
    encoding = headers.get(b"content-transfer-encoding", b"binary")
    if encoding.strip().lower() not in _PLAIN_ENCODINGS:
        raise ValueError("a part has a Content-Transfer-Encoding; send it as it is")
    kind, semicolon, rest = headers.get(b"content-disposition", b"").partition(b";")
    if kind.strip().lower() != b"form-data":
        raise ValueError("a part has no Content-Disposition: form-data")
    given = list(_parameters(semicolon + rest, "Content-Disposition of a part"))
    keys = [key for key, _ in given]
    if keys.count(b"name") != 1 or b"name*" in keys:
        raise ValueError("a part needs one name, written plainly")
    name = given[keys.index(b"name")][1]
    if b"\\" in name or b"%" in name:
        raise ValueError("a part has a name with an escape")
    try:
        return name.decode(), b"filename" in keys or b"filename*" in keys, end + 4
    except UnicodeDecodeError:
        raise ValueError("a part has a name that is not UTF-8") from None


def _parameters(text: bytes, where: str) -> Iterator[tuple[bytes, bytes]]:
    """The parameters of a header; names in lower case, values without their quotes."""
    at, end = 0, len(text.rstrip(b" \t"))
    while at < end:
        found = _PARAMETER.match(text, at, end)
        if found is None:
            raise ValueError(f"the {where} cannot be read")
        quoted, bare = found[2], found[3]
        yield found[1].lower(), bare if quoted is None else quoted
        at = found.end()
