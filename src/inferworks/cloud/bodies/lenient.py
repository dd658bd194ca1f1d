"""Answers read for what they are needed for: a value of another type than it should have is not said.

Problem. A struct says which type each field of an answer has, and the decoder refuses the whole answer for
one field that has another: a time with a fraction, a null, a count that is written as a text. Nobody needs
the time, and the answer has been made and paid for.

Decision. An answer is decoded as it should be, in one go, and nearly all are. Only where that fails is it
read once more, field by field: what fits its type is taken, a number is cut or read from its digits where a
whole one is wanted, an object that does not fit is read in the same way, and all else is left at its
default, and half a letter is U+FFFD. What is no JSON, or no object at its top, is an error as before, and
so is what cannot be done without (`needed`, of the struct's class): an answer whose words cannot be read is
not an empty one. All this is as deep as the types and not as the answer, so the work grows with its size
and no faster.

Rejected: `Any` for every field that some vendor has written otherwise, which moves the checks to where the
field is used, and costs every answer what only the odd one needs.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from types import UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

import msgspec

from inferworks.cloud.bodies.rewrite import read_fields
from inferworks.errors import UnreadableError

Kind = TypeVar("Kind", bound=msgspec.Struct)

_NOT_SAID: Final = object()
_ESCAPE: Final = re.compile(
    rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)|\\.", re.DOTALL
)
"""Any escape; a group for one that is half a letter."""
_NUMBER_BYTES: Final = 64
"""A longer number is none that counts anything."""


def read_answer(data: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[Kind]) -> Kind:
    """An answer or an event by `decoder`, whose type is a struct; leniently where it does not fit that.

    UnreadableError when it is no JSON object.
    """
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return fitted_or_unreadable(data, decoder.type)


def fitted_or_unreadable(data: bytes | msgspec.Raw, kind: type[Kind]) -> Kind:
    """The same for one that is known not to fit, or to be no JSON by the letter."""
    try:
        return leniently(with_whole_letters(bytes(data)), kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableError(error) from error


def with_whole_letters(data: bytes) -> bytes:
    """JSON whose escapes name whole letters: U+FFFD stands for a half, as every decoder has it.

    A letter beyond 16 bits is written as two escapes. An upstream that cuts its text between tokens may
    send one half in each of two events, which a strict decoder refuses.
    """
    if b"\\u" not in data:
        return data
    return _ESCAPE.sub(lambda found: b"\\ufffd" if found[1] else found[0], data)


def leniently(data: bytes | msgspec.Raw, kind: type[Kind]) -> Kind:
    """The JSON object `data` as a `kind`, all of whose fields have defaults.

    DecodeError when it is no JSON object, or what it needs does not fit.
    """
    fields = read_fields(data)
    needed: Collection[str] = getattr(kind, "needed", ())
    said: dict[str, Any] = {}
    for field in _fields(kind):
        raw = fields.get(field.encode_name)
        value = _NOT_SAID if raw is None else _fitting(raw, field.type)
        if value is not _NOT_SAID:
            said[field.name] = value
        elif field.name in needed and raw is not None and bytes(raw) != b"null":
            raise msgspec.ValidationError(
                f"its {field.encode_name} has another type than it should"
            )
    return kind(**said)


_fields = cache(msgspec.structs.fields)
_decoder = cache(msgspec.json.Decoder)


def _fitting(raw: msgspec.Raw, hint: Any) -> Any:
    """The value `raw` as `hint`; `_NOT_SAID` where it cannot be one."""
    try:
        return _decoder(hint).decode(raw)
    except (msgspec.ValidationError, UnicodeDecodeError):
        pass
    origin = get_origin(hint)
    if origin is Annotated:
        return _fitting_number(raw, hint) if get_args(hint)[0] in (int, float) else _NOT_SAID
    if origin in (Union, UnionType):
        every = (_fitting(raw, one) for one in get_args(hint))
        return next((value for value in every if value is not _NOT_SAID), _NOT_SAID)
    if origin is list and bytes(raw).startswith(b"["):
        (part,) = get_args(hint)
        every = (_fitting(one, part) for one in _list(raw))
        return [value for value in every if value is not _NOT_SAID]
    if hint in (int, float, str):
        return _fitting_number(raw, hint)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct) and bytes(raw).startswith(b"{"):
        return leniently(raw, hint)
    return _NOT_SAID


def _fitting_number(raw: msgspec.Raw, hint: Any) -> Any:
    """A number, or the digits of one, as `hint`: whole where that is wanted, or as a text."""
    written = bytes(raw)
    digits = written.strip(b'"')
    if len(digits) > _NUMBER_BYTES or (hint is str and digits != written):
        return _NOT_SAID
    try:
        number = float(digits)
        if hint is str:
            return digits.decode()
        if float in (hint, *get_args(hint)[:1]):
            return msgspec.convert(number, hint)
        return msgspec.convert(int(digits) if digits.isdigit() else int(number), hint)
    except (ValueError, OverflowError):  # no number, an endless one, or one out of bounds
        return _NOT_SAID


_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
