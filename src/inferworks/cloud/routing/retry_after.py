"""Retry delay of a refusal, as the upstream's headers say.

`retry-after` is a number of seconds or a date (RFC 9110, 10.2.3); `retry-after-ms` is what OpenAI and Azure
send beside it, and is finer. A date is counted from the answer's own `date`, so that it does not matter how
our clock is set; from our clock where the answer has none. An unreadable value counts as none.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from inferworks.units import NS_PER_SECOND

_NUMBER = re.compile(rb"\d{1,9}(?:\.\d{1,9})?")
_LONGEST_NS = 3600 * NS_PER_SECOND
"""An upstream that wants an hour is asked again after it at the latest: limits are raised meanwhile."""


def retry_after_ns(headers: Mapping[bytes, bytes]) -> int | None:
    """Nanoseconds until the upstream wants the next request, an hour at most; None when it says nothing."""
    milliseconds = headers.get(b"retry-after-ms", b"").strip()
    said = headers.get(b"retry-after", b"").strip()
    if _NUMBER.fullmatch(milliseconds):
        seconds = float(milliseconds) / 1000
    elif _NUMBER.fullmatch(said):
        seconds = float(said)
    elif (until := _date(said)) is not None:
        since = _date(headers.get(b"date", b""))
        seconds = max(0.0, until - (time.time() if since is None else since))
    else:
        return None
    return min(round(seconds * NS_PER_SECOND), _LONGEST_NS)


def _date(text: bytes) -> float | None:
    try:
        return parsedate_to_datetime(text.decode("latin-1")).timestamp()
    except ValueError:
        return None
