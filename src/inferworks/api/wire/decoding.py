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
from inferworks.cloud.bodies.rewrite import MOST_NAMES, TooManyNamesError, ambiguous_name
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
            _check_large(body)
        elif not body.isascii():
            body.decode()  # in what we do not look at, too
        decoded = _with_headroom(body, decode, 0 if _is_shallow(body) else _HEADROOM_FRAMES)
        _check_names(body)
        return decoded
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from error
    except TooManyNamesError as error:
        message = f"Your request has more than {MOST_NAMES:,} fields at its top level."
        raise CallError(400, message, code="too_many_fields") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CallError(400, NOT_JSON) from error


def _check_large(body: bytes) -> None:
    """CallError 400 when there are too many values in it, UnicodeDecodeError when it is no text."""
    too_much = excess(body)
    if too_much is not None:
        raise CallError(400, f"Your request has {too_much}.", code="too_many_values")
    check = codecs.getincrementaldecoder("utf-8")().decode
    for start in range(0, len(body), _STEP_BYTES):  # others have their turn between two steps
        check(body[start : start + _STEP_BYTES], start + _STEP_BYTES >= len(body))


def _check_names(body: bytes) -> None:
    """CallError 400 when a name that matters means two values."""
    name = ambiguous_name(body, _OPTIONS)
    if name is not None:
        message = (
            f"'{name[:80]}' is given twice in your request (names differ by more than their case)."
        )
        raise CallError(400, message, code="duplicate_parameter", param=name[:80])


def _is_shallow(body: bytes) -> bool:
    """Return True when nothing in `body` can be nested deep, by a quick upper bound."""
    return (
        len(body) < _WORTH_COUNTING_BYTES and body.count(b"[") + body.count(b"{") < _SURELY_SHALLOW
    )


def _with_headroom(body: bytes, decode: Callable[[bytes], Decoded], frames: int) -> Decoded:
    """Decode as if `frames` calls further down.

    How deep JSON may be nested depends on the stack above its decoder. What is let in here is taken apart
    again further down, and must not turn out too deep there.
    """
    if not frames:
        return decode(body)
    return _with_headroom(body, decode, frames - 1)
