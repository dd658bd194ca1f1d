"""A request's JSON, decoded once and typed; what is wrong with it is said in OpenAI's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from inferworks.api.wire.invalid import NOT_JSON, invalid
from inferworks.errors import CallError

Decoded = TypeVar("Decoded")

_HEADROOM_FRAMES = 32
_SURELY_SHALLOW = 200
"""With fewer opening brackets in all, no nesting is deep."""
_WORTH_COUNTING_BYTES = 4096
"""In a larger body to count them takes longer than the frames do."""


def decode_json(body: bytes, decode: Callable[[bytes], Decoded]) -> Decoded:
    """`body` as `decode` reads it; CallError 400 with code and parameter when it is wrong."""
    try:
        if not body.isascii():
            body.decode()  # in what we do not look at, too
        return _with_headroom(body, decode, 0 if _is_shallow(body) else _HEADROOM_FRAMES)
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CallError(400, NOT_JSON) from error


def _is_shallow(body: bytes) -> bool:
    """Whether nothing in `body` can be nested deep, as far as that is quickly seen."""
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
