"""The ledger of limits: what is granted, and what is left. Pure arithmetic on rows; `stores` keeps them.

Problem. A budget that is checked before a call and added to after it is overspent by as many calls as run
at once; one that is counted in each process is overspent by as many processes as there are; a reservation
that a crash leaves behind refuses for ever; a lease that ends by a clock is spent twice when the clock is
wrong. All of these are public reports about the gateways that there are.

Decision. What is checked is what is taken. A gateway *draws* a slice of a budget: from then on the amount
is held, and belongs to that slice alone. The gateway gives parts of the slice to its calls without asking
anybody. In the end the slice is *settled* at what was really spent, and the rest is free again. A slice
whose owner is believed dead is *forfeited*: all of it counts as spent, until its owner's own record says
otherwise.

    held     sum of what open slices were granted
    settled  sum of what closed slices spent and of what forfeited slices were granted
    free     cap - held - settled, of which alone is granted

Theorem. True spend <= sum of granted (open, forfeited) + sum of spent (closed) = held + settled <= cap, at
every moment, whichever gateways die, are cut off, wake up late, have wrong clocks or send a message twice.
Proof. A draw adds to held what is free. Each gateway keeps ended + reserved <= granted, in one thread.
Settling replaces what was granted by what was spent, which is no more. Forfeiting moves equal amounts. A
gateway that was believed dead spends from its slice, all of which is counted. A message that comes twice
finds its slice in the state that it asks for, and changes nothing.

Where the bound is lost: a cap that is lowered below what is held; a call that uses more than the most that
was held for it (its upstream did not keep to the limit that it was sent); a store that forgets a draw that
it has confirmed. Each is by an amount that `settle` returns or the row shows.

*Calls at once* are a budget of which nothing is used up (`returns`): settling and forfeiting free all of
it.

A *rate* refills, so what is granted needs no settling: a bucket leaks `cap` in `refill_ns` and a grant
fills it (the generic cell rate algorithm, with a burst of the whole cap). Time is the store's. Units that
were granted in advance are used within `AHEAD_NS` or lost, so in any time t at most cap + cap x (t +
AHEAD_NS) / refill_ns are used.

*No false refusal.* Before a draw is refused for good, what others hold and do not need is called back: the
budget's `recall` is raised, each gateway shrinks its slices to what they have spent or reserved and notes
that it has (`recalled`). Only when all have is a refusal final.

Rejected. A row per call (a round trip per call, and none while the store is away); leases that end by a
clock (a paused process spends money that was given to another); counters that are added up later (99 spent
of 30).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

import msgspec

from inferworks.units import NS_PER_SECOND

AHEAD_NS: Final = NS_PER_SECOND
"""Longest time for which a gateway keeps units of a rate, by its own monotonic clock."""
DEAD_NS: Final = 30 * NS_PER_SECOND
"""Silence of a gateway, by the store's clock, after which its slices are forfeited."""
SILENT_NS: Final = 3 * NS_PER_SECOND
"""Silence after which a refusal no longer waits for it to answer a recall."""


class SliceState(StrEnum):
    """State of a slice."""

    OPEN = "open"
    CLOSED = "closed"
    FORFEITED = "forfeited"


class Budget(msgspec.Struct, frozen=True):
    """Amount of one limit in one window that is used up, or of calls at once."""

    id: str
    cap: int
    revision: int = 0
    """Revision of the limit that `cap` is of."""
    returns: bool = False
    """True if what is granted comes back whole: calls at once."""
    held: int = 0
    settled: int = 0
    recall: int = 0
    """Number of the newest recall."""

    @property
    def free(self) -> int:
        """Return what may be granted; negative where the cap was lowered below what is taken."""
        return self.cap - self.held - self.settled


class Slice(msgspec.Struct, frozen=True):
    """Part of a budget that one run of one gateway holds."""

    id: str
    budget: str
    place: str
    """Worker of a node: what survives a restart, as its data folder does."""
    run: str
    """One life of that worker's process."""
    granted: int
    drawn_ns: int
    spent: int = 0
    state: SliceState = SliceState.OPEN
    recalled: int = 0
    """Newest recall of the budget that its owner has answered."""


class Rate(msgspec.Struct, frozen=True):
    """Amount of one limit that refills."""

    id: str
    cap: int
    refill_ns: int
    revision: int = 0
    level: int = 0
    """Units that are used and not refilled, times `refill_ns`."""
    level_ns: int = 0

    def at(self, now_ns: int) -> Rate:
        """Return the rate as it is at `now_ns`; a clock that was set back refills nothing."""
        passed_ns = max(0, now_ns - self.level_ns)
        level = max(0, self.level - self.cap * passed_ns)
        return msgspec.structs.replace(self, level=level, level_ns=self.level_ns + passed_ns)

    @property
    def free(self) -> int:
        """Return what may be granted at `level_ns`."""
        return (self.cap * self.refill_ns - self.level) // self.refill_ns

    def wait_ns(self, least: int) -> int:
        """Return the nanoseconds from `level_ns` until `least` may be granted."""
        missing = least * self.refill_ns - (self.cap * self.refill_ns - self.level)
        return max(0, -(-missing // self.cap))


class Gateway(msgspec.Struct, frozen=True):
    """One run of a gateway, as the store knows it."""

    run: str
    place: str
    boot: str
    """Id of the machine's start: openings of the last second may be lost with another."""
    seen_ns: int


class Want(NamedTuple):
    """Draw on one limit: at least `least`, or nothing, and up to `most`."""

    id: str
    """Id of the budget or of the rate."""
    cap: int
    revision: int
    refill_ns: int
    """0 for a budget."""
    returns: bool
    slice_id: str
    least: int
    most: int
    recall: int = 0
    """Recall that an earlier try has raised; 0 at first."""


class Grant(NamedTuple):
    """Outcome of one want: `granted`, or 0 where the draw as a whole is refused."""

    id: str
    granted: int
    free: int
    """Amount that was free after it."""
    lacks: bool = False
    """True for the limit that the draw was refused for."""
    recall: int = 0
    """Recall to wait for before trying again; 0 when the refusal is final."""
    wait_ns: int = 0
    """Nanoseconds until a rate has enough, where it lacks."""


class Settlement(NamedTuple):
    """Slice at its end, and what was spent of it."""

    slice_id: str
    budget: str
    granted: int
    spent: int


class Rows(Protocol):
    """Rows of a store within one transaction. Budgets and rates stay locked until it ends."""

    def now_ns(self) -> int:
        """Nanoseconds UTC by the store's clock."""
        ...

    def accounts(self, ids: Iterable[str]) -> Mapping[str, Budget | Rate]:
        """Budgets and rates with these ids, locked in the order of ids; absent where there is none."""
        ...

    def slices(self, ids: Iterable[str]) -> Mapping[str, Slice]:
        """Slices with these ids."""
        ...

    def open_slices(self, budget: str) -> Sequence[Slice]:
        """Open slices of a budget."""
        ...

    def slices_of(self, place: str) -> Sequence[Slice]:
        """Slices of a place that are not closed, of whichever run."""
        ...

    def recalled(self, run: str) -> Mapping[str, int]:
        """Newest recall of each budget of which `run` has a slice and that it has not answered.

        Locks nothing.
        """
        ...

    def gateways(self) -> Sequence[Gateway]:
        """Runs of gateways that have said that they live and not that they end."""
        ...

    def put(self, row: Budget | Rate | Slice | Gateway) -> None:
        """Keep a row under its id."""
        ...

    def remove(self, gateway: Gateway) -> None:
        """Forget a run that has ended."""
        ...


def draw(rows: Rows, run: str, place: str, wants: Sequence[Want]) -> tuple[Grant, ...]:
    """Grant all of `wants`, or none of them. A draw that is repeated returns what it was granted."""
    known = rows.slices([want.slice_id for want in wants])
    accounts = dict(rows.accounts([want.id for want in wants]))
    now_ns = rows.now_ns()
    for want in wants:
        accounts[want.id] = _current(accounts.get(want.id), want, now_ns)
    if known:  # the answer to it was lost
        return tuple(
            Grant(want.id, known[want.slice_id].granted if want.slice_id in known else 0,
                  accounts[want.id].free)
            for want in wants
        )  # fmt: skip
    alive = [one for one in rows.gateways() if now_ns - one.seen_ns < DEAD_NS]
    share = 2 * max(1, len(alive))
    if any(accounts[want.id].free < want.least for want in wants):
        silent = {one.run for one in alive if now_ns - one.seen_ns < SILENT_NS}
        return tuple(_refused(rows, run, silent, want, accounts[want.id]) for want in wants)
    grants = []
    for want in wants:
        account = accounts[want.id]
        granted = min(want.most, max(want.least, account.free // share), account.free)
        if isinstance(account, Budget):
            account = msgspec.structs.replace(account, held=account.held + granted)
            rows.put(Slice(want.slice_id, want.id, place, run, granted, now_ns,
                           recalled=account.recall))  # fmt: skip
        else:
            level = account.level + granted * account.refill_ns
            account = msgspec.structs.replace(account, level=level)
        rows.put(account)
        grants.append(Grant(want.id, granted, account.free))
    return tuple(grants)


def _current(found: Budget | Rate | None, want: Want, now_ns: int) -> Budget | Rate:
    """Return the account of `want` as it is now, made or changed as the newest revision says."""
    if want.refill_ns:
        rate = found if isinstance(found, Rate) else Rate(want.id, want.cap, want.refill_ns)
        rate = rate.at(now_ns)
        if want.revision > rate.revision:
            level = rate.level * want.refill_ns // rate.refill_ns
            rate = Rate(want.id, want.cap, want.refill_ns, want.revision, level, rate.level_ns)
        return rate
    if not isinstance(found, Budget):
        return Budget(want.id, want.cap, want.revision, want.returns)
    if want.revision > found.revision:
        return msgspec.structs.replace(found, cap=want.cap, revision=want.revision)
    return found


def _refused(rows: Rows, run: str, alive: set[str], want: Want, account: Budget | Rate) -> Grant:
    """Return the refusal of `want`, with a recall raised where others may hold what they do not need."""
    if account.free >= want.least:
        return Grant(want.id, 0, account.free)
    if isinstance(account, Rate):
        return Grant(want.id, 0, account.free, lacks=True, wait_ns=account.wait_ns(want.least))
    others = [one for one in rows.open_slices(want.id) if one.run != run and one.run in alive]
    recall = want.recall
    if not recall and others:
        recall = account.recall
        if all(one.recalled >= recall for one in others):  # or join one that is not answered yet
            recall += 1
            rows.put(msgspec.structs.replace(account, recall=recall))
    waits = any(one.recalled < recall for one in others)
    return Grant(want.id, 0, account.free, lacks=True, recall=recall if waits else 0)


def shrink(rows: Rows, slice_id: str, granted: int, recalled: int = 0) -> None:
    """Give back what a slice has beyond `granted`, which bounds all that is spent or reserved of it."""
    found = rows.slices([slice_id]).get(slice_id)
    if found is None or found.state is not SliceState.OPEN:
        return
    budget = _budget(rows, found.budget)
    less = max(0, found.granted - granted)
    rows.put(msgspec.structs.replace(budget, held=budget.held - less))
    rows.put(
        msgspec.structs.replace(
            found, granted=found.granted - less, recalled=max(found.recalled, recalled)
        )
    )


def settle(rows: Rows, owner: Gateway, settlement: Settlement) -> int:
    """Close a slice at what was spent of it, and return the amount by which that is over its grant.

    A slice that the store does not know was drawn before it lost its newest changes: what was spent counts.
    """
    found = rows.slices([settlement.slice_id]).get(settlement.slice_id)
    if found is None:
        found = Slice(
            settlement.slice_id, settlement.budget, owner.place, owner.run, 0, rows.now_ns()
        )
    if found.state is SliceState.CLOSED:
        return 0
    budget = _budget(rows, found.budget)
    spent = 0 if budget.returns else settlement.spent
    held, settled = budget.held, budget.settled
    if found.state is SliceState.OPEN:
        held, settled = held - found.granted, settled + spent
    elif not budget.returns:
        settled += spent - found.granted
    rows.put(msgspec.structs.replace(budget, held=held, settled=settled))
    rows.put(msgspec.structs.replace(found, state=SliceState.CLOSED, spent=spent))
    return max(0, spent - settlement.granted)


def forfeit(rows: Rows, slice_id: str) -> None:
    """Count an open slice as spent, since its owner is believed dead; safe even when that is wrong."""
    found = rows.slices([slice_id]).get(slice_id)
    if found is None or found.state is not SliceState.OPEN:
        return
    budget = _budget(rows, found.budget)
    settled = budget.settled + (0 if budget.returns else found.granted)
    rows.put(msgspec.structs.replace(budget, held=budget.held - found.granted, settled=settled))
    rows.put(msgspec.structs.replace(found, state=SliceState.FORFEITED))


def give_back(rows: Rows, rate_id: str, units: int, taken_ns: int) -> None:
    """Give back units of a rate that were taken at `taken_ns` and not used; negative for more that were.

    What has refilled since is taken to be these units: so nothing that others used is forgotten.
    """
    found = rows.accounts([rate_id]).get(rate_id)
    if not isinstance(found, Rate):
        return
    rate = found.at(rows.now_ns())
    back = units * rate.refill_ns
    if units > 0:
        back = max(0, back - rate.cap * max(0, rate.level_ns - taken_ns))
    rows.put(msgspec.structs.replace(rate, level=max(0, rate.level - back)))


def live(rows: Rows, gateway: Gateway) -> Mapping[str, int]:
    """Record that `gateway` lives, forfeit what others that do not have left open, and return its recalls.

    They are by budget, to be answered by `shrink`.
    """
    now_ns = rows.now_ns()
    rows.put(msgspec.structs.replace(gateway, seen_ns=now_ns))
    for other in rows.gateways():
        if other.run != gateway.run and now_ns - other.seen_ns >= DEAD_NS:
            left = [one for one in rows.slices_of(other.place) if one.run == other.run]
            rows.accounts({one.budget for one in left})  # all locks in the order of ids
            for one in left:
                forfeit(rows, one.id)
            rows.remove(other)
    return rows.recalled(gateway.run)


def _budget(rows: Rows, budget_id: str) -> Budget:
    found = rows.accounts([budget_id]).get(budget_id)
    return found if isinstance(found, Budget) else Budget(budget_id, 0)
