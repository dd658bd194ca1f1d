"""One value at the top of a request changed where it stands: every other byte stays what the caller sent.

An upstream may have another name for a model, and is always asked for its usage. Taking a request apart and
putting it together again would keep its values, but not what lies between them: white space, the way a
name is escaped. A prompt cache, a signature or a log may hang on any of it. So the one value is found in
the bytes and its bytes are exchanged.

A decoder gives a value's bytes and not their place. They are somewhere in the request, so where they are
found once, that is the place, as in nearly every request. Where they are found more often (a model's name
that is also a value of `metadata`), the fields are walked along: the decoder has told how long each value
is, so that only what lies between two values is looked at. Either way the work grows with the size of the
request and no faster.

Rejected: a search for `"model":`, which finds fields of inner objects too and misses a name with an escape;
changing one place after the other and reading the whole again, which a caller can make as slow as it likes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from operator import call
from typing import Final, NamedTuple

import msgspec

from inferworks.cloud.bodies.aside import LARGE_BYTES

MOST_NAMES: Final = 1000
"""Most fields that a large request may have at its top."""
_WHITE_SPACE: Final = b" \t\r\n"
_BEFORE_VALUE: Final = re.compile(
    rb'[ \t\r\n]*+[{,][ \t\r\n]*+"[^"\\]*+(?:\\.[^"\\]*+)*+"[ \t\r\n]*+:[ \t\r\n]*+', re.DOTALL
)
"""Bytes between the end of one value of an object and the next. The pattern never backtracks."""


class _Name(str):
    """A name as often as it is given: two that are spelled alike are still two keys."""

    __slots__ = ()
    __eq__ = object.__eq__
    __hash__ = object.__hash__


_read_small = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
read_every_small = msgspec.json.Decoder(dict[_Name, msgspec.Raw], dec_hook=call).decode
"""Read the fields of a small JSON object, each of its names as often as it is given."""


class TooManyNamesError(msgspec.DecodeError):
    """A JSON object has more than `MOST_NAMES` fields."""


def read_fields(body: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """The fields of a JSON object, each value as its bytes; the last of what is given twice.

    DecodeError when it is none, or a large one of more names than `MOST_NAMES`.
    """
    return _read_small(body) if len(body) <= LARGE_BYTES else dict(every_field(body))


def every_field(body: bytes | msgspec.Raw) -> list[tuple[str, msgspec.Raw]]:
    """The fields of a JSON object in their order, those that are given twice too.

    DecodeError when it is none, TooManyNamesError as soon as it has more than `MOST_NAMES`.
    """
    return [(str(name), value) for name, value in read_every(body).items()]


def read_every(body: bytes | msgspec.Raw) -> Mapping[str, msgspec.Raw]:
    """The same by name, each as often as it is given."""
    left = MOST_NAMES

    def one_more(kind: type[_Name], name: str) -> _Name:
        nonlocal left
        left -= 1
        if left < 0:
            raise TooManyNamesError
        return kind(name)

    every: dict[str, msgspec.Raw] = msgspec.json.decode(
        body, type=dict[_Name, msgspec.Raw], dec_hook=one_more
    )
    return every


def with_model(body: bytes, model: str) -> bytes:
    """The request `body` for another name of the model. DecodeError when it is no object."""
    return with_value(body, read_fields(body), "model", msgspec.json.encode(model))


def with_value(body: bytes, fields: Mapping[str, msgspec.Raw], name: str, value: bytes) -> bytes:
    """The JSON object `body`, whose fields are `fields`, with `value` (JSON) as its `name`.

    A name that it does not have yet is put at its end. Of one given twice the last counts, and is changed.
    """
    if name not in fields:
        end = body.rstrip(_WHITE_SPACE)
        field = b"%b:%b" % (msgspec.json.encode(name), value)
        return b"".join((end[:-1], b"," if fields else b"", field, body[len(end) - 1 :]))
    old = bytes(fields[name])
    if old == value:
        return body
    place = body.find(old)
    if body.find(old, place + 1) >= 0:
        place = _last_of(body, name).value_at
    return b"".join((body[:place], value, body[place + len(old) :]))


def without_value(body: bytes, name: str) -> bytes:
    """The JSON object `body` less its `name`, the last that it has; all other bytes stay."""
    field = _last_of(body, name)
    before, after = body[: field.at], body[field.end :]
    if body[field.at : field.at + 1] == b"{":
        before, after = before + b"{", after.lstrip(_WHITE_SPACE).removeprefix(b",")
    return before + after


class _Field(NamedTuple):
    """Place of a field: from the sign before its name, a brace or a comma, to the end of its value."""

    at: int
    value_at: int
    end: int


def _last_of(body: bytes, name: str) -> _Field:
    """The last field of that name; it must have one."""
    found: list[_Field] = []
    end = 0
    for given, value in every_field(body):
        before = _BEFORE_VALUE.match(body, end)
        assert before is not None, "the decoder has read a name here"
        sign_at = before.start() + len(before[0]) - len(before[0].lstrip(_WHITE_SPACE))
        end = before.end() + len(value)
        if given == name:
            found.append(_Field(sign_at, before.end(), end))
    return found[-1]
