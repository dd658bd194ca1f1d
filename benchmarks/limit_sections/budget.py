"""Budget: many callers on two gateways that share a PostgreSQL, against a limit of exactly so many calls.

Each of `callers` asks again until it is refused; an answer takes the upstream 50 to 100 ms. `answered` are
the calls that were, `upstream_calls` those that came to the upstream, and `over` how many of them are more
than `limit_calls`: 0, as `under` is, which counts the calls that were refused too early.
"""

from __future__ import annotations

from dataclasses import asdict

import uvloop

from limit_sections.base import Options
from limit_sections.callers import call_until_refused
from limit_sections.cluster import CUSTOMER, nodes, postgres
from limit_sections.upstream import slow_upstream

NODES = 2
LIMIT_CALLS = 500
CALLERS = 64


def measure_budget(options: Options) -> dict[str, int]:
    """Return the figures of the budget."""
    limit = ("--customer", CUSTOMER, "--requests", str(LIMIT_CALLS))
    with (
        slow_upstream(0.05, 0.1) as upstream,
        postgres() as store,
        nodes(options.folder, NODES, upstream.port, store.url, [limit]) as running,
    ):
        targets = [node.target for node in running]
        fates = uvloop.run(call_until_refused(targets, CALLERS))
    return {
        "nodes": NODES,
        "callers": CALLERS,
        "limit_calls": LIMIT_CALLS,
        **asdict(fates),
        "upstream_calls": upstream.calls,
        "over": max(0, upstream.calls - LIMIT_CALLS),
        "under": max(0, LIMIT_CALLS - fates.answered),
    }
