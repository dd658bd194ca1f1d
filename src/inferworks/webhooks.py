"""Signatures of webhooks, as Standard Webhooks 1.0 has them: what we send, and what receivers check.

    from inferworks.webhooks import WebhookError, verify

    try:
        verify(request.headers, request.body, ["whsec_..."])
    except WebhookError:
        return 400

The signature is an HMAC-SHA256 over `id.timestamp.body`. The timestamp is of the attempt, so an old
message that is sent again by somebody else is refused; the id is of the event and stays the same in each
attempt, so that a receiver takes each event once. Libraries of Standard Webhooks check the same.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from typing import Final

from inferworks.errors import InferworksError

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"
TOLERANCE_S: Final = 300
"""Seconds by which the time of an attempt may differ from the receiver's."""
_PREFIX: Final = "whsec_"
_LEAST_BYTES: Final = 24
_MOST_BYTES: Final = 64
_MOST_SIGNATURES: Final = 16
"""Signatures of one message that are looked at: each costs its receiver a comparison."""


class WebhookError(InferworksError):
    """A message that is not to be believed, or a secret that is none."""


def signing_key(secret: str) -> bytes:
    """Return the bytes of `secret`: `whsec_` and 24 to 64 bytes in base64. WebhookError otherwise."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
        raise WebhookError(
            f"a webhook's secret is whsec_ and {_LEAST_BYTES} to {_MOST_BYTES} bytes in base64: "
            'make one with: echo "whsec_$(openssl rand -base64 32)"'
        )
    return key


def signed(message_id: str, at_s: int, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """Return the headers of a message sent at `at_s` (Unix time), with a signature by each of `secrets`."""
    content = b"%b.%d.%b" % (message_id.encode(), at_s, body)
    signatures = [_signature(content, signing_key(secret)) for secret in secrets]
    return {ID: message_id, TIMESTAMP: str(at_s), SIGNATURE: " ".join(signatures)}


def verify(
    headers: Mapping[str, str],
    body: bytes | str,
    secrets: Sequence[str],
    *,
    now_s: float | None = None,
    tolerance_s: float = TOLERANCE_S,
) -> str:
    """Return the id of a message that one of `secrets` has signed, for the receiver to take it once.

    `body` is what came, byte for byte, or decoded as UTF-8. Names of `headers` in any case. WebhookError
    where a header lacks, the time of the attempt is further from `now_s` (this machine's clock) than
    `tolerance_s`, no signature is right, or anything else of what came is not as a webhook has it.
    """
    found = {name.lower(): value for name, value in headers.items() if isinstance(name, str)}
    message_id, moment, given = (found.get(name, "") for name in (ID, TIMESTAMP, SIGNATURE))
    if not all(isinstance(value, str) and value for value in (message_id, moment, given)):
        raise WebhookError(f"a webhook has the headers {ID}, {TIMESTAMP} and {SIGNATURE}, as text")
    if not (moment.isascii() and moment.isdigit() and len(moment) <= 12):
        raise WebhookError(f"{TIMESTAMP} is no Unix time")
    apart_s = (time.time() if now_s is None else now_s) - int(moment)
    if abs(apart_s) > tolerance_s:
        raise WebhookError(f"the webhook was sent {apart_s:.0f} s ago, which is too far from now")
    content = b"%b.%d.%b" % (_bytes_of(message_id, ID), int(moment), _bytes_of(body, "the body"))
    wanted = [_signature(content, signing_key(secret)).encode() for secret in secrets]
    signatures = _bytes_of(given, SIGNATURE).split()[:_MOST_SIGNATURES]
    # all are compared, so that the time it takes says nothing
    if not sum(hmac.compare_digest(one, other) for one in signatures for other in wanted):
        raise WebhookError("no signature of the webhook is right")
    return message_id


def _bytes_of(came: bytes | str, what: str) -> bytes:
    """Return the bytes of a part of a message; WebhookError where it has none.

    Servers that decode what comes with `surrogateescape` make lone surrogates of bytes that are no UTF-8.
    """
    if isinstance(came, bytes | bytearray | memoryview):
        return bytes(came)
    if not isinstance(came, str):
        raise WebhookError(f"{what} of a webhook is bytes or text, not {type(came).__name__}")
    try:
        return came.encode()
    except UnicodeEncodeError as error:
        raise WebhookError(f"{what} of the webhook is not UTF-8") from error


def _signature(content: bytes, key: bytes) -> str:
    digest = hmac.digest(key, content, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"
