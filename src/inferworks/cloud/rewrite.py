"""One value at the top of a request changed where it stands: every other byte stays what the caller sent.

An upstream may have another name for a model, and is always asked for its usage. Taking a request apart and
putting it together again would keep its values, but not what lies between them: white space, the way a
name is escaped, a field given twice. A prompt cache, a signature or a log may hang on any of it. So the
one value is found in the bytes and its bytes are exchanged.

A decoder gives a value's bytes and not their place. They are somewhere in the request, so where they are
found once, that is the place; where they are found more often (a model's name that is also a value of
`metadata`), the change is made at one place after the other and read again, until it is the right one. A
request that repeats them more often than `_TRIES` is put together anew, which keeps the bytes of all its
other values.

Rejected: a search for `"model":`, which finds fields of inner objects too and misses a name with an escape.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice

import msgspec

_TRIES = 8
_WHITE_SPACE = b" \t\r\n"

read_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
"""The fields of a JSON object, each value as its bytes; DecodeError when it is none."""


def with_model(body: bytes, model: str) -> bytes:
    """The request `body` for another name of the model. DecodeError when it is no object."""
    return with_value(body, read_fields(body), "model", msgspec.json.encode(model))


def with_value(body: bytes, fields: Mapping[str, msgspec.Raw], name: str, value: bytes) -> bytes:
    """The JSON object `body`, whose fields are `fields`, with `value` (JSON) as its `name`.

    A name that it does not have yet is put at its end. Of one given twice the last counts, and is changed.
    """
    if name not in fields:
        return _with_last(body, name, value, is_first=not fields)
    old = bytes(fields[name])
    if old == value:
        return body
    places = list(islice(_places(body, old), _TRIES))
    for place in places:
        changed = b"".join((body[:place], value, body[place + len(old) :]))
        if len(places) == 1 or _is_object_of(changed, {**fields, name: msgspec.Raw(value)}):
            return changed
    return msgspec.json.encode({**fields, name: msgspec.Raw(value)})


def without_value(body: bytes, fields: Mapping[str, msgspec.Raw], name: str) -> bytes:
    """The JSON object `body`, whose fields are `fields`, less its `name`.

    Where the name is written as we would and only once, all other bytes stay.
    """
    wanted = {key: value for key, value in fields.items() if key != name}
    old, written = bytes(fields[name]), re.escape(msgspec.json.encode(name))
    for place in islice(_places(body, old), _TRIES):
        before = re.search(rb",?\s*%b\s*:\s*\Z" % written, body[:place])
        if before is None:
            continue
        after = body[place + len(old) :]
        if not before[0].startswith(b","):
            after = after.lstrip(_WHITE_SPACE).removeprefix(b",")
        changed = body[: before.start()] + after
        if _is_object_of(changed, wanted):
            return changed
    return msgspec.json.encode(wanted)


def _is_object_of(body: bytes, wanted: Mapping[str, msgspec.Raw]) -> bool:
    """Whether `body` is an object with these fields; a change at the wrong place may have left none."""
    try:
        got = read_fields(body)
    except msgspec.DecodeError:
        return False
    return got.keys() == wanted.keys() and all(
        bytes(got[name]) == bytes(value) for name, value in wanted.items()
    )


def _with_last(body: bytes, name: str, value: bytes, *, is_first: bool) -> bytes:
    """`body` with a field more."""
    end = body.rstrip(_WHITE_SPACE)
    field = b"%b:%b" % (msgspec.json.encode(name), value)
    return b"".join((end[:-1], b"" if is_first else b",", field, body[len(end) - 1 :]))


def _places(body: bytes, part: bytes) -> Iterator[int]:
    """Where `part` begins in `body`, each time it does."""
    place = body.find(part)
    while place >= 0:
        yield place
        place = body.find(part, place + 1)
