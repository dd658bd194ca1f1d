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
it. A gateway that was believed dead and is not has calls under way that no longer count: one slice of them.

A *rate* refills, so what is granted needs no settling: a bucket leaks `cap` in `refill_ns` and a grant
fills it (the generic cell rate algorithm, with a burst of the whole cap). Time is the store's. Units that
were granted in advance are used within `AHEAD_NS` or lost, so in any time t at most cap + cap x (t +
AHEAD_NS) / refill_ns are used. A clock of the store that is set forward refills by as much; one that is set
back refills nothing, and goes on from there.

*No false refusal.* Before a draw is refused for good, what others hold and do not need is called back: the
budget's `recall` is raised, each gateway shrinks its slices to what they have spent or reserved and notes
that it has (`recalled`). Meanwhile nobody is granted more than its call needs, or the others would draw
ahead of whoever waits. Only when all have answered, or could not give enough, is a refusal final. Forfeited
slices are called back like open ones: a gateway that comes back after it was believed dead answers too.

*Order of locks.* Each function locks its accounts before it reads their slices. Who changes several in one
transaction locks all of their accounts first, so that no two wait for each other; the rows of gateways come
last.

Rejected. A row per call (a round trip per call, and none while the store is away); leases that end by a
clock (a paused process spends money that was given to another); counters that are added up later (99 spent
of 30).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

import msgspec

from inferworks.errors import LimitsError
from inferworks.limits.warnings import WarningRows
from inferworks.units import NS_PER_SECOND

AHEAD_NS: Final = NS_PER_SECOND
"""Longest time for which a gateway keeps units of a rate, by its own monotonic clock."""
DEAD_NS: Final = 30 * NS_PER_SECOND
"""Silence of a gateway, by the store's clock, after which its slices are forfeited."""
SILENT_NS: Final = 3 * NS_PER_SECOND
"""Silence after which a refusal no longer waits for it to answer a recall."""


NO_RECALL: Final = -1
"""Number for a draw that may as well be refused: nobody is asked to give anything back for it."""


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
    recalled_ns: int = 0
    """Moment of it."""

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
    """Amount spent of it; of an open one, as its owner last reported, for limits that warn."""
    state: SliceState = SliceState.OPEN
    recalled: int = 0
    """Newest recall of the budget that its owner has answered."""
    closed_ns: int = 0
    """Moment at which it was closed."""


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
        # a clock that is further back was set, and would refill nothing for as long
        if self.level_ns - now_ns < AHEAD_NS:
            now_ns = max(now_ns, self.level_ns)
        return msgspec.structs.replace(self, level=level, level_ns=now_ns)

    @property
    def free(self) -> int:
        """Return what may be granted at `level_ns`."""
        return (self.cap * self.refill_ns - self.level) // self.refill_ns

    def wait_ns(self, least: int) -> int:
        """Return the nanoseconds from `level_ns` until `least` may be granted; 0 where it never may."""
        if least > self.cap:
            return 0
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
    """Recall that an earlier try has raised; 0 at first, `NO_RECALL` where none is worth it."""
    overflows: bool = False
    """True for a rate of which more is granted than it has: it is then full, and counts no further."""

    def lacks(self, free: int) -> bool:
        """Return True if it must be refused where so much is free."""
        return free < self.least and not self.overflows


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
    """Nanoseconds until a rate has enough, where it lacks; 0 where it never will."""


class Settlement(NamedTuple):
    """Slice at its end, and what was spent of it."""

    slice_id: str
    budget: str
    granted: int
    spent: int


class Rows(WarningRows, Protocol):
    """Rows of a store within one transaction. Budgets and rates stay locked until it ends."""

    def accounts(self, ids: Iterable[str]) -> Mapping[str, Budget | Rate]:
        """Budgets and rates with these ids, locked in the order of ids; absent where there is none."""
        ...

    def slices(self, ids: Iterable[str]) -> Mapping[str, Slice]:
        """Slices with these ids."""
        ...

    def slices_in(self, budget: str) -> Sequence[Slice]:
        """Slices of a budget that are not closed."""
        ...

    def slices_of(self, run: str) -> Sequence[Slice]:
        """Slices of a run that are not closed."""
        ...

    def recalled(self, run: str) -> Mapping[str, int]:
        """Newest recall of each budget of which `run` has an unclosed slice that has not answered it.

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

    def budget_ids(self, after: str, most: int) -> Sequence[str]:
        """At most `most` ids of budgets that follow `after`, in order. Locks nothing."""
        ...

    def remove_account(self, account_id: str) -> None:
        """Forget an account that is locked, with its slices and warnings."""
        ...

    def remove_closed(self, run: str | None, before_ns: int, most: int) -> None:
        """Forget at most `most` slices of `run`, or of any, that were closed before `before_ns`."""
        ...


def draw(rows: Rows, owner: Gateway, wants: Sequence[Want]) -> tuple[Grant, ...]:
    """Grant all of `wants`, or none of them. A draw that is repeated returns what it was granted."""
    found = rows.accounts([want.id for want in wants])
    known = rows.slices([want.slice_id for want in wants])
    now_ns = rows.now_ns()
    accounts: dict[str, Budget | Rate] = {}
    for want in wants:
        account = accounts[want.id] = _current(found.get(want.id), want, now_ns)
        if _is_news(account, found.get(want.id)):
            rows.put(account)  # also where the draw is refused
    if known:  # the answer to it was lost
        still = {one.id: one.granted for one in known.values() if one.state is SliceState.OPEN}
        return tuple(
            Grant(want.id, still.get(want.slice_id, 0), accounts[want.id].free) for want in wants
        )
    gateways = rows.gateways()
    alive = [one for one in gateways if now_ns - one.seen_ns < DEAD_NS]
    share = 2 * max(1, len(alive))
    if any(want.lacks(accounts[want.id].free) for want in wants):
        talking = {one.run for one in alive if now_ns - one.seen_ns < SILENT_NS} - {owner.run}
        return tuple(_refused(rows, talking, want, accounts[want.id], now_ns) for want in wants)
    grants = []
    for want in wants:
        account = accounts[want.id]
        most = want.most
        if isinstance(account, Budget) and account.recall:
            others_wait = 0 <= now_ns - account.recalled_ns < SILENT_NS
            most = want.least if others_wait else most
        granted = min(most, max(want.least, account.free // share), account.free)
        if want.overflows and granted < want.least:
            granted = most  # it is full, and stays so
        if isinstance(account, Budget):
            account = msgspec.structs.replace(account, held=account.held + granted)
            rows.put(Slice(want.slice_id, want.id, owner.place, owner.run, granted, now_ns,
                           recalled=account.recall))  # fmt: skip
        else:
            level = account.level + granted * account.refill_ns
            if want.overflows:
                level = min(level, account.cap * account.refill_ns)
            account = msgspec.structs.replace(account, level=level)
        rows.put(account)
        grants.append(Grant(want.id, granted, account.free))
    if all(one.run != owner.run for one in gateways):  # or nobody would notice its death
        rows.put(msgspec.structs.replace(owner, seen_ns=now_ns))
    return tuple(grants)


def _current(found: Budget | Rate | None, want: Want, now_ns: int) -> Budget | Rate:
    """Return the account of `want` as it is now, made or changed as the newest revision says."""
    if found is not None and isinstance(found, Rate) != bool(want.refill_ns):
        raise LimitsError(f"{want.id} is a {'rate' if isinstance(found, Rate) else 'budget'}")
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
        return msgspec.structs.replace(
            found, cap=want.cap, revision=want.revision, returns=want.returns
        )
    return found


def _is_news(account: Budget | Rate, found: Budget | Rate | None) -> bool:
    """Return whether the store must know `account`: others may have a higher cap, or a later clock."""
    if found is None or account.revision > found.revision:
        return True
    return isinstance(account, Rate) and account.level_ns < found.level_ns  # type: ignore[union-attr]


def _refused(
    rows: Rows, talking: set[str], want: Want, account: Budget | Rate, now_ns: int
) -> Grant:
    """Return the refusal of `want`, with a recall raised where others may hold what they do not need."""
    if not want.lacks(account.free):
        return Grant(want.id, 0, account.free)
    if isinstance(account, Rate):
        return Grant(want.id, 0, account.free, lacks=True, wait_ns=account.wait_ns(want.least))
    refusal = Grant(want.id, 0, account.free, lacks=True)
    others = [one for one in rows.slices_in(want.id) if one.run in talking]
    if want.recall == NO_RECALL or account.free + sum(one.granted for one in others) < want.least:
        return refusal
    recall = want.recall
    if not recall:
        recall = account.recall
        if all(one.recalled >= recall for one in others):  # or join one that is not answered yet
            recall += 1
            rows.put(msgspec.structs.replace(account, recall=recall, recalled_ns=now_ns))
    waits = any(one.recalled < recall for one in others)
    return refusal._replace(recall=recall if waits else 0)


def shrink(rows: Rows, budget_id: str, slice_id: str, granted: int, recalled: int = 0) -> None:
    """Give back what a slice has beyond `granted`, which bounds all that is spent or reserved of it."""
    budget, found = _locked(rows, budget_id, slice_id)
    if found is None or found.state is SliceState.CLOSED:
        return
    less = max(0, found.granted - granted)
    rows.put(_moved(budget, found, -less, 0))
    rows.put(
        msgspec.structs.replace(
            found, granted=found.granted - less, recalled=max(found.recalled, recalled)
        )
    )


def settle(rows: Rows, owner: Gateway, settlement: Settlement) -> int:
    """Close a slice at what was spent of it, and return the amount by which that is over its grant.

    A slice that the store does not know is closed as well: it was drawn before the store lost its newest
    changes, or a draw of it may still come, which is then granted nothing.
    """
    budget, found = _locked(rows, settlement.budget, settlement.slice_id)
    if found is None:
        found = Slice(
            settlement.slice_id, settlement.budget, owner.place, owner.run, 0, rows.now_ns()
        )
    if found.state is SliceState.CLOSED:
        return 0
    spent = 0 if budget.returns else settlement.spent
    rows.put(_moved(budget, found, -found.granted, spent))
    closed_ns = rows.now_ns()
    rows.put(
        msgspec.structs.replace(found, state=SliceState.CLOSED, spent=spent, closed_ns=closed_ns)
    )
    return max(0, spent - settlement.granted)


def forfeit(rows: Rows, budget_id: str, slice_id: str) -> None:
    """Count an open slice as spent, since its owner is believed dead; safe even when that is wrong."""
    budget, found = _locked(rows, budget_id, slice_id)
    if found is None or found.state is not SliceState.OPEN:
        return
    rows.put(_moved(budget, found, -found.granted, 0 if budget.returns else found.granted))
    rows.put(msgspec.structs.replace(found, state=SliceState.FORFEITED))


def report(rows: Rows, spent: Mapping[str, int]) -> None:
    """Record what open slices, by id, have spent so far; of calls at once, what they hold."""
    for one in rows.slices(spent).values():
        if one.state is SliceState.OPEN:
            rows.put(msgspec.structs.replace(one, spent=spent[one.id]))


def used(rows: Rows, account_id: str) -> int:
    """Return what is used of an account: spent, as far as it is reported, or not refilled yet."""
    account = rows.accounts([account_id]).get(account_id)
    if isinstance(account, Rate):
        return account.at(rows.now_ns()).level // account.refill_ns
    if account is None:
        return 0
    reported = (one for one in rows.slices_in(account_id) if one.state is SliceState.OPEN)
    return account.settled + sum(min(one.spent, one.granted) for one in reported)


def _moved(budget: Budget, part: Slice, granted: int, settled: int) -> Budget:
    """Return `budget` with `granted` more in `part`, wherever it counts, and `settled` more spent."""
    if part.state is SliceState.OPEN:
        return msgspec.structs.replace(
            budget, held=budget.held + granted, settled=budget.settled + settled
        )
    settled += 0 if budget.returns else granted  # a forfeited slice of calls at once counts nowhere
    return msgspec.structs.replace(budget, settled=budget.settled + settled)


def _locked(rows: Rows, budget_id: str, slice_id: str) -> tuple[Budget, Slice | None]:
    """Return a slice and its budget, which is locked first; of an unknown slice, the budget named.

    LimitsError where the budget is a rate, or the slice is one of another budget.
    """
    account = rows.accounts([budget_id]).get(budget_id, Budget(budget_id, 0))
    found = rows.slices([slice_id]).get(slice_id)
    if isinstance(account, Rate):
        raise LimitsError(f"{budget_id} is a rate, of which there are no slices")
    if found is not None and found.budget != budget_id:
        raise LimitsError(f"{slice_id} is a slice of {found.budget}, not of {budget_id}")
    return account, found


def give_back(rows: Rows, rate_id: str, units: int, taken_ns: int, age_ns: int = 0) -> None:
    """Give back units of a rate that were taken at `taken_ns` and not used; negative for more that were.

    What has refilled since is taken to be these units: so nothing that others used is forgotten. `age_ns`
    is how long ago it was by the gateway's clock, should the store's have been set back since.
    """
    found = rows.accounts([rate_id]).get(rate_id)
    if not isinstance(found, Rate):
        return
    rate = found.at(rows.now_ns())
    back = units * rate.refill_ns
    if units > 0:
        back = max(0, back - rate.cap * max(age_ns, rate.level_ns - taken_ns))
    rows.put(msgspec.structs.replace(rate, level=max(0, rate.level - back)))


def in_use(rows: Rows, names: Iterable[str]) -> dict[str, int]:
    """Return what is taken of each account: used, or held by gateways; of rates, not refilled yet."""
    now_ns = rows.now_ns()
    return {
        name: one.cap - (one.at(now_ns) if isinstance(one, Rate) else one).free
        for name, one in rows.accounts(names).items()
    }


def live(rows: Rows, gateway: Gateway) -> Mapping[str, int]:
    """Record that `gateway` lives, and return its recalls, by budget, to be answered by `shrink`."""
    now_ns = rows.now_ns()
    rows.put(msgspec.structs.replace(gateway, seen_ns=now_ns))
    for other in rows.gateways():
        if (
            other.seen_ns - now_ns >= DEAD_NS
        ):  # the clock was set back; it would seem alive for as long
            rows.put(msgspec.structs.replace(other, seen_ns=now_ns))
    return rows.recalled(gateway.run)


def bury_all(rows: Rows) -> list[Slice]:
    """Forfeit what every run has left open, and forget all of them; return the slices that were open.

    For the copy of a store: its runs live, and spend from their slices, where it was copied from.
    """
    left = [one for gateway in rows.gateways() for one in rows.slices_of(gateway.run)]
    rows.accounts({one.budget for one in left})
    for one in left:
        forfeit(rows, one.budget, one.id)
    for gateway in rows.gateways():
        rows.remove(gateway)
    return [one for one in left if one.state is SliceState.OPEN]


def silent(rows: Rows) -> list[Gateway]:
    """Return the gateways that are believed dead."""
    now_ns = rows.now_ns()
    return [one for one in rows.gateways() if now_ns - one.seen_ns >= DEAD_NS]


def bury(rows: Rows, run: str) -> None:
    """Forfeit what a run that is believed dead has left open, and forget it, unless it has come back."""
    left = rows.slices_of(run)
    rows.accounts({one.budget for one in left})
    for gateway in [one for one in silent(rows) if one.run == run]:
        for one in left:
            forfeit(rows, one.budget, one.id)
        rows.remove(gateway)
