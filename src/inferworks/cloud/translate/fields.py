"""A request's fields, sorted by what becomes of them on the way into another dialect.

A field of the caller's dialect is translated, dropped because no answer depends on it, or refused because
one does. A field that the dialect does not know can only be meant for the upstream, and passes as it is
for the upstream to take or refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from inferworks.errors import CallError, UpstreamError

Decoded = TypeVar("Decoded")
Fields = dict[str, Any]
"""An object on its way to JSON; a value may be `msgspec.Raw`, the bytes that came."""

_read_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class FieldRules:
    """What becomes of the fields of a dialect; those that it does not name pass."""

    upstream: str
    """Whose API is asked instead, for the words of a refusal."""
    translated: Collection[str]
    dropped: Collection[str]
    refused: Mapping[str, tuple[Any, ...]]
    """Field -> the values that ask for nothing and may be dropped; null is always one."""


def passed(body: bytes, rules: FieldRules) -> Fields:
    """The fields of `body` that pass as they are; null ones say nothing and do not.

    CallError 400 for a field that cannot be said.
    """
    fields = read_request(body, _read_fields)
    for name in fields.keys() & rules.refused.keys():
        value = read_request(fields[name], msgspec.json.decode)
        if value is not None and value not in rules.refused[name]:
            raise cannot(name, f"is not known to {rules.upstream}, which serves this model", name)
    known = {*rules.translated, *rules.dropped, *rules.refused}
    return {
        name: value
        for name, value in fields.items()
        if name not in known and bytes(value) != b"null"
    }


def read_request(body: bytes, decode: Callable[[bytes], Decoded]) -> Decoded:
    """A caller's `body`; CallError 400 when it is not what its dialect says."""
    try:
        return decode(body)
    except _UNREADABLE as error:
        raise CallError(
            400, f"The request cannot be read: {error}", code="invalid_value"
        ) from error


def read_answer(data: bytes, decode: Callable[[bytes], Decoded]) -> Decoded:
    """An upstream's answer or event; UpstreamError when it is not what its dialect says."""
    try:
        return decode(data)
    except _UNREADABLE as error:
        raise UpstreamError(f"the answer cannot be read: {error}", sent=True) from error


def cannot(what: str, why: str, param: str) -> CallError:
    """The refusal of what cannot be said in the upstream's dialect."""
    return CallError(400, f"'{what}' {why}.", code="unsupported_parameter", param=param)


def set_if(fields: Fields, name: str, value: object) -> None:
    """Put `value` into `fields` unless it is None."""
    if value is not None:
        fields[name] = value


def is_object(text: str) -> bool:
    """Whether `text` is a JSON object."""
    try:
        _read_fields(text.encode())
    except (*_UNREADABLE, UnicodeEncodeError):
        return False
    return True
