"""The limits at one gateway: slices of each, out of which calls take what they may use.

`hold` takes from every limit of a call or from none, without I/O while the slices in hand suffice. Else
it draws from the store, in one transaction for all that lack; when a limit has too little, it waits until
the other gateways have given back what they do not need, and only then refuses. `Hold.extend` takes more
for a call that goes on, `Hold.end` says what the call has used.

One draw runs at a time. A caller that leaves while it waits for one leaves nothing behind: a slice that it
may have been granted is settled at nothing at the next beat, and so is every other draw whose outcome is
not known. What the store confirms is in hand before anybody else runs.

A slice is drawn for as many calls as came in the last second, and ahead of time when half of it is gone. It
is used for ten minutes at most, or until it is recalled; then it is settled as soon as no call holds of it,
and until then shrunk to what is spent or held. Units of a rate are used within a second or given back.

One task (`beat`) says twice a second that this gateway lives, answers recalls and settles, and raises the
warnings of limits whose use has grown (`limits.warnings`). While the store cannot be reached, calls are
served out of the slices in hand, then refused with LimitsError.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, NamedTuple, TypeAlias, TypeVar

from inferworks.accounts.limit import FOR_EVER_NS, Limit, Measure
from inferworks.clock import Clock
from inferworks.errors import InferworksError, LimitsError
from inferworks.ids import CallId, new_id
from inferworks.limits.ledger import (
    AHEAD_NS,
    NO_RECALL,
    Gateway,
    Grant,
    Rows,
    Settlement,
    Want,
    bury,
    draw,
    forfeit,
    give_back,
    in_use,
    live,
    report,
    settle,
    shrink,
    silent,
    used,
)
from inferworks.limits.pruning import EVERY_NS, prune
from inferworks.limits.slice_log import LeftLog, LeftSlice, SliceLog
from inferworks.limits.stores.base import LimitsStore
from inferworks.limits.warnings import Alarm, Raised, raise_warnings, told
from inferworks.units import NS_PER_SECOND

T = TypeVar("T")

BEAT_S: Final = 0.5
"""Interval at which a gateway says that it lives and answers recalls, in seconds."""
_LONGEST_USE_NS: Final = 600 * NS_PER_SECOND
_IDLE_NS: Final = 30 * NS_PER_SECOND
"""Nanoseconds after which a slice that no call has taken from is given back."""
_RECALL_WAIT_S: Final = 2.5
"""Longest wait for other gateways to answer a recall, in seconds; longer than a beat and a lost one."""
_ASK_AGAIN_S: Final = 0.05
_REFUSED_NS: Final = NS_PER_SECOND // 2
"""Nanoseconds for which a refusal stands without asking again."""
_UNLIMITED: Final = 10**33
"""Cap of a soft budget, which counts and never refuses."""
_MOST_KEPT: Final = 16_384
_CALLS_AHEAD: Final = 4096
"""Most calls for which one slice is drawn."""
_ALARMS: Final = 200
"""Most limits that one beat looks at for warnings; the rest waits for the next."""

_log = logging.getLogger("inferworks.limits")


class Amounts(NamedTuple):
    """Amounts that a call may use at most, or has used."""

    money_pico: int
    tokens: int
    requests: int = 1
    likely_tokens: int | None = None
    """Tokens that are taken of a rate, where they are other than `tokens`: a rate evens out what it was
    wrong by, and the most tokens that a long prompt could have are far more than it has.
    """

    def of_new(self, measure: Measure, *, refills: bool) -> int:
        """Return what a new call takes of a limit by `measure`, which `refills` or does not."""
        return self.by_kind()[_KINDS[measure, refills].new]

    def by_kind(self) -> tuple[int, int, int, int, int, int]:
        """Return the amounts in the order to which `_Kind` refers."""
        money_pico, tokens, requests, likely = self
        return money_pico, tokens, tokens if likely is None else likely, requests, 1, 0


_NOTHING: Final = Amounts(0, 0, 0)


class _Kind(NamedTuple):
    """Places, in the order of `Amounts.by_kind`, of what counts towards a limit."""

    new: int
    """Amount that a call takes when it begins."""
    more: int
    """Amount that it takes when it goes on: it is one request and one call already."""
    used: int
    """Amount that it has used up in the end: nothing of calls at once, which it gives back."""


_KINDS: Final = {
    (Measure.MONEY, False): _Kind(0, 0, 0),
    (Measure.MONEY, True): _Kind(0, 0, 0),
    (Measure.TOKENS, False): _Kind(1, 1, 1),
    (Measure.TOKENS, True): _Kind(2, 2, 1),
    (Measure.REQUESTS, False): _Kind(3, 5, 3),
    (Measure.REQUESTS, True): _Kind(3, 5, 4),  # a rate counts it whatever became of it
    (Measure.CALLS, False): _Kind(4, 5, 5),
}
"""Kind of a limit by its measure, and whether it refills."""


class LimitReachedError(InferworksError):
    """A limit has too little left for a call."""

    def __init__(self, limit: Limit, free: int, wait_ns: int | None) -> None:
        """`wait_ns` is when to try again; None where the amount does not refill."""
        super().__init__(f"limit {limit.id} is reached")
        self.limit = limit
        self.free = free
        self.wait_ns = wait_ns


class LeftInWindow(NamedTuple):
    """Amount left of a limit, as far as this gateway knows."""

    limit: Limit
    left: int
    full_ns: int
    """Nanoseconds until all of it is there again; 0 where that is not known."""


def account_id(limit: Limit, start_ns: int) -> str:
    """Return the id in the store of `limit` in its window from `start_ns`.

    A limit that is changed to another measure, currency or window begins anew: amounts of two kinds do not
    add up.
    """
    measure = f"{limit.measure}{limit.currency and '-'}{limit.currency}"
    return f"{limit.id}/{measure}/{limit.window}@{start_ns // NS_PER_SECOND}"


def _measure_of(account: str) -> str:
    """Return the measure of the account with this id."""
    return account.split("/")[-2].partition("-")[0]


class _Slice:
    """A slice of a budget, or units of a rate, in the hands of this gateway."""

    __slots__ = (
        "account",
        "drawn_ns",
        "ended",
        "granted",
        "id",
        "is_retired",
        "low",
        "next_ns",
        "number",
        "stored",
        "taken",
        "used_ns",
    )

    def __init__(
        self, account: _Account, slice_id: str, number: int, granted: int, drawn_ns: int
    ) -> None:
        self.account = account
        self.id = slice_id
        self.number = number
        """Number in the log; 0 for units of a rate, which nobody settles."""
        self.granted = granted
        self.stored = granted
        """Most that the store may still have granted of it."""
        self.low = granted // 4
        """Amount left below which the next one is drawn."""
        self.taken = 0
        """Spent by calls that ended, or held by others."""
        self.ended = 0
        """Spent by calls that ended."""
        self.drawn_ns = drawn_ns
        self.next_ns = FOR_EVER_NS if number else drawn_ns + AHEAD_NS // 4 * 3
        """Moment from which on the next one is drawn, however much is left."""
        self.used_ns = drawn_ns
        self.is_retired = False

    @property
    def left(self) -> int:
        return self.granted - self.taken

    @property
    def reserved(self) -> int:
        return self.taken - self.ended


class _Account:
    """One limit in one window, at this gateway."""

    def __init__(self, limit: Limit, window_ns: tuple[int, int], now_ns: int) -> None:
        self.start_ns, self.until_ns = window_ns
        self.limit = limit
        self.id = account_id(limit, self.start_ns)
        self.new_at, self.more_at, self.used_at = _KINDS[limit.measure, limit.refill_ns > 0]
        self.refill_ns = limit.refill_ns
        self.current: _Slice | None = None
        self.slices: dict[str, _Slice] = {}
        """All that are not settled."""
        self.free = limit.amount
        self.free_ns = 0
        self.draws = 0
        self.asked = 0
        """Units that calls asked for since the last draw."""
        self.asked_since_ns = now_ns
        self.is_drawing = False
        self.waits = False
        """True while a call waits for the answers to a recall; others wait for it."""
        self.refused = 0
        self.refused_until_ns = 0
        """Amount that was refused, and until when nobody asks again."""
        self.enough_ns = 0
        """Moment at which a rate has so much again."""
        self.is_full = False
        """True while a refusal is to be told to the store, for the warnings of the limit."""
        self.seen: tuple[int, ...] = ()
        """State in which it was last looked at for warnings."""
        self.seen_ns = 0

    def state(self) -> tuple[int, ...]:
        """Return what differs when what is used of it may have changed."""
        taken = sum(one.taken + one.ended for one in self.slices.values())
        return self.draws, taken, self.limit.revision

    def alarm(self, *, is_sent: bool) -> Alarm:
        """Return it as it is to be looked at for warnings; a refusal is then told."""
        is_full, self.is_full = self.is_full, False
        counts = (
            self.refill_ns > 0 and self.limit.is_hard
        )  # a soft one may have more than was counted
        unused = sum(one.left for one in self.slices.values()) if counts else 0
        return Alarm(self.id, self.limit, self.start_ns, is_full, is_sent, unused)

    def spent(self) -> dict[str, int]:
        """Return what its slices have spent, by id; of calls at once, what they hold."""
        holds = self.limit.measure is Measure.CALLS
        parts = (one for one in self.slices.values() if one.number)
        return {one.id: one.reserved if holds else one.ended for one in parts}

    def takes(self, amounts: Amounts, *, is_new: bool) -> int:
        """Return what a call takes that begins, or goes on."""
        return amounts.by_kind()[self.new_at if is_new else self.more_at]

    def want(self, least: int, now_ns: int, recall: int) -> Want:
        """Return the draw of at least `least`, and of what calls will ask for in the next second."""
        limit = self.limit
        passed_ns = max(now_ns - self.asked_since_ns, NS_PER_SECOND // 20)
        ahead = min(self.asked * NS_PER_SECOND // passed_ns, _CALLS_AHEAD * least)
        most = least if self.refill_ns and ahead < 2 * least else max(least, ahead)
        # calls that come while it is drawn ask for the next
        self.asked, self.asked_since_ns = 0, now_ns
        cap = limit.amount if limit.is_hard or self.refill_ns else _UNLIMITED
        returns = limit.measure is Measure.CALLS
        overflows = not limit.is_hard and self.refill_ns > 0
        return Want(self.id, cap, limit.revision, self.refill_ns, returns, new_id("slice", now_ns),
                    least, most, recall, overflows)  # fmt: skip


class Hold:
    """Amounts that one call has taken of its limits. `end` it once."""

    __slots__ = ("_is_extended", "_limiter", "_parts", "accounts", "call", "taken")

    def __init__(self, limiter: Limiter, call: CallId, accounts: Sequence[_Account]) -> None:
        self._limiter = limiter
        self.call = call
        self.accounts = accounts
        self.taken = _NOTHING
        """All that is held."""
        self._parts: list[_Part] = []
        self._is_extended = False
        """True if there may be several parts of one account."""

    async def extend(self, more: Amounts) -> None:
        """Take `more` as well, or nothing: LimitReachedError or LimitsError where it cannot be had."""
        await self._limiter.take(self, more)

    def end(self, used: Amounts) -> None:
        """Say what the call has used in all; what it held beyond that is free again. Waits for nothing."""
        self._limiter.ended(self, used)


_Part: TypeAlias = tuple[_Account, _Slice, int]
"""Amount that a call has taken of a slice of an account."""


class _Kept(NamedTuple):
    """Accounts of some limits, while all of them are in these windows."""

    limits: tuple[Limit, ...]
    from_ns: int
    until_ns: int
    accounts: tuple[_Account, ...]


class Limiter:
    """Limits at one gateway. Used by one event loop; the store by a thread of its own."""

    def __init__(
        self,
        store: LimitsStore,
        log: SliceLog,
        gateway: Gateway,
        clock: Clock,
        *,
        sends_warnings: bool = False,
    ) -> None:
        """`sends_warnings` says that warnings have a receiver, to whom an outbox sends them."""
        self._store = store
        self._sends_warnings = sends_warnings
        self._log = log
        self._gateway = gateway
        self._clock = clock
        self._now_ns = clock.carried().now_ns
        """A clock that is never set."""
        self._thread = ThreadPoolExecutor(1, "limits")
        self._accounts: dict[str, _Account] = {}
        self._kept: dict[int, _Kept] = {}
        """Accounts that were looked up lately, by the identity of their tuple of limits."""
        self._slices: dict[str, _Slice] = {}
        """All that are in hand, also of accounts that are forgotten."""
        self._turn = asyncio.Lock()
        self._back: list[tuple[str, int, int]] = []
        """Units of rates to give back, with the moment at which they were taken, by our own clock."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._doubtful: list[tuple[str, str]] = []
        """Slices that may have been granted by a draw that was not confirmed, with their budgets."""
        self._offset_ns = 0
        """The store's clock, less our own that is never set."""
        self._pruned_ns = self._now_ns()
        self._pruned_to = ""
        """Id of the account after which the next piece is pruned."""
        self.is_reachable = True
        self._losses = 0
        """Transactions that have failed so far; counted by the store's thread."""
        self.draws = 0
        """Draws from the store so far."""
        self.exceeded = 0
        """Sum of what slices have spent beyond their grants, by measure's unit."""
        self.refusals: Counter[tuple[str, str]] = Counter()
        """Calls refused or ended for a limit, by its measure and the kind of its scope."""
        self.warnings: Counter[tuple[str, str]] = Counter()
        """Warnings that this gateway raised, in the same way."""

    @property
    def is_in_use(self) -> bool:
        """True while there are slices or units to settle or to give back."""
        return bool(self._accounts or self._back or self._doubtful)

    # --- calls

    def accounts(self, limits: tuple[Limit, ...], at_ns: int) -> tuple[_Account, ...]:
        """Return the accounts of `limits` in the windows of `at_ns`."""
        kept = self._kept.get(id(limits))
        if kept is not None and kept.limits is limits and kept.from_ns <= at_ns < kept.until_ns:
            return kept.accounts
        windows_ns = [limit.window_ns(at_ns) for limit in limits]
        found = []
        for limit, window_ns in zip(limits, windows_ns, strict=True):
            account = self._accounts.get(account_id(limit, window_ns[0]))
            if account is None:
                account = _Account(limit, window_ns, self._now_ns())
                self._accounts[account.id] = account
            if limit.amount < account.limit.amount:
                self._retire(account)  # what is in hand was drawn of a larger amount
            account.limit = limit
            found.append(account)
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        from_ns, until_ns = max(one[0] for one in windows_ns), min(one[1] for one in windows_ns)
        accounts = tuple(found)
        self._kept[id(limits)] = _Kept(limits, from_ns, until_ns, accounts)
        return accounts

    async def hold(self, accounts: Sequence[_Account], call: CallId, most: Amounts) -> Hold:
        """Take the most that a call can use from all `accounts`, or from none.

        LimitReachedError when one has too little; LimitsError when the slices in hand are not enough and
        the store cannot be reached.
        """
        hold = Hold(self, call, accounts)
        if not self._took(hold, most):
            await self._draw_for(hold, most, is_new=True)
        return hold

    async def take(self, hold: Hold, more: Amounts) -> None:
        """Take `more` for `hold`."""
        if not self._took(hold, more, is_new=False):
            await self._draw_for(hold, more, is_new=False)

    async def _draw_for(self, hold: Hold, more: Amounts, *, is_new: bool) -> None:
        """Take `more` for `hold`, drawing what lacks."""
        until_ns = self._now_ns() + round(_RECALL_WAIT_S * NS_PER_SECOND)
        recalls: dict[str, int] = {}
        try:
            while True:
                async with self._turn:
                    is_late = self._now_ns() > until_ns
                    lacking = self._lacking(hold, more, is_new=is_new)
                    others_wait = any(a.waits for a, _ in lacking if a.id not in recalls)
                    waits = bool(lacking) and others_wait and not is_late
                    if lacking and not waits:
                        grants = await self._draw(lacking, recalls)
                        for (account, _), grant in zip(lacking, grants, strict=True):
                            account.waits = grant.recall > 0
                            recalls |= {grant.id: grant.recall} if grant.recall else {}
                            waits = waits or account.waits
                            if not grant.lacks:
                                recalls.pop(grant.id, None)
                        self._refuse(lacking, grants, waited=is_late)
                    if self._took(hold, more, is_new=is_new, again=True):
                        return
                if is_late:
                    raise LimitsError("the store of limits answers too slowly")
                if waits:
                    await self._clock.sleep(_ASK_AGAIN_S)
        finally:
            for account in hold.accounts:
                account.waits = account.waits and account.id not in recalls

    def ended(self, hold: Hold, used: Amounts) -> None:
        """Settle what a call has taken, in the order in which it was, until `used` is covered."""
        parts, amounts = hold._parts, used.by_kind()  # noqa: SLF001 the two are one
        hold._parts = []  # noqa: SLF001
        lines: list[int] = []
        spents = _spents(parts, amounts) if hold._is_extended else None  # noqa: SLF001
        for number, (account, part, amount) in enumerate(parts):
            spent = amounts[account.used_at] if spents is None else spents[number]
            part.taken += spent - amount
            part.ended += spent
            if spent < amount:
                account.refused_until_ns = 0
            if part.number:
                lines += (part.number, spent)
            elif part.is_retired or spent > amount:
                part.ended -= max(0, spent - amount)
                part.taken -= max(0, spent - amount)
                self._back.append((account.id, amount - spent, part.drawn_ns))
        if lines:
            self._log.ended(hold.call, lines)

    def left(self, hold: Hold) -> list[LeftInWindow]:
        """Return what is left of each limit of a call on requests or tokens."""
        found = []
        for account in hold.accounts:
            limit = account.limit
            if limit.measure is not Measure.TOKENS and limit.measure is not Measure.REQUESTS:
                continue
            left = self.left_of(account)
            full_ns = 0
            if account.refill_ns:
                full_ns = (limit.amount - left) * account.refill_ns // limit.amount
            elif account.until_ns < FOR_EVER_NS:
                full_ns = max(0, account.until_ns - self._clock.now_ns())
            found.append(LeftInWindow(limit, left, full_ns))
        return found

    def left_of(self, account: _Account) -> int:
        """Return what is left of an account, as far as this gateway knows."""
        limit = account.limit
        left = account.free + sum([one.granted - one.taken for one in account.slices.values()])
        if account.refill_ns:
            left += self._refilled(account)
        elif not limit.is_hard:
            left -= _UNLIMITED - limit.amount
        return max(0, min(limit.amount, left))

    def uses(self, most: int, ids: Container[str]) -> list[tuple[str, int]]:
        """Return the `most` used limits of `ids`, and what is used of each in millionths of its amount."""
        wall_ns = self._clock.now_ns()
        found = {
            account.limit.id: 10**6 - self.left_of(account) * 10**6 // account.limit.amount
            for account in self._accounts.values()
            if account.draws and account.limit.amount and wall_ns < account.until_ns
            if account.limit.id in ids
        }
        return heapq.nlargest(most, found.items(), key=lambda one: one[1])

    def refused(self, accounts: Sequence[_Account], error: LimitReachedError) -> None:
        """Count a call that was refused, or ended, for one of `accounts`, and have it be warned of."""
        scope, measure = error.limit.scope, error.limit.measure
        self.refusals[str(measure), str(scope.kind)] += 1
        for account in accounts:
            if account.limit.id == error.limit.id:
                account.is_full = True

    async def in_use(self, limits: Sequence[Limit], at_ns: int) -> dict[str, int]:
        """Return what is used of `limits` in the windows of `at_ns`, by id.

        What calls hold counts; so does all that other gateways have drawn. LimitsError when the store
        cannot be reached.
        """
        names = {limit.id: account_id(limit, limit.window_ns(at_ns)[0]) for limit in limits}
        async with self._turn:
            taken = await self._in_store(partial(in_use, names=names.values()))
            left = {
                name: sum(one.left for one in account.slices.values())
                for name, account in self._accounts.items()
            }
        return {
            limit_id: max(0, taken.get(name, 0) - left.get(name, 0))
            for limit_id, name in names.items()
        }

    # --- taking

    def _took(self, hold: Hold, more: Amounts, *, is_new: bool = True, again: bool = False) -> bool:
        """Take `more` out of the slices in hand; False, and nothing is taken, when they do not suffice."""
        now_ns = self._now_ns()
        amounts = more.by_kind()
        found: list[_Part] = []
        lines: list[int] = []
        for account in hold.accounts:
            amount = amounts[account.new_at if is_new else account.more_at]
            if not amount:
                continue
            if not again:
                account.asked += amount
            part = account.current
            if part is None or part.granted - part.taken < amount:
                return False
            if not part.number and now_ns - part.drawn_ns > AHEAD_NS:
                self._retire_old(hold.accounts, now_ns)
                return False
            found.append((account, part, amount))
            if part.number:
                lines += (part.number, amount)
        parts = hold._parts  # noqa: SLF001
        is_extended = bool(parts)
        all_parts = [*parts, *found] if is_extended else found
        lines = _lines(all_parts) if is_extended else lines
        if lines:
            self._log.held(hold.call, lines)
        hold._parts, hold._is_extended = all_parts, is_extended  # noqa: SLF001
        is_low = False
        for _, part, amount in found:
            part.taken += amount
            part.used_ns = now_ns
            is_low = is_low or part.granted - part.taken < part.low or now_ns > part.next_ns
        if is_low:
            self._draw_ahead(found, now_ns)
        taken = hold.taken
        hold.taken = more
        if is_extended:
            money_pico, tokens = taken.money_pico + more.money_pico, taken.tokens + more.tokens
            hold.taken = Amounts(money_pico, tokens)
        return True

    def _lacking(self, hold: Hold, more: Amounts, *, is_new: bool) -> list[tuple[_Account, int]]:
        """Return the accounts whose slice in hand does not suffice, with what they lack it for.

        LimitReachedError where one was refused as much a moment ago: a limit that is used up does not
        cost a draw for each call that comes.
        """
        now_ns = self._now_ns()
        found = []
        for account in hold.accounts:
            amount = account.takes(more, is_new=is_new)
            part = account.current
            if amount and (part is None or part.left < amount):
                if amount >= account.refused and now_ns < account.refused_until_ns:
                    raise self._refusal(account, max(0, account.enough_ns - now_ns))
                found.append((account, amount))
        if found and not self.is_reachable:
            raise LimitsError("the store of limits cannot be reached")
        return found

    def _draw_ahead(self, parts: Sequence[_Part], now_ns: int) -> None:
        """Draw the next slices while those in hand last: in one transaction of all that are half used up.

        Only of slices for several calls, and of budgets of which there was enough at the last draw.
        """
        wants = [
            (account, amount)
            for account, part, amount in parts
            if part.granted > 4 * amount
            and (part.left <= part.granted // 2 or now_ns > part.next_ns)
            and not account.is_drawing
            and (account.refill_ns or account.free >= amount)
        ]
        if not wants:
            return
        for account, _ in wants:
            account.is_drawing = True
        task = asyncio.get_running_loop().create_task(self._ahead(wants))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ahead(self, wants: Sequence[tuple[_Account, int]]) -> None:
        try:
            async with self._turn:
                await self._draw(wants, {}, is_ahead=True)
        except LimitsError as error:
            _log.debug("no slice was drawn ahead: %s", error)
        finally:
            for account, _ in wants:
                account.is_drawing = False

    async def _draw(
        self,
        lacking: Sequence[tuple[_Account, int]],
        recalls: Mapping[str, int],
        *,
        is_ahead: bool = False,
    ) -> tuple[Grant, ...]:
        """Draw in one transaction. Slices in hand that are too small are given back with it."""
        now_ns = self._now_ns()
        wants = [
            account.want(least, now_ns, NO_RECALL if is_ahead else recalls.get(account.id, 0))
            for account, least in lacking
        ]
        for account, _ in () if is_ahead else lacking:
            self._retire(account)
        returns = self._returns([part for a, _ in lacking for part in a.slices.values()])
        gateway, offset_ns = self._gateway, self._offset_ns
        back = self._taken_back({want.id for want in wants})

        def work(rows: Rows) -> tuple[tuple[Grant, ...], int]:
            rows.accounts([want.id for want in wants])
            for rate, units, taken_ns in back:
                give_back(rows, rate, units, taken_ns + offset_ns, now_ns - taken_ns)
            for part, granted in returns:
                shrink(rows, part.account.id, part.id, granted)
            return draw(rows, gateway, wants), rows.now_ns()

        drawn = [(want.slice_id, want.id) for want in wants if not want.refill_ns]
        try:
            grants, store_ns = await self._in_store(work)
            self._offset_ns = store_ns - self._now_ns()
            self.draws += 1
            for (account, _), want, grant in zip(lacking, wants, grants, strict=True):
                account.free, account.free_ns = grant.free, now_ns
                account.draws += 1
                if grant.granted:
                    self._put(account, want.slice_id, grant.granted, now_ns)
        except BaseException:  # also a caller that leaves: what was granted is nobody's
            self._doubtful += [one for one in drawn if one[0] not in self._slices]
            self._keep(back)
            raise
        for part, granted in returns:
            part.stored = min(part.stored, granted)
        return grants

    def _put(self, account: _Account, slice_id: str, granted: int, now_ns: int) -> None:
        number = 0 if account.refill_ns else self._log.drawn(slice_id, account.id, granted)
        self._retire(account)
        part = _Slice(account, slice_id, number, granted, now_ns)
        account.current = account.slices[slice_id] = self._slices[slice_id] = part

    def _retire(self, account: _Account) -> None:
        """Take no more from the slice in hand."""
        part, account.current = account.current, None
        if part is None:
            return
        part.is_retired = True
        if not part.number:  # a rate: what nobody took is given back now, the rest as calls end
            if part.left:
                self._back.append((account.id, part.left, part.drawn_ns))
            self._drop(part)

    def _retire_old(self, accounts: Sequence[_Account], now_ns: int) -> None:
        """Take no more from units of rates that are too old, of all of a call: one draw has the next."""
        for account in accounts:
            part = account.current
            if part is not None and not part.number and now_ns - part.drawn_ns > AHEAD_NS:
                self._retire(account)

    def _taken_back(self, rates: Container[str]) -> list[tuple[str, int, int]]:
        """Return the units of `rates` to give back now."""
        back = [one for one in self._back if one[0] in rates]
        self._back = [one for one in self._back if one[0] not in rates]
        return back

    def _keep(self, back: Sequence[tuple[str, int, int]]) -> None:
        """Keep units that were used beyond a grant; those that came back perhaps must not do so twice."""
        self._back += [one for one in back if one[1] < 0]

    def _drop(self, part: _Slice) -> None:
        del self._slices[part.id], part.account.slices[part.id]

    def _returns(self, parts: Iterable[_Slice]) -> list[tuple[_Slice, int]]:
        """Return the retired slices of `parts` that can be shrunk, with what they still need."""
        found = []
        for part in parts:
            if part.is_retired and part.number:
                part.granted = min(part.granted, part.taken)
                if part.granted < part.stored:
                    found.append((part, part.granted))
        return found

    def _refuse(
        self, lacking: Sequence[tuple[_Account, int]], grants: Sequence[Grant], *, waited: bool
    ) -> None:
        """LimitReachedError where a draw is refused for good, or nobody has answered its recall in time."""
        for (account, least), grant in zip(lacking, grants, strict=True):
            if grant.lacks and (waited or not grant.recall):
                now_ns = self._now_ns()
                account.refused, account.refused_until_ns = least, now_ns + _REFUSED_NS
                account.enough_ns = now_ns + grant.wait_ns
                raise self._refusal(account, grant.wait_ns)

    def _refusal(self, account: _Account, wait_ns: int) -> LimitReachedError:
        if not account.refill_ns and account.until_ns < FOR_EVER_NS:
            wait_ns = max(0, account.until_ns - self._clock.now_ns())
        return LimitReachedError(account.limit, account.free, wait_ns or None)

    def _refilled(self, account: _Account) -> int:
        passed_ns = self._now_ns() - account.free_ns
        return account.limit.amount * max(0, passed_ns) // account.refill_ns

    # --- the store

    async def beat(self) -> None:
        """Say that this gateway lives, answer recalls, settle what is over. LimitsError when that fails."""
        self._look_at_slices()
        over = [part for part in self._slices.values() if part.is_retired and not part.reserved]
        settlements = [Settlement(p.id, p.account.id, p.granted, p.ended) for p in over]
        doubtful, self._doubtful = self._doubtful, []
        settlements += [Settlement(slice_id, budget, 0, 0) for slice_id, budget in doubtful]
        returns = self._returns([part for part in self._slices.values() if part.reserved])
        watched = self._watched()
        alarms = [account.alarm(is_sent=self._sends_warnings) for account in watched]
        states = [account.state() for account in watched]
        spent = {name: sum_ for account in watched for name, sum_ in account.spent().items()}
        back, self._back = self._back, []
        gateway, now_ns, offset_ns = self._gateway, self._now_ns(), self._offset_ns

        def work(rows: Rows) -> tuple[Mapping[str, int], list[int], list[Gateway], list[Raised]]:
            budgets = {*(one.budget for one in settlements), *(p.account.id for p, _ in returns)}
            budgets |= {alarm.account for alarm in alarms}
            rows.accounts(budgets | {rate for rate, _, _ in back})
            for rate, units, taken_ns in back:
                give_back(rows, rate, units, taken_ns + offset_ns, now_ns - taken_ns)
            for part, granted in returns:
                shrink(rows, part.account.id, part.id, granted)
            exceeded = [settle(rows, gateway, one) for one in settlements]
            report(rows, spent)
            raised = [
                one
                for alarm in alarms
                for one in raise_warnings(rows, alarm, used(rows, alarm.account))
            ]
            return live(rows, gateway), exceeded, silent(rows), raised

        try:
            recalls, exceeded, dead, raised = await self._in_store(work)
        except BaseException:
            self._doubtful += doubtful
            self._keep(back)
            for account, alarm in zip(watched, alarms, strict=True):
                account.is_full = account.is_full or alarm.is_full
            raise
        self.exceeded += sum(exceeded)
        for account, state in zip(watched, states, strict=True):
            account.seen, account.seen_ns = state, now_ns
        for one in raised:
            self.warnings[str(one.limit.measure), str(one.limit.scope.kind)] += 1
            _log.warning("%s", told(one))
        for part in over:
            self._log.settled(part.number)
            self._drop(part)
        for part, granted in returns:
            part.stored = min(part.stored, granted)
        if recalls:
            await self._answer(recalls)
        for other in dead:
            await self._in_store(partial(bury, run=other.run))
        self._forget()
        await self._prune()

    async def _prune(self) -> None:
        """Remove a piece of what is over, if it is time; this run would settle none of it again."""
        now_ns = self._now_ns()
        if now_ns - self._pruned_ns >= EVERY_NS:
            self._pruned_ns = now_ns
            piece = partial(prune, run=self._gateway.run, after=self._pruned_to)
            self._pruned_to = await self._in_store(piece)

    def _watched(self) -> list[_Account]:
        """Return the accounts to look at for warnings, those that have waited longest first."""
        grown = (
            one
            for one in self._accounts.values()
            if (one.limit.warn_at or one.limit.spent_before is not None)
            and (one.is_full or one.state() != one.seen)
        )
        return heapq.nsmallest(_ALARMS, grown, key=lambda one: one.seen_ns)

    def _look_at_slices(self) -> None:
        """Retire slices that are old, idle, overspent or of a window that is over.

        What is spent beyond a grant gives nothing to calls; settled, it is known to all who look.
        """
        now_ns, wall_ns = self._now_ns(), self._clock.now_ns()
        for part in [one for one in self._slices.values() if not one.is_retired]:
            account = part.account
            is_old = now_ns - part.drawn_ns > _LONGEST_USE_NS or now_ns - part.used_ns > _IDLE_NS
            if account.refill_ns:
                is_old = now_ns - part.drawn_ns > AHEAD_NS
            if is_old or part.left < 0 or wall_ns >= account.until_ns:
                self._retire(account)

    async def _answer(self, recalls: Mapping[str, int]) -> None:
        """Give back what calls do not hold of the budgets that are recalled."""
        recalled = [one for one in self._slices.values() if one.account.id in recalls]
        for part in recalled:
            if not part.is_retired:
                self._retire(part.account)
            part.granted = min(part.granted, part.taken)
        answers = [(part, part.granted, recalls[part.account.id]) for part in recalled]

        def work(rows: Rows) -> None:
            rows.accounts(recalls)
            for part, granted, recall in answers:
                shrink(rows, part.account.id, part.id, granted, recall)

        await self._in_store(work)
        for part, granted, _ in answers:
            part.stored = min(part.stored, granted)

    def _forget(self) -> None:
        """Forget accounts without slices that were not used for a while, or whose window is over."""
        now_ns, wall_ns = self._now_ns(), self._clock.now_ns()
        for account in [a for a in self._accounts.values() if not a.slices]:
            if wall_ns >= account.until_ns or now_ns - account.asked_since_ns > _LONGEST_USE_NS:
                del self._accounts[account.id]
                self._kept.clear()

    async def write_off(self, least: Sequence[tuple[Limit, int]]) -> None:
        """Count at least so much of each limit as used: the rest of it is credit that has expired.

        What other gateways have spent and not reported yet, half a second of it, does not count.
        """
        names = {account_id(limit, 0): used_pico for limit, used_pico in least}
        found = [self._accounts[name] for name in names if name in self._accounts]
        spent = {name: pico for account in found for name, pico in account.spent().items()}
        gateway, ids = self._gateway, {name: new_id("slice", self._now_ns()) for name in names}

        def work(rows: Rows) -> None:
            rows.accounts(names)
            report(rows, spent)
            for name, used_pico in names.items():
                lacks = used_pico - used(rows, name)
                if lacks > 0:
                    settle(rows, gateway, Settlement(ids[name], name, lacks, lacks))

        await self._in_store(work)

    async def settle_left(self, logs: Sequence[LeftLog], spent: Mapping[CallId, Amounts]) -> int:
        """Settle what earlier runs left, and return the number of slices.

        Calls in `spent` have used so much; others that had not ended count as all that they held. Where the
        machine has been started since, newest lines may be lost: then slices are forfeited. Slices that the
        store knows and the log does not were granted to a process that died before it heard of them.
        """
        count = 0
        for log in logs:
            owner = Gateway(log.run, self._gateway.place, log.boot, 0)
            settlements = [] if log.boot != self._gateway.boot else _settlements(log, spent)

            def work(
                rows: Rows, owner: Gateway = owner, settled: Sequence[Settlement] = settlements
            ) -> int:
                left = rows.slices_of(owner.run)
                rows.accounts({one.budget for one in left} | {one.budget for one in settled})
                for settlement in settled:
                    settle(rows, owner, settlement)
                for one in rows.slices_of(owner.run):
                    if owner.boot == self._gateway.boot:
                        settle(rows, owner, Settlement(one.id, one.budget, one.granted, 0))
                    else:
                        forfeit(rows, one.budget, one.id)
                rows.remove(owner)
                return len({one.id for one in left} | {one.slice_id for one in settled})

            count += await self._in_store(work)
            log.remove()
        return count

    async def close(self) -> None:
        """Settle all that can be, and say that this gateway has ended."""
        ahead = list(self._tasks)
        for task in ahead:
            task.cancel()
        await asyncio.gather(*ahead, return_exceptions=True)
        for part in [one for one in self._slices.values() if not one.is_retired]:
            self._retire(part.account)
        gateway = self._gateway
        try:
            await self.beat()
            if not self._slices:  # else its silence says so, where its log is lost
                await self._in_store(lambda rows: rows.remove(gateway))
        except LimitsError as error:
            _log.warning("slices were not settled; the next start will: %s", error)
        self._thread.shutdown()
        self._log.close()

    async def _in_store(self, work: Callable[[Rows], T]) -> T:
        """Run a transaction in the store's thread; says when the store is lost and when it is back.

        What waits behind one that fails fails with it: it would be in vain, and take as long again.
        """
        loop, losses = asyncio.get_running_loop(), self._losses
        try:
            result = await loop.run_in_executor(self._thread, self._transact, work, losses)
        except LimitsError as error:
            if self.is_reachable:
                _log.warning("%s; calls are served out of what is in hand", error)
            self.is_reachable = False
            raise
        if not self.is_reachable:
            _log.warning("the store of limits can be reached again")
        self.is_reachable = True
        return result

    def _transact(self, work: Callable[[Rows], T], losses: int) -> T:
        """Run a transaction, unless one has failed since there were so many `losses`."""
        if self._losses != losses:
            raise LimitsError("the store of limits cannot be reached")
        try:
            return self._store.transact(work)
        except LimitsError:
            self._losses += 1
            raise


def _spents(parts: Sequence[_Part], amounts: Sequence[int]) -> list[int]:
    """Return what is spent of each part of a call; the last part of an account covers all the rest."""
    rests = {account.id: amounts[account.used_at] for account, _, _ in parts}
    last = {account.id: number for number, (account, _, _) in enumerate(parts)}
    found = []
    for number, (account, _, amount) in enumerate(parts):
        rest = rests[account.id]
        found.append(rest if number == last[account.id] else min(amount, rest))
        rests[account.id] -= found[-1]
    return found


def _lines(parts: Sequence[_Part]) -> list[int]:
    """Return the number of each logged slice of `parts`, followed by what is held of it."""
    sums: dict[int, int] = {}
    for _, part, amount in parts:
        if part.number:
            sums[part.number] = sums.get(part.number, 0) + amount
    return [value for pair in sums.items() for value in pair]


def _settlements(log: LeftLog, spent: Mapping[CallId, Amounts]) -> list[Settlement]:
    """Return what each slice of `log` has spent, where calls in `spent` have used so much."""
    ended = {one.id: one.ended for one in log.slices}
    held: dict[tuple[CallId, str], list[tuple[LeftSlice, int]]] = {}
    for one in log.slices:
        for call, amount in one.lost.items():
            held.setdefault((call, one.budget), []).append((one, amount))
    for (call, budget), parts in held.items():
        rest = sum(amount for _, amount in parts)
        if call in spent:
            used = spent[call]
            of = {"money": used.money_pico, "tokens": used.tokens, "requests": used.requests}
            rest = of.get(_measure_of(budget), 0)
        for part, amount in parts[:-1]:
            ended[part.id] += min(amount, rest)
            rest -= min(amount, rest)
        ended[parts[-1][0].id] += rest
    return [Settlement(one.id, one.budget, one.granted, ended[one.id]) for one in log.slices]
