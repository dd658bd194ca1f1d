"""Sums of what the calls of a customer have used: by interval, project, key, model, purpose, outcome."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from inferworks.catalog.units import DIRECTIONS, buckets
from inferworks.ids import CustomerId
from inferworks.meter.usage import ITEM_UNITS, TOKEN_UNITS, Outcome, Usage
from inferworks.purpose import Purpose
from inferworks.units import Unit

USED_UNITS: Final[tuple[Unit, ...]] = (*DIRECTIONS, *ITEM_UNITS)
"""Units of the counts of `Used`: each token is in exactly one of them (`catalog.units.buckets`)."""


class UsedBy(NamedTuple):
    """Label of a sum."""

    interval: int
    """Number of the interval in which the calls were opened, from 0."""
    project: str
    """Empty, like `key_id`, in sums over all projects and keys."""
    key_id: str
    model: str
    purpose: Purpose
    outcome: Outcome


class Used(NamedTuple):
    """Sum of some calls."""

    by: UsedBy
    calls: int
    counts: tuple[int, ...]
    """Counts by `USED_UNITS`."""
    is_sound: bool = True
    """False where the counts of a call contradict themselves; the books refuse such a call."""


def used_by(
    usages: Iterable[Usage], customer: CustomerId, edges_ns: Sequence[int], *, by_key: bool
) -> list[Used]:
    """Return what a customer has used in each interval between two of `edges_ns`.

    Without `by_key`, over all projects and keys.
    """
    return summed(_each(usages, customer, edges_ns, by_key=by_key))


def _each(
    usages: Iterable[Usage], customer: CustomerId, edges_ns: Sequence[int], *, by_key: bool
) -> Iterator[Used]:
    for usage in usages:
        interval = bisect_right(edges_ns, usage.opened_ns) - 1
        if usage.customer == customer and 0 <= interval < len(edges_ns) - 1:
            told = dict(zip(TOKEN_UNITS, msgspec.structs.astuple(usage.tokens), strict=True))
            counts = buckets(told.__getitem__, int.__sub__, min)
            counts |= zip(ITEM_UNITS, msgspec.structs.astuple(usage.items), strict=True)
            whose = (usage.project, usage.key_id) if by_key else ("", "")
            label = UsedBy(interval, *whose, usage.model, usage.purpose, usage.outcome)
            in_order = tuple(counts[unit] for unit in USED_UNITS)
            yield Used(label, 1, in_order, usage.tokens.flaw() is None)


def summed(parts: Iterable[Used]) -> list[Used]:
    """Return `parts` with one sum for each label, in the order of the labels."""
    found: dict[UsedBy, Used] = {}
    for part in parts:
        known = found.get(part.by)
        if known is not None:
            counts = tuple(map(int.__add__, known.counts, part.counts))
            is_sound = known.is_sound and part.is_sound
            found[part.by] = Used(part.by, known.calls + part.calls, counts, is_sound)
        else:
            found[part.by] = part
    return [found[label] for label in sorted(found)]
