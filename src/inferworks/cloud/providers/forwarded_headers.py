"""Headers of an upstream's answer that go on to the caller: rate limits, and its id of the request.

Clients slow down by `x-ratelimit-*` (OpenAI's, and most compatible APIs'), `anthropic-ratelimit-*` and
`retry-after`; they are passed on from the offer that served, as it wrote them. The upstream's own id of the
request, for a question to its support, goes into a header of this gateway's: the id that the caller's
client knows is the gateway's.

Sources: https://platform.openai.com/docs/guides/rate-limits,
https://platform.claude.com/docs/en/api/rate-limits
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

UPSTREAM_ID: Final = b"x-inferworks-upstream-request-id"
_LIMITS: Final = (b"x-ratelimit-", b"anthropic-ratelimit-", b"retry-after")
_IDS: Final = (b"request-id", b"x-request-id", b"apim-request-id", b"x-amzn-requestid")
_MOST: Final = 32
_LONGEST_BYTES: Final = 256
USUAL: Final = frozenset(
    {
        b"cache-control",
        b"connection",
        b"content-length",
        b"content-type",
        b"date",
        b"keep-alive",
        b"server",
        b"transfer-encoding",
        b"vary",
    }
)
"""Headers that are never passed on; most engines answer with no others."""


def forwarded_headers(headers: Mapping[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
    """The `headers` of an answer that go on to the caller."""
    if headers.keys() <= USUAL:
        return ()
    found = [
        pair for pair in headers.items() if _is_limit(pair[0]) and len(pair[1]) <= _LONGEST_BYTES
    ][:_MOST]
    for name in _IDS:
        if name in headers and len(headers[name]) <= _LONGEST_BYTES:
            found.append((UPSTREAM_ID, headers[name]))
            break
    return tuple(found)


@lru_cache(maxsize=1024)
def _is_limit(name: bytes) -> bool:
    """Return True when the header states a rate limit. Cached: there are few names, in every answer."""
    return name.startswith(_LIMITS)
