"""What an upstream says beside its answer and the caller should know: its limits, its id of the request.

Clients slow down by `x-ratelimit-*` (OpenAI's, and most that speak like it), `anthropic-ratelimit-*` and
`retry-after`; they come from the offer that served, as it wrote them. Its own id of the request, for a
question to its support, goes into a header of ours: the id that the caller's client knows is the gateway's.

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
_USUAL: Final = frozenset(
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
"""What nothing is to be found among; most engines answer with nothing else."""


def told_beside(headers: Mapping[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
    """The `headers` of an answer that go on to the caller."""
    if headers.keys() <= _USUAL:
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
    """Whether a header of that name tells a limit. There are few names, and they come with every answer."""
    return name.startswith(_LIMITS)
