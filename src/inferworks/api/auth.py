"""Who calls: the key in the request, and the purpose the call is for."""

from __future__ import annotations

from collections.abc import Mapping

from inferworks.accounts.key import Key
from inferworks.accounts.keyring import KeyRing
from inferworks.errors import CallError
from inferworks.purpose import Purpose

_NO_KEY = (
    "You didn't provide an API key. Provide it in an Authorization header as a bearer token: "
    "'Authorization: Bearer iw_...'. Keys are made with: inferworks keys create"
)


def authenticate(headers: Mapping[bytes, bytes], keyring: KeyRing) -> Key:
    """The key of a request; CallError 401 when there is none, it is unknown or revoked."""
    scheme, _, secret = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"bearer" or not secret.strip():
        raise CallError(401, _NO_KEY)
    key = keyring.find(secret.strip().decode("latin-1"))
    if key is None:
        raise CallError(401, "Incorrect API key provided.", code="invalid_api_key")
    if key.revoked_ns is not None:
        raise CallError(401, "This API key has been revoked.", code="invalid_api_key")
    return key


def purpose_of(headers: Mapping[bytes, bytes], key: Key) -> Purpose:
    """What a call is for: the key's purpose, or the one it names if the key allows that."""
    named = headers.get(b"x-inferworks-purpose")
    if named is None:
        return key.purpose
    text = named.decode("latin-1")
    if text not in set(Purpose):
        known = ", ".join(Purpose)
        raise CallError(400, f"Unknown purpose {text[:80]!r}; known are: {known}.",
                        code="unknown_purpose", param="x-inferworks-purpose")  # fmt: skip
    if text not in key.allowed:
        raise CallError(403, f"This key may not be used for {text}.", kind="permission_error",
                        code="purpose_not_allowed", param="x-inferworks-purpose")  # fmt: skip
    return Purpose(text)
