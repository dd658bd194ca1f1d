"""Names of customers at a moment, and merges of customers, from the recorded facts.

Problem. A customer buys another. From that day its calls are the other's, at the other's prices and in the
other's tiers; but past records name the customer of their time, and closed periods stay.

Decision. No metered record is rewritten. A merge is a rule with a date: a call counts for the customer that
its own had become when it was opened, an activity when it began. The rule is sealed with each period
as all rules are, so a closed period is computed again by the merges that were known then, and a merge never
begins within one. Plans follow: the merged customer's end at that moment, and the other's hold for all.
Merges begin with a day, for fees and credit go by days.

Rejected. A new id on the calls (the journal is what happened); a merge of reports only, with each customer
rated by its own plan (then two half-empty tiers cost more than the one that was agreed).
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import CustomerFact
from inferworks.accounts.plan import PricePlan, Terms, plan_at
from inferworks.errors import UserError
from inferworks.ids import CustomerId
from inferworks.units import NS_PER_SECOND

FOR_EVER_NS = 2**63 - 1
_YEAR_NS = 366 * 86_400 * NS_PER_SECOND


class Merge(msgspec.Struct, frozen=True):
    """Merge: from `from_ns` on `customer` counts as `into`; itself where it stands on its own again."""

    customer: CustomerId
    from_ns: int
    into: CustomerId


class Named(msgspec.Struct, frozen=True):
    """Display name of `customer` from `from_ns` on; where it is empty, its id."""

    customer: CustomerId
    from_ns: int
    name: str


class Zoned(msgspec.Struct, frozen=True):
    """Time zone `zone` of `customer` from `from_ns` on."""

    customer: CustomerId
    from_ns: int
    zone: str


class Counted(NamedTuple):
    """A stretch of time in which `customer` counts as `survivor`, another."""

    customer: CustomerId
    from_ns: int
    until_ns: int
    survivor: CustomerId


class Directory(msgspec.Struct, frozen=True, omit_defaults=True):
    """The merges of customers, their names and their zones, in order of time."""

    merges: tuple[Merge, ...] = ()
    names: tuple[Named, ...] = ()
    zones: tuple[Zoned, ...] = ()

    def survivor(self, customer: CustomerId, at_ns: int) -> CustomerId:
        """Return the customer as which `customer` counts at `at_ns`."""
        seen = {customer}
        while True:
            into = self.into(customer, at_ns)
            if into in seen:  # itself, or a circle that no command lets anybody record
                return customer
            seen.add(into)
            customer = into

    def edges_ns(self, start_ns: int, end_ns: int) -> list[int]:
        """Return the ends of a span and, between them, the starts of merges."""
        inside = {one.from_ns for one in self.merges if start_ns < one.from_ns < end_ns}
        return [start_ns, *sorted(inside), end_ns]

    def counted(self) -> tuple[Counted, ...]:
        """Every stretch of time in which a customer counts as another, by customer and time."""
        edges = sorted({merge.from_ns for merge in self.merges})
        found: list[Counted] = []
        for customer in sorted({merge.customer for merge in self.merges}):
            for from_ns, until_ns in zip(edges, [*edges[1:], FOR_EVER_NS], strict=True):
                survivor = self.survivor(customer, from_ns)
                if survivor == customer:
                    continue
                last = found[-1] if found else None
                if last and (last.customer, last.until_ns, last.survivor) == (
                    customer,
                    from_ns,
                    survivor,
                ):
                    found[-1] = last._replace(until_ns=until_ns)
                else:
                    found.append(Counted(customer, from_ns, until_ns, survivor))
        return tuple(found)

    def moves(self) -> tuple[Merge, ...]:
        """Merges by which a customer began to count as another, having stood on its own until then."""
        found: list[Merge] = []
        last: Counted | None = None
        for one in self.counted():
            if last is None or (last.customer, last.until_ns) != (one.customer, one.from_ns):
                found.append(Merge(one.customer, one.from_ns, one.survivor))
            last = one
        return tuple(found)

    def plans(self, plans: Sequence[PricePlan]) -> tuple[PricePlan, ...]:
        """`plans` as they count: while a customer counts as another, it has none of its own."""
        stretches: dict[CustomerId, list[Counted]] = defaultdict(list)
        for one in self.counted():
            stretches[one.customer].append(one)
        if not stretches:
            return tuple(plans)
        kept = [
            plan
            for plan in plans
            if not any(
                one.from_ns <= plan.effective_ns < one.until_ns for one in stretches[plan.customer]
            )
        ]
        for customer, own in stretches.items():
            for one in own:
                before = plan_at(plans, customer, one.from_ns)
                if before is not None:
                    kept.append(PricePlan(customer, one.from_ns, Terms(before.currency)))
                after = plan_at(plans, customer, one.until_ns)
                if after is not None and one.until_ns < FOR_EVER_NS:
                    kept.append(PricePlan(customer, one.until_ns, after.terms))
        return tuple({(plan.customer, plan.effective_ns): plan for plan in kept}.values())

    def plans_of_callers(self, plans: Sequence[PricePlan]) -> tuple[PricePlan, ...]:
        """`plans` as callers pay by them: while a customer counts as another, it has the other's."""
        own = self.plans(plans)
        found = {(plan.customer, plan.effective_ns): plan for plan in own}
        for customer, from_ns, until_ns, survivor in self.counted():
            begun = plan_at(own, survivor, from_ns)
            within = (
                plan
                for plan in own
                if plan.customer == survivor and from_ns < plan.effective_ns < until_ns
            )
            for plan in (*([begun] if begun else ()), *within):
                at_ns = max(from_ns, plan.effective_ns)
                found[customer, at_ns] = PricePlan(customer, at_ns, plan.terms)
        return tuple(found.values())

    def credits(self, bought: Sequence[Credit]) -> tuple[Credit, ...]:
        """`bought`, each with the customer for whom it counts when it is bought."""
        return tuple(
            credit
            if (whose := self.survivor(credit.customer, credit.bought_ns)) == credit.customer
            else msgspec.structs.replace(credit, customer=whose)
            for credit in bought
        )

    def shown(self, at_ns: int, present: Iterable[str]) -> tuple[tuple[str, str], ...]:
        """Return the display names at `at_ns` of the customers `present` who have one; no two alike.

        Where two have the same name, or one the id of another, their ids stand behind it.
        """
        ids = set(present)
        named = {one.customer: one.name for one in self.names if one.from_ns <= at_ns}
        called = {customer: name for customer, name in sorted(named.items()) if name}
        claimed: dict[str, set[str]] = defaultdict(set)
        for customer, name in (*called.items(), *((one, one) for one in ids)):
            claimed[name.casefold()].add(customer)
        return tuple(
            (customer, name if claimed[name.casefold()] == {customer} else f"{name} ({customer})")
            for customer, name in called.items()
            if customer in ids
        )

    def notes(self, start_ns: int, end_ns: int) -> Iterable[str]:
        """Yield notes of customers merged within a span, or in the year before its end."""
        since_ns = min(start_ns, end_ns - _YEAR_NS)
        for one in self.counted():
            if since_ns <= one.from_ns < end_ns and one.until_ns > start_ns:
                yield f"{one.customer} counts as {one.survivor} since {_day(one.from_ns)}."

    def into(self, customer: CustomerId, at_ns: int) -> CustomerId:
        """Return the customer with which `customer` is merged at `at_ns`; itself when with none."""
        into = customer
        for merge in self.merges:
            if merge.customer == customer and merge.from_ns <= at_ns:
                into = merge.into
        return into


ALONE = Directory()
"""Customers without names of their own, each on its own."""


def directory_of(facts: Iterable[CustomerFact]) -> Directory:
    """Make the directory of `facts`, given in the order of recording; of one moment the last holds."""
    ordered = sorted(facts, key=lambda fact: fact.effective_ns)
    return Directory(
        tuple(
            Merge(fact.customer, fact.effective_ns, fact.merged_into)
            for fact in ordered
            if fact.merged_into is not None
        ),
        tuple(
            Named(fact.customer, fact.effective_ns, fact.display_name)
            for fact in ordered
            if fact.display_name is not None
        ),
        tuple(
            Zoned(fact.customer, fact.effective_ns, fact.zone)
            for fact in ordered
            if fact.zone is not None
        ),
    )


def refuse_circle(directory: Directory, merge: Merge) -> None:
    """UserError when a customer would count as itself by way of `merge`, at its moment or later."""
    merges = sorted((*directory.merges, merge), key=lambda one: one.from_ns)
    after = msgspec.structs.replace(directory, merges=tuple(merges))
    edges = {one.from_ns for one in after.merges if one.from_ns >= merge.from_ns}
    for at_ns in sorted(edges):
        seen, customer = {merge.customer}, after.into(merge.customer, at_ns)
        while customer not in seen:
            seen.add(customer)
            customer = after.into(customer, at_ns)
        if after.into(customer, at_ns) != customer:
            raise UserError(
                f"{merge.into} counts as {merge.customer} itself from {_day(at_ns)} on; a customer "
                "cannot be merged with one that was merged with it"
            )


def _day(at_ns: int) -> str:
    return dt.datetime.fromtimestamp(at_ns // NS_PER_SECOND, dt.UTC).strftime("%Y-%m-%d")
