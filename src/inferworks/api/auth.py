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
_NO_MONITOR = "Metrics are for keys that were made to read them: inferworks keys create --monitor"
_STALE = "API keys cannot be checked at the moment; try again later."
_TWO_KEYS = (
    "Headers (Authorization, x-api-key, api-key) name two different API keys; send one of them."
)
_OTHER_HEADERS = (b"x-api-key", b"api-key")
"""Anthropic's, and Azure's."""


def authenticate(headers: Mapping[bytes, bytes], keyring: KeyRing, *, monitor: bool = False) -> Key:
    """The key of a request; CallError 401 when there is none, it is unknown or revoked.

    CallError 403 when it is for reading metrics and this is not that (`monitor`), or the other way round;
    503 when nobody knows any more which keys are good, but for metrics, which tell the operator so.
    """
    if not keyring.fresh and not monitor:
        raise CallError(503, _STALE, kind="server_error", code="keys_not_fresh")
    key = keyring.find(_secret(headers).decode("latin-1"))
    if key is None:
        raise CallError(401, "Incorrect API key provided.", code="invalid_api_key")
    if key.revoked_ns is not None:
        raise CallError(401, "This API key has been revoked.", code="invalid_api_key")
    if key.monitor and not monitor:
        raise CallError(403, "This API key may read the metrics and nothing else.",
                        kind="permission_error", code="monitor_key")  # fmt: skip
    if monitor and not key.monitor:
        raise CallError(403, _NO_MONITOR, kind="permission_error", code="not_a_monitor_key")
    return key


def _secret(headers: Mapping[bytes, bytes]) -> bytes:
    """The secret that a request names: as a bearer token, or as Anthropic's or Azure's clients do.

    CallError 401 when there is none, and when headers name several: nobody knows whose call it is then.
    """
    scheme, _, bearer = headers.get(b"authorization", b"").partition(b" ")
    secret = bearer.strip() if scheme.lower() == b"bearer" else b""
    for name in _OTHER_HEADERS:
        other = headers.get(name, b"").strip()
        if secret and other and secret != other:
            raise CallError(401, _TWO_KEYS)
        secret = secret or other
    if not secret:
        raise CallError(401, _NO_KEY)
    return secret


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
