"""Verification of Amazon's signatures, version 4: the server's side, without Amazon's library.

A request is put in canonical form, hashed, and signed by a key that is derived from the secret, the day,
the region and the service. The driver's signature, made by the library, is recomputed here from the bytes
that arrived, so that any change between signing and sending is found.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8}/([^/]+)/([^/]+)/aws4_request), "
    r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})"
)
_SKEW = dt.timedelta(minutes=5)
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS "
    "Secret Access Key and signing method."
)


@dataclass(frozen=True, slots=True)
class Key:
    """A key as Amazon knows it."""

    access_key_id: str
    secret: str
    session_token: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """Signed parts of a request; header names in lower case, the path as it was sent."""

    method: str
    path: str
    query: str
    headers: Mapping[bytes, bytes]
    body: bytes


def signature_flaw(request: Request, key: Key, region: str, now: dt.datetime) -> str | None:
    """Return Amazon's refusal of the signature of `request`, in its wording; None when it is right."""
    found = _AUTHORIZATION.fullmatch(_text(request, "authorization"))
    if found is None:
        return "Missing Authentication Token"
    access_key_id, scope, said_region, service, signed, signature = found.groups()
    if access_key_id != key.access_key_id or _text(request, "x-amz-security-token") != (
        key.session_token
    ):
        return "The security token included in the request is invalid."
    if (said_region, service) != (region, "bedrock"):
        return f"Credential should be scoped to a valid region: {region}, bedrock"
    if not {"host", "x-amz-date"} <= set(signed.split(";")):
        return "'Host' and 'X-Amz-Date' must be 'SignedHeaders' in the AWS Authorization header."
    stamp = _text(request, "x-amz-date")
    moment = dt.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
    if abs(moment - now) > _SKEW or not scope.startswith(stamp[:8]):
        return f"Signature expired: {stamp}"
    headers = (f"{name}:{' '.join(_text(request, name).split())}\n" for name in signed.split(";"))
    canonical = (
        request.method,
        # each part of a path that is quoted already is quoted once more
        quote(request.path, safe="/-_.~"),
        "&".join(sorted(request.query.split("&"))),
        "".join(headers),
        signed,
        _sha256(request.body),
    )
    digest = _sha256("\n".join(canonical).encode())
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    derived = f"AWS4{key.secret}".encode()
    for part in scope.split("/"):
        derived = hmac.digest(derived, part.encode(), "sha256")
    wanted = hmac.digest(derived, to_sign.encode(), "sha256").hex()
    return None if hmac.compare_digest(wanted, signature) else MISMATCH


def _text(request: Request, header: str) -> str:
    return request.headers.get(header.encode(), b"").decode("latin-1")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
