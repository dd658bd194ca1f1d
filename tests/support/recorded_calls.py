"""Calls of the last minute in a journal, and some of before."""

from __future__ import annotations

import msgspec

from inferworks.clock import SystemClock
from inferworks.folder import DataFolder
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.usage import Outcome, Tokens, Usage
from inferworks.testing.facts import make_usage
from inferworks.units import NS_PER_SECOND

SECOND_NS = NS_PER_SECOND


def calls() -> list[Usage]:
    """Calls of the last minute: two answered, one refused, one failed; one of yesterday; one reported."""
    now_ns = SystemClock().now_ns() - 10 * SECOND_NS
    answered = [
        make_usage(call_id=f"call_{n}", opened_ns=now_ns + n, model="small", tokens=Tokens(100, 20))
        for n in range(2)
    ]
    refused = make_usage(
        call_id="call_2", opened_ns=now_ns, model="smal", outcome=Outcome.REFUSED, tokens=Tokens(),
        customer="globex", legs=(),
    )  # fmt: skip
    failed = make_usage(
        call_id="call_3", opened_ns=now_ns, model="small", outcome=Outcome.FAILED, tokens=Tokens()
    )
    return [
        *answered,
        msgspec.structs.replace(refused, status=404, error_code="model_not_found"),
        msgspec.structs.replace(failed, status=502, error_code="upstream_failed"),
        make_usage(call_id="call_4", opened_ns=now_ns - 90_000 * SECOND_NS, model="small"),
        make_usage(call_id="elsewhere/1", opened_ns=now_ns, model="small"),
    ]


def write(data: DataFolder, usages: list[Usage]) -> None:
    """Put more calls into the journal."""
    store = SqliteStore(data.journal)
    store.open()
    store.write(usages)
    store.close()
