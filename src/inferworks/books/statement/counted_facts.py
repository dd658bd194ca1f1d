"""The customers for whom the meter's facts count, after mergers, at the start of each fact."""

from __future__ import annotations

import msgspec

from inferworks.accounts.directory import Directory
from inferworks.meter.facts import Facts


def counted_facts(facts: Facts, directory: Directory) -> Facts:
    """`facts` with the customers for whom they count; the same where nobody was merged."""
    if not directory.merges:
        return facts
    return msgspec.structs.replace(
        facts,
        usages=tuple(
            usage
            if (whose := directory.survivor(usage.customer, usage.opened_ns)) == usage.customer
            else msgspec.structs.replace(usage, customer=whose)
            for usage in facts.usages
        ),
        activities=tuple(
            activity
            if activity.customer is None
            or (whose := directory.survivor(activity.customer, activity.start_ns))
            == activity.customer
            else msgspec.structs.replace(activity, customer=whose)
            for activity in facts.activities
        ),
    )
