"""Requests whose bodies come compressed (`content-encoding`), as agents send their long histories.

They are taken in the codings of `http.coding`, and refused in all others with status 415 and the list of
those (RFC 9110, 15.5.16), by their head where they have a body. What is decoded counts like what comes
plain: each piece against the bound of a body and against the bytes that may be held at once, before the
next is made. A body is decoded once it is all there and its key was looked at, beside the event loop where
it is large.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Final

from inferworks.cloud.bodies.aside import aside
from inferworks.errors import CallError
from inferworks.http.budget import FREE_BYTES
from inferworks.http.coding import PIECE_BYTES, TAKEN, can_decode, coding_of, decoded
from inferworks.http.server import Exchange

CODED: Final = b"content-encoding"


def check_coding(headers: Mapping[bytes, bytes]) -> bytes:
    """The coding of a request's body; empty for none. CallError 415 for one that is not taken."""
    coding = coding_of(headers.get(CODED, b""))
    if coding and not can_decode(coding):
        raise CallError(
            415,
            f"The content-encoding {coding[:80].decode('latin-1')!r} is not supported; use one of "
            f"{TAKEN.decode()}, or send the body uncompressed.",
            code="unsupported_content_encoding",
        )
    return coding


async def decode_body(exchange: Exchange) -> None:
    """Put the plain body of a request in place of the one that came. CallError when it cannot be had."""
    coding = check_coding(exchange.headers)
    if not coding or not exchange.body:
        return
    held = exchange.hold()
    whole = BytesIO()
    pieces = decoded(exchange.body, coding)
    is_small = len(exchange.body) <= FREE_BYTES
    try:
        while True:
            if is_small and whole.tell() < PIECE_BYTES:
                piece = next(pieces, b"")
            else:
                piece = await aside(next, pieces, b"")
            if not piece:
                break
            whole.write(piece)
            if whole.tell() > exchange.most_body_bytes:
                most = exchange.most_body_bytes
                message = f"The body is larger than {most} bytes once it is decoded."
                raise CallError(413, message, code="body_too_large")
            if whole.tell() > FREE_BYTES and not held.more(len(piece)):
                message = "The gateway is receiving too much data at once; try again later."
                raise CallError(503, message, kind="server_error", code="no_room")
        exchange.replace_body(whole.getvalue(), held)
    except ValueError as error:
        held.release()
        message = f"The body cannot be decoded as {coding.decode()}: {error}."
        raise CallError(400, message, code="invalid_content_encoding") from error
    except BaseException:
        held.release()
        raise
