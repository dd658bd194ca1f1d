"""A request's JSON, decoded once and typed; what is wrong with it is said in OpenAI's words.

Most requests go upstream as the bytes that came, so they must say the same to whoever reads them. A name
that is given twice, in capitals the second time, or with an escape, is one name to one decoder and two to
another: what we charge for would be one model and what is served another. Such a request is refused, here
for all doors, and so is one with more values than anybody sends.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from inferworks.api.wire.validation_errors import NOT_JSON, invalid
from inferworks.cloud.bodies.aside import LARGE_BYTES
from inferworks.cloud.bodies.bounds import excess
from inferworks.cloud.bodies.rewrite import (
    MOST_NAMES,
    TooManyNamesError,
    read_every,
    read_every_small,
)
from inferworks.errors import CallError

Decoded = TypeVar("Decoded")

_HEADROOM_FRAMES = 32
_SURELY_SHALLOW = 200
"""With fewer opening brackets in all, no nesting is deep."""
_WORTH_COUNTING_BYTES = 4096
"""In a larger body to count them takes longer than the frames do."""
_STEP_BYTES: Final = 1024 * 1024
_OPTIONS: Final = "stream_options"
"""The one object within a request that decides what can be charged: whether a stream tells its usage."""


def decode_json(body: bytes, decode: Callable[[bytes], Decoded]) -> Decoded:
    """`body` as `decode` reads it; CallError 400 with code and parameter when it is wrong."""
    try:
        if len(body) > LARGE_BYTES:
            too_much = excess(body)
            if too_much is not None:
                raise CallError(400, f"Your request has {too_much}.", code="too_many_values")
            check = codecs.getincrementaldecoder("utf-8")().decode
            for start in range(0, len(body), _STEP_BYTES):  # others have their turn between two
                check(body[start : start + _STEP_BYTES], start + _STEP_BYTES >= len(body))
        elif not body.isascii():
            body.decode()  # in what we do not look at, too
        # with few brackets nothing can be nested deep; in much it takes longer to count them
        is_shallow = (
            len(body) < _WORTH_COUNTING_BYTES
            and body.count(b"[") + body.count(b"{") < _SURELY_SHALLOW
        )
        decoded = decode(body) if is_shallow else _with_headroom(body, decode, _HEADROOM_FRAMES)
        name = ambiguous_name(body, _OPTIONS)
        if name is None:
            return decoded
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from error
    except TooManyNamesError as error:
        message = f"Your request has more than {MOST_NAMES:,} fields at its top level."
        raise CallError(400, message, code="too_many_fields") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CallError(400, NOT_JSON) from error
    message = (
        f"'{name[:80]}' is given twice in your request (names differ by more than their case)."
    )
    raise CallError(400, message, code="duplicate_parameter", param=name[:80])


def ambiguous_name(body: bytes, within: str = "") -> str | None:
    """The first name of the object `body` that is given twice, be it in capitals or with escapes.

    Of such two values one decoder takes the first and another the last; that of Go, which many engines are
    written in, takes no heed of case. A field called `within` is looked through, too.
    TooManyNamesError when there are more than `MOST_NAMES`.
    """
    every = read_every(body) if len(body) > LARGE_BYTES else read_every_small(body)
    fields = dict(zip(map(str.casefold, every), every.values(), strict=True))
    repeated = None
    if len(fields) < len(every):
        seen = set[str]()
        for name in every:
            folded = name.casefold()
            if folded in seen:
                repeated = name
                break
            seen.add(folded)
    if len(every) > MOST_NAMES:
        raise TooManyNamesError
    if repeated is None and within in fields:
        inner = bytes(fields[within])
        repeated = ambiguous_name(inner) if inner.startswith(b"{") else None
        return repeated and f"{within}.{repeated}"
    return repeated


def _with_headroom(body: bytes, decode: Callable[[bytes], Decoded], frames: int) -> Decoded:
    """Decode as if `frames` calls further down.

    How deep JSON may be nested depends on the stack above its decoder. What is let in here is taken apart
    again further down, and must not turn out too deep there.
    """
    if not frames:
        return decode(body)
    return _with_headroom(body, decode, frames - 1)
