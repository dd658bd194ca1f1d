"""Retry delay of a refusal, as the upstream's headers say."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from inferworks.cloud.routing.retry_after import retry_after_ns

S = 1_000_000_000
NOW = b"Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({b"retry-after": b"7"}, 7),
        ({b"retry-after": b" 2.5 "}, 2.5),
        ({b"retry-after": b"0"}, 0),
        ({b"retry-after": b"7", b"retry-after-ms": b"6500"}, 6.5),
        ({b"retry-after": b"86400"}, 3600),
        ({b"retry-after": b"Sun, 06 Nov 1994 08:50:07 GMT", b"date": NOW}, 30),
        ({b"retry-after": b"Sun, 06 Nov 1994 08:00:00 GMT", b"date": NOW}, 0),
        ({b"retry-after": b"Sun, 06 Nov 1994 08:50:07 GMT"}, 0),
        ({b"retry-after": b"soon", b"date": NOW}, None),
        ({b"retry-after": b"-1", b"date": NOW}, None),
        ({b"retry-after": b"9" * 5000}, None),
        ({b"retry-after": b"\xff", b"retry-after-ms": b"x"}, None),
    ],
)
def test_when_an_upstream_wants_to_be_asked_again(
    headers: dict[bytes, bytes], seconds: float | None
) -> None:
    """Seconds, milliseconds or a date by the upstream's own clock; nonsense is silence."""
    assert retry_after_ns(headers) == (None if seconds is None else round(seconds * S))


@pytest.mark.parametrize("date", [{}, {b"date": b"today"}])
def test_a_date_beside_none(date: dict[bytes, bytes]) -> None:
    """Our clock gives the time where the answer does not."""
    in_a_minute = formatdate(time.time() + 60, usegmt=True).encode()
    told_ns = retry_after_ns({b"retry-after": in_a_minute, **date})
    assert told_ns is not None
    assert 30 * S < told_ns <= 60 * S
