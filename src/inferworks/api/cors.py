"""CORS: the web pages that may call the API from their visitors' browsers.

A browser asks first (a preflight: `OPTIONS` with `access-control-request-method`), and shows a page no
answer that does not name the page's origin. No origin is allowed unless the operator names it
(`gateway.cors_origins`): a key in a page is visible to every visitor.

Credentials are never allowed: no cookie is read, and keys are headers that a page sets itself. So an answer
may say `*` for the headers that are exposed, whatever vendor they are of.

Source: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from inferworks.errors import CallError

ANY_ORIGIN: Final = "*"
_REQUESTED_METHOD: Final = b"access-control-request-method"
_METHODS: Final = b"GET, HEAD, POST, DELETE"
_NAMES: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,4096}")
_MAX_AGE_S: Final = 7200  # as long as any browser keeps it
_EXPOSED: Final = (b"access-control-expose-headers", b"*")
_BY_ORIGIN: Final = (b"vary", b"origin")

Pairs = list[tuple[bytes, bytes]]


class Cors:
    """Origins whose pages may call."""

    def __init__(self, origins: Sequence[str]) -> None:
        """`origins` as browsers write them, `https://app.example`; `*` for any."""
        self._any_origin = ANY_ORIGIN in origins
        self._origins = frozenset(origin.lower().encode() for origin in origins)

    def allowing(self, headers: Mapping[bytes, bytes]) -> Pairs:
        """Return the CORS headers of an answer to a request with these `headers`."""
        origin = headers.get(b"origin")
        if self._any_origin:
            return [] if origin is None else [(b"access-control-allow-origin", b"*"), _EXPOSED]
        if origin is None or origin.lower() not in self._origins:
            return [_BY_ORIGIN]
        return [(b"access-control-allow-origin", origin), _EXPOSED, _BY_ORIGIN]

    def preflight(self, headers: Mapping[bytes, bytes]) -> Pairs | None:
        """Return the headers of the answer to a preflight; None when the request is none.

        CallError 403 to a page that may not call.
        """
        if _REQUESTED_METHOD not in headers or b"origin" not in headers:
            return None
        if not self._any_origin and headers[b"origin"].lower() not in self._origins:
            raise CallError(403, "Pages of this origin may not call this API (gateway.cors_origins).",
                            kind="permission_error", code="origin_not_allowed")  # fmt: skip
        allowed = [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-max-age", b"%d" % _MAX_AGE_S),
        ]
        wanted = headers.get(b"access-control-request-headers", b"")
        if _NAMES.fullmatch(wanted):  # `*` would not stand for `authorization`
            allowed.append((b"access-control-allow-headers", wanted))
        return allowed
