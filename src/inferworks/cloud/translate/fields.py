"""Fields of a request, sorted by their treatment in a translation into another dialect.

A field that both dialects have is translated or passes as it is. One of the caller's dialect alone is
dropped where no answer depends on it, left out and named where it is a wish, and refused where an answer
depends on it. An unknown field is newer than this table, and of the caller's dialect far more often than of
the upstream's: it is left out and named. To pass it would make the upstream refuse the whole request for an
unimportant field, and hand the client's own metadata to a third party (Codex's `client_metadata`). Fields
that a caller writes for a known upstream are among those that pass (`top_k` and `thinking` in a chat).

Where the operator wants it (`Call.lenient`), fields that would be refused are left out and named, too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from inferworks.cloud.bodies.bounds import check_answer
from inferworks.cloud.bodies.lenient import fitted_or_unreadable
from inferworks.cloud.bodies.rewrite import read_fields
from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.sent_names import SentNames, sent_name
from inferworks.errors import CallError

Decoded = TypeVar("Decoded")
Read = TypeVar("Read", bound=msgspec.Struct)
Fields = dict[str, Any]
"""An object on its way to JSON; a value may be `msgspec.Raw`, the bytes that came."""

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(slots=True)
class Omissions:
    """Fields that a translation leaves out of one request, by the caller's names."""

    lenient: bool = False
    """True when fields that cannot be translated are left out rather than refused."""
    names: list[str] = field(default_factory=list)
    sent_as: SentNames = field(default_factory=dict)
    """Caller's names of the fields."""

    def called(self, sent_as: SentNames) -> Omissions:
        """The same, for steps that know the fields by other names than the caller."""
        return Omissions(self.lenient, self.names, sent_as)

    def leave_out(self, what: str) -> None:
        """Leave out `what`, and say so."""
        self.names.append(sent_name(what, self.sent_as))

    def refuse(self, what: str, why: str, param: str) -> None:
        """Refuse the call for `what`, or leave it out where the model is asked leniently."""
        if not self.lenient:
            raise cannot(sent_name(what, self.sent_as), why, sent_name(param, self.sent_as))
        self.leave_out(what)


def asked_as(call: Call, target: Operation, body: bytes, omissions: Omissions) -> Call:
    """`call` put over: `body` says it in the words of `target`; headers of its own dialect stay behind.

    A stream is asked for its usage, whether or not the caller wants to see it.
    """
    return msgspec.structs.replace(
        call,
        operation=target,
        body=body,
        wants_usage=True,
        wants_running_usage=False,
        headers=(),
        left_out=(*call.left_out, *omissions.names),
    )


@dataclass(frozen=True, slots=True)
class FieldRules:
    """Treatment of each field of a dialect; fields that no rule names are left out, and named."""

    upstream: str
    """API that is asked instead, for the words of a refusal."""
    same: Collection[str]
    """Fields that pass as they are."""
    translated: Collection[str]
    dropped: Collection[str]
    """Fields on which no answer depends."""
    wishes: Mapping[str, tuple[Any, ...]]
    """Left out and named. Field -> the values that ask for nothing, as in `refused`."""
    refused: Mapping[str, tuple[Any, ...]]
    """Field -> the values that ask for nothing and may be dropped; null is always one."""


def passed(body: bytes, rules: FieldRules, omissions: Omissions) -> Fields:
    """The fields of `body` that pass as they are; null ones say nothing and do not.

    CallError 400 for a field that cannot be said.
    """
    kept: Fields = {}
    for name, value in read_request(body, read_fields).items():
        if name in rules.translated or name in rules.dropped or bytes(value) == b"null":
            continue
        if name in rules.same:
            kept[name] = value
        elif name in rules.refused:
            if read_request(value, msgspec.json.decode) not in rules.refused[name]:
                why = f"is not known to {rules.upstream}, which serves this model"
                omissions.refuse(name, why, name)
        elif name not in rules.wishes or (
            read_request(value, msgspec.json.decode) not in rules.wishes[name]
        ):
            omissions.leave_out(name)
    return kept


def read_request(body: bytes, decode: Callable[[bytes], Decoded]) -> Decoded:
    """A caller's `body`; CallError 400 when it is not what its dialect says."""
    try:
        return decode(body)
    except _UNREADABLE as error:
        raise CallError(
            400, f"The request cannot be read: {error}", code="invalid_value"
        ) from error


def read_answer(data: bytes, decoder: msgspec.json.Decoder[Read]) -> Read:
    """An upstream's answer or event, as far as it can be read; UnreadableError when it is no object."""
    check_answer(data)
    try:
        return decoder.decode(data)
    except _UNREADABLE:
        return fitted_or_unreadable(data, decoder.type)


def cannot(what: str, why: str, param: str) -> CallError:
    """The refusal of what cannot be said in the upstream's dialect."""
    return CallError(400, f"'{what}' {why}.", code="unsupported_parameter", param=param)


def set_if(fields: Fields, name: str, value: object) -> None:
    """Put `value` into `fields` unless it is None."""
    if value is not None:
        fields[name] = value


def is_object(text: str) -> bool:
    """Return True when `text` is a JSON object."""
    try:
        read_fields(text.encode())
    except (*_UNREADABLE, UnicodeEncodeError):
        return False
    return True
