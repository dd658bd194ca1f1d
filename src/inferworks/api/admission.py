"""Admission of a call: the key of its request, its scopes, and its purpose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from inferworks.accounts.key import Key
from inferworks.accounts.keyring import KeyRing
from inferworks.clock import Clock
from inferworks.errors import CallError, UserError
from inferworks.purpose import Purpose

PURPOSE: Final = b"x-inferworks-purpose"
"""Header with the purpose of a call, where its key allows several."""

_NO_KEY = (
    "You didn't provide an API key. Provide it in an Authorization header as a bearer token: "
    "'Authorization: Bearer iw_...'. Keys are made with: inferworks keys create"
)
_NO_MONITOR = "Metrics are for keys that were made to read them: inferworks keys create --monitor"
_SHIPS = "This key ships the records of a node, and may do nothing else."
_NO_SHIP = "Shipments are for keys that were made for a node: inferworks keys create --ship NODE"
_ELSEWHERE = "Your IP address is not among the networks from which this API key may be used."
_STALE = "API keys cannot be checked at the moment; try again later."
_TWO_KEYS = (
    "Headers (Authorization, x-api-key, api-key) name two different API keys; send one of them."
)
_OTHER_HEADERS = (b"x-api-key", b"api-key")
"""Anthropic's, and Azure's."""


class Request(Protocol):
    """Head of a request, as far as it says who calls."""

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """Values by lower-case name."""
        ...

    @property
    def peer(self) -> str:
        """Address at the other end of the connection."""
        ...


def authenticate(
    request: Request,
    keyring: KeyRing,
    clock: Clock,
    *,
    monitor: bool = False,
    ships: bool = False,
) -> Key:
    """Return the key of a request: a bearer token, or a header of Anthropic's or Azure's clients.

    CallError 401 when there is none, when headers name different ones, when it is unknown, revoked or
    expired, and when it may not be used from where the request comes.
    CallError 403 when the key is for reading metrics and the request is not (`monitor`), or the other way
    round, and the same for shipping the records of a node (`ships`); 503 when keys cannot be checked at the
    moment, except for metrics, which report that to the operator.
    """
    headers = request.headers
    if not keyring.fresh and not monitor:
        raise keys_unknown()
    scheme, _, bearer = headers.get(b"authorization", b"").partition(b" ")
    secret = bearer.strip() if scheme.lower() == b"bearer" else b""
    for name in _OTHER_HEADERS:
        if name in headers and (other := headers[name].strip()):
            if secret and secret != other:
                raise CallError(401, _TWO_KEYS)  # the caller would be ambiguous
            secret = other
    if not secret:
        raise CallError(401, _NO_KEY)
    try:
        key = keyring.find(secret.decode("latin-1"))
    except UserError as error:
        raise keys_unknown() from error
    if key is None:
        raise CallError(401, "Incorrect API key provided.", code="invalid_api_key")
    if key.revoked_ns is not None or key.expires_ns is not None or key.networks:
        _check_valid(key, request, clock)
    _check_single_use(key, monitor=monitor, ships=ships)
    return key


def _check_single_use(key: Key, *, monitor: bool, ships: bool) -> None:
    """Raise CallError 403 when `key` is for one use and the request for another, or the other way round."""
    if key.monitor and not monitor:
        raise CallError(403, "This API key may read the metrics and nothing else.",
                        kind="permission_error", code="monitor_key")  # fmt: skip
    if monitor and not key.monitor:
        raise CallError(403, _NO_MONITOR, kind="permission_error", code="not_a_monitor_key")
    if key.sources and key.ships and not ships:
        raise CallError(403, _SHIPS, kind="permission_error", code="shipping_key")
    if ships and not key.ships:
        raise CallError(403, _NO_SHIP, kind="permission_error", code="not_a_shipping_key")


def keys_unknown() -> CallError:
    """Return the refusal of a call whose key cannot be checked at the moment."""
    return CallError(503, _STALE, kind="server_error", code="keys_not_fresh")


def _check_valid(key: Key, request: Request, clock: Clock) -> None:
    """CallError 401 when `key` is revoked or expired, or may not be used from there."""
    if key.revoked_ns is not None:
        raise CallError(401, "This API key has been revoked.", code="invalid_api_key")
    if key.expires_ns is not None and key.expires_ns <= clock.now_ns():
        raise CallError(401, "This API key has expired.", code="invalid_api_key")
    if not key.may_come_from(request.peer):
        raise CallError(401, _ELSEWHERE, code="ip_not_authorized")


def check_scope(key: Key, operation: str, model: str) -> None:
    """CallError 403 when `key` may not be used for `operation`, 404 when it may not call `model`.

    The second says what is said of a model that there is not: who may not call one is not told of it.
    """
    if key.operations and operation not in key.operations:
        raise CallError(403, "You have insufficient permissions for this operation. Missing scopes: "
                        f"{operation}.", code="missing_scope")  # fmt: skip
    if not key.may_call(model):
        raise no_model(model)


def no_model(model: str) -> CallError:
    """Return the refusal of a model that there is not, or not for this key."""
    return CallError(404, f"The model `{model}` does not exist or you do not have access to it.",
                     code="model_not_found", param="model")  # fmt: skip


def purpose_of(headers: Mapping[bytes, bytes], key: Key) -> Purpose:
    """Return the purpose of a call: the key's, or the one that the request names if the key allows it."""
    named = headers.get(PURPOSE)
    if named is None:
        return key.purpose
    text = named.decode("latin-1")
    if text not in set(Purpose):
        known = ", ".join(Purpose)
        raise CallError(400, f"Unknown purpose {text[:80]!r}; use one of: {known}.",
                        code="unknown_purpose", param="x-inferworks-purpose")  # fmt: skip
    if text not in key.allowed:
        raise CallError(403, f"This key may not be used for {text}.", kind="permission_error",
                        code="purpose_not_allowed", param="x-inferworks-purpose")  # fmt: skip
    return Purpose(text)
