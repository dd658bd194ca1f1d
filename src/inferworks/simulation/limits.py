"""Many gateways on one ledger of limits, in simulated time.

Problem. That a budget holds when gateways die, are cut off, wake up late or have wrong clocks depends on
the order of single steps in several processes, which no test of one process has and no real machine shows
twice.

Decision. The production `Limiter`, with its log on a real file and the ledger's functions in the store in
memory, runs in asyncio's own loop on simulated time (`SimLoop`). The seed decides the fate of each
transaction: it comes or not, its answer comes or not, it comes when nobody waits any more, or twice. At
each of these moments, and wherever else a gateway waits, it may be killed. A gateway that is paused does
nothing until it goes on, with what it believed before. A machine that loses its power starts anew with
another boot id and a log that is cut anywhere. Clocks drift and are set, caps are revised, days end.

After every transaction and every step of a call the theorem is checked: what was truly spent is no more
than held + settled, that is no more than the cap, and no gateway gives out more than the store has granted
it. In the end all is well again: what is then held is nothing, all that is withheld is explained by slices
that were forfeited, and the rest can be had to the last unit.

Rejected. Threads that take turns, as in the simulation of the whole gateway: a limiter waits only where it
awaits, and a thousand seeds would take minutes.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import random as global_random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from mmap import mmap
from pathlib import Path
from random import Random
from typing import Any, Final, NoReturn

import click
import msgspec

from inferworks.accounts.limit import Limit, Measure, Scope, ScopeKind, Window
from inferworks.clock import Clock
from inferworks.errors import LimitsError
from inferworks.ids import CallId
from inferworks.limits.ledger import AHEAD_NS, DEAD_NS, Budget, Gateway, Rate, Rows, SliceState
from inferworks.limits.limiter import BEAT_S, Amounts, Hold, Limiter, LimitReachedError
from inferworks.limits.slice_log import SliceLog, left_logs
from inferworks.limits.stores.stub import MemoryLedger, MemoryLimits
from inferworks.simulation.loop import SimLoop, start_numbers
from inferworks.simulation.network import Network
from inferworks.simulation.turns import Turns
from inferworks.units import NS_PER_SECOND

_MIDNIGHT_NS: Final = 20_000 * 86_400 * NS_PER_SECOND
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 memory, where the system has it; else any folder
_TIMEOUT_S: Final = 1.0
"""Seconds after which a gateway gives up a transaction."""
_LATEST_S: Final = 1.5
"""Most seconds that a transaction comes late."""
_LIFE_S: Final = (1.0, 5.0)
"""Least and greatest length of a run before all is well again."""
_COUNTED: Final = (
    "calls", "refusals", "unreachable", "draws", "transactions", "kills", "losses of power",
    "lost disks", "pauses", "cuts", "forfeits", "revisions", "recalls", "windows", "warnings",
)  # fmt: skip


class Loop(SimLoop):
    """A loop whose executor is the way to the store."""

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Send a transaction to the store."""
        limiter = getattr(func, "__self__", None)
        assert isinstance(limiter, Limiter), "a limiter waits for its store alone"
        way = limiter._store  # noqa: SLF001 the thread between the two is what is simulated
        assert isinstance(way, Way)
        return way.send(self, args[0])


class NodeClock:
    """The clock of one process: it drifts, its wall clock is set, and it stops nothing that is paused."""

    def __init__(self, world: World, drift: float) -> None:
        self._world = world
        self._drift = drift
        self.set_ns = 0
        self.paused_until_ns = 0

    def monotonic_ns(self) -> int:
        """Return what has passed, as this clock counts it."""
        return round(self._world.turns.now_ns * self._drift)

    def now_ns(self) -> int:
        """Wall-clock nanoseconds."""
        return self._world.start_ns + self.monotonic_ns() + self.set_ns

    def carried(self) -> Clock:
        """Return a clock that is not set."""
        return _Carried(self, self.now_ns() - self.monotonic_ns())

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`, and longer where the process is paused."""
        await asyncio.sleep(seconds / self._drift)
        while (left_ns := self.paused_until_ns - self._world.turns.now_ns) > 0:  # noqa: ASYNC110
            await asyncio.sleep(left_ns / 1e9)


class _Carried:
    def __init__(self, clock: NodeClock, anchor_ns: int) -> None:
        self._clock = clock
        self._anchor_ns = anchor_ns
        self.sleep = clock.sleep

    def now_ns(self) -> int:
        return self._anchor_ns + self._clock.monotonic_ns()

    def carried(self) -> Clock:
        return self


class Way:
    """The way from one gateway to the store, which takes one transaction at a time."""

    def __init__(self, world: World, node: Node) -> None:
        self._world = world
        self._node = node
        self._waiting: list[tuple[asyncio.Future[Any], Callable[[Rows], Any]]] = []
        self._store = MemoryLimits(world.ledger)

    def transact(self, work: Callable[[Rows], Any]) -> Any:
        """Run `work` in the ledger, and look at the world after it."""
        result = self._store.transact(work)
        self._world.count["transactions"] += 1
        self._world.check()
        return result

    def close(self) -> None:
        """Do nothing: a way has nothing open."""

    def send(self, loop: Loop, work: Callable[[Rows], Any]) -> asyncio.Future[Any]:
        """Return the answer to come."""
        future = loop.create_future()
        self._waiting.append((future, work))
        if len(self._waiting) == 1:
            self._begin(loop)
        return future

    def _begin(self, loop: Loop) -> None:
        world, node, random = self._world, self._node, self._world.random
        _, work = self._waiting[0]
        fates = ("well",) if world.is_well else world.fates
        fate = "lost" if world.turns.now_ns < node.cut_until_ns else random.choice(fates)
        there_s, back_s = random.uniform(0.0001, 0.02), random.uniform(0.0001, 0.02)
        world.turns.note(f"{node.run} sends, {fate}")
        if fate == "well" and random.random() < 0.02 and not world.is_well:
            back_s = _TIMEOUT_S * random.uniform(0.2, 0.9)
        node.may_die("as it sends")

        def arrive() -> None:
            if node.is_dead and random.random() < 0.5:
                return  # it died before all of it was sent
            answer, error = None, None
            try:
                answer = self.transact(work)
            except LimitsError as raised:
                error = raised
            node.may_die("as its transaction ends")
            if fate == "twice" and not world.has_rates and not _is_refusal(answer):
                loop.call_later(random.uniform(0.0, _LATEST_S), self._again, work)
            if fate in ("well", "twice"):
                loop.call_later(back_s, self._answer, loop, answer, error)

        if fate in ("well", "twice", "unanswered"):
            loop.call_later(there_s, arrive)
        elif fate == "late":
            loop.call_later(_TIMEOUT_S + random.uniform(0.0, _LATEST_S), arrive)
        if fate not in ("well", "twice"):
            error = LimitsError("the store of limits does not answer")
            loop.call_later(_TIMEOUT_S, self._answer, loop, None, error)

    def _again(self, work: Callable[[Rows], Any]) -> None:
        with suppress(LimitsError):
            self.transact(work)

    def _answer(self, loop: Loop, answer: Any, error: Exception | None) -> None:
        """Deliver an answer, once the process goes on, and begin the next."""
        paused_s = (self._node.clock.paused_until_ns - self._world.turns.now_ns) / 1e9
        if paused_s > 0:
            loop.call_later(paused_s, self._answer, loop, answer, error)
            return
        if self._node.is_dead:
            return
        future, _ = self._waiting.pop(0)
        if not future.done():
            if error is None:
                future.set_result(answer)
            else:
                future.set_exception(error)
        if self._waiting:
            self._begin(loop)


def _is_refusal(answer: Any) -> bool:
    """Return whether a draw was refused: a second try of it would be granted what nobody waits for.

    Nor is anything of rates tried twice, or units that come back would come back twice. A database runs
    each transaction once; that those of budgets may be run twice is more than it needs.
    """
    grants = answer[0] if isinstance(answer, tuple) else ()
    return isinstance(grants, tuple) and not all(grant.granted for grant in grants)


class Node:
    """One life of a gateway at a place."""

    def __init__(self, world: World, place: int, life: int, boot: int) -> None:
        """DataFolderError when its log cannot be made."""
        self.world = world
        self.place = place
        self.life = life
        self.boot = boot
        self.run = f"run{place}-{life}"
        self.folder = world.folder / f"place{place}"
        self.clock = NodeClock(world, 1 + world.random.uniform(-1e-4, 1e-4))
        self.is_dead = False
        self.cut_until_ns = 0
        self.is_full = False
        """True while its disk is."""
        self.knows_ns = world.random.uniform(0, 1e9)
        """Time after which a revision is known here."""
        self.left = left_logs(self.folder) if self.folder.exists() else []
        room_bytes = world.random.choice((500, 1 << 18))  # written anew often, or never
        self.log = SliceLog(self.folder, self.run, f"boot{boot}", room_bytes=room_bytes)
        gateway = Gateway(self.run, f"place{place}", f"boot{boot}", 0)
        self.limiter = Limiter(Way(world, self), self.log, gateway, self.clock)
        self.limits: dict[tuple[Limit, ...], tuple[Limit, ...]] = {}
        """Limits of its calls so far."""
        self.calls: dict[int, Call] = {}
        self.tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to beat, to settle what was left, and to take calls."""
        random = self.world.random
        self.tasks = [asyncio.ensure_future(self._beats()), asyncio.ensure_future(self._settles())]
        self.tasks += [asyncio.ensure_future(self._client(n)) for n in range(random.randint(1, 5))]

    def may_die(self, _when: str) -> None:
        """Be killed here and now, perhaps."""
        if not self.world.is_well and self.world.random.random() < self.world.deadliness:
            asyncio.get_running_loop().call_soon(self.world.kill, self)

    def die(self) -> None:
        """Do nothing more: its tasks end, and nothing that they still try has an effect."""
        if self.is_dead:
            return
        self.close_files()
        for task in self.tasks:
            task.cancel()
        for call in self.calls.values():
            call.is_lost()

    def close_files(self) -> None:
        """Let go of the log, as the kernel does."""
        self.is_dead = True
        self.log._let_go()  # noqa: SLF001 the kernel closes it

    async def _beats(self) -> None:
        while True:
            await self.beat()
            await self.clock.sleep(BEAT_S)

    async def beat(self) -> None:
        """Beat once, if the store can be reached."""
        with suppress(LimitsError):
            await self.limiter.beat()

    async def _settles(self) -> None:
        while self.left:
            with suppress(LimitsError):
                await self.limiter.settle_left(self.left, {})
                self.left = []
            await self.clock.sleep(0.1)

    async def _client(self, number: int) -> None:
        world, random = self.world, self.world.random
        calls = 0
        while not world.is_well:
            await self.clock.sleep(random.choice((0.002, 0.1, 0.4)))
            calls += 1
            call = Call(self, calls * 10 + number)
            task = asyncio.ensure_future(call.go())
            self.tasks.append(task)
            patience_s = random.choice((None, None, None, None, 0.01, 0.5))
            await asyncio.wait({task}, timeout=patience_s)
            if not task.done():
                task.cancel()  # the client leaves
                await asyncio.wait({task})
            self.tasks.remove(task)
            if not task.cancelled() and task.exception() is not None:
                raise task.exception()  # type: ignore[misc]


class Call:
    """A call, and what it has truly used."""

    def __init__(self, node: Node, number: int) -> None:
        self.node = node
        self.number = number
        self.id = CallId(f"{node.run}-{number}")
        self.hold: Hold | None = None
        self.spent = Amounts(0, 0, 0)
        self._of_rates: dict[str, list[list[int]]] = {}

    async def go(self) -> None:
        """Take, use, take more, end."""
        node, world, random = self.node, self.node.world, self.node.world.random
        money, tokens = random.choice(((1, 1), (40, 20), (300, 100)))
        most = Amounts(random.randint(1, money), random.randint(1, tokens))
        some = tuple(random.sample(world.known_to(node), random.randint(1, len(world.limits))))
        limits = node.limits.setdefault(some, some)  # accounts are kept by identity
        accounts = node.limiter.accounts(limits, node.clock.now_ns())
        try:
            self.hold = await node.limiter.hold(accounts, self.id, most)
        except LimitReachedError as error:
            world.count["refusals"] += 1
            node.limiter.refused(accounts, error)
            return
        except LimitsError:
            world.count["unreachable"] += 1
            return
        world.count["calls"] += 1
        node.calls[self.number] = self
        try:
            self._use(Amounts(0, 0, 1))
            self._note_rates(most, is_new=True)
            for _ in range(random.randint(0, 3)):
                await node.clock.sleep(random.choice((0.0, 0.001, 0.2, 3.0)))
                node.may_die("in a call")
                self._use_some()
                if random.random() < 0.4:
                    more = Amounts(random.randint(0, money), random.randint(0, tokens))
                    with suppress(LimitReachedError, LimitsError):
                        await self.hold.extend(more)
                        self._note_rates(more, is_new=False)
        finally:
            if not node.is_dead:
                del node.calls[self.number]
                self.hold.end(self.spent)
                for account in self.hold.accounts:
                    if account.refill_ns:
                        self._not_used(account)
                    else:
                        world.upper[account.id] += used_of(account, self.spent)
                world.check()

    def is_lost(self) -> None:
        """Use some of what is held, as its upstream may; a restart must count all of it."""
        self._use_some()
        assert self.hold is not None
        for account in self.hold.accounts:
            if account.limit.measure is not Measure.CALLS and not account.refill_ns:
                taken = self.hold.taken
                self.node.world.upper[account.id] += used_of(account, taken)

    def _note_rates(self, amounts: Amounts, *, is_new: bool) -> None:
        """Note the units of rates that are taken as used now."""
        assert self.hold is not None
        world = self.node.world
        for account in self.hold.accounts:
            units = used_of(account, amounts._replace(requests=1 if is_new else 0))
            if account.refill_ns and units:
                use = [*world.refilled_since_ns(), units]
                world.rate_uses[account.id].append(use)
                self._of_rates.setdefault(account.id, []).append(use)

    def _not_used(self, account: Any) -> None:
        """Take back the units of a rate that the call has taken and not used."""
        rest = used_of(account, self.spent)
        for use in self._of_rates.get(account.id, ()):
            use[2] = min(use[2], rest)
            rest -= use[2]

    def _use_some(self) -> None:
        assert self.hold is not None
        random, taken, spent = self.node.world.random, self.hold.taken, self.spent
        more = (taken.money_pico - spent.money_pico, taken.tokens - spent.tokens)
        self._use(Amounts(random.randint(0, more[0]), random.randint(0, more[1]), 0))

    def _use(self, more: Amounts) -> None:
        assert self.hold is not None
        spent = self.spent
        self.spent = Amounts(
            spent.money_pico + more.money_pico,
            spent.tokens + more.tokens,
            spent.requests + more.requests,
        )
        for account in self.hold.accounts:
            if not account.refill_ns:
                self.node.world.true[account.id] += used_of(account, more)
        self.node.world.check()


def used_of(account: Any, used: Amounts) -> int:
    """Return what a call has used up of an account: nothing of calls at once."""
    by = {Measure.MONEY: used.money_pico, Measure.TOKENS: used.tokens, Measure.CALLS: 0}
    units: int = by.get(account.limit.measure, used.requests)
    return units


@dataclass
class World:
    """State of a run."""

    seed: int
    turns: Turns
    folder: Path
    start_ns: int = 0
    store_set_ns: int = 0
    is_well: bool = False
    count: Counter[str] = field(default_factory=Counter)
    true: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Truly spent, by account."""
    upper: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Sum of what calls that ended have spent and lost calls held, by account."""
    rate_uses: defaultdict[str, list[list[int]]] = field(default_factory=lambda: defaultdict(list))
    """Earliest grant and moment of a use, by `refilled_since_ns`, and its units, by account."""
    steps: list[tuple[int, int]] = field(default_factory=lambda: [(-1, 0)])
    """Steps of the store's clock forward so far, at each moment at which there was one."""
    before: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    was_full: bool = False
    """True if a disk was full: then ends of calls may not be on record."""

    def __post_init__(self) -> None:
        self.random = Random(f"limits {self.seed}")  # noqa: S311 reproducible, no secret
        random = self.random
        self.ledger = MemoryLedger(self._store_ns)
        self.start_ns = _MIDNIGHT_NS - random.choice((1, 5, 40_000)) * NS_PER_SECOND
        scope = Scope(ScopeKind.CUSTOMER, "customer")
        kinds = [
            (Measure.MONEY, Window.TOTAL, random.choice((300, 3000, 30_000))),
            (Measure.TOKENS, Window.DAY, random.choice((200, 2000))),
            (Measure.REQUESTS, Window.TOTAL, random.choice((5, 50, 500))),
            (Measure.CALLS, Window.TOTAL, random.choice((2, 10))),
            (Measure.REQUESTS, Window.MINUTE, random.choice((60, 600))),
            (Measure.TOKENS, Window.HOUR, random.choice((100, 6000))),
        ]
        chosen = random.sample(kinds, random.randint(1, 4))
        self.limits = [
            Limit(id=f"limit{n}", scope=scope, measure=measure, window=window, amount=amount,
                  currency="USD" if measure is Measure.MONEY else "", warn_at=(50, 80, 100))
            for n, (measure, window, amount) in enumerate(chosen)
        ]  # fmt: skip
        self.has_rates = any(limit.refill_ns for limit in self.limits)
        self.older: list[tuple[int, list[Limit]]] = [(-1, list(self.limits))]
        self.nodes: dict[int, Node] = {}
        self.deadliness = random.choice((0.0, 0.002, 0.02))
        trouble = ("lost", "unanswered", "late", "twice")
        self.fates = ("well",) * random.choice((8, 40, 400)) + trouble
        self._places = 0
        self.warned: dict[str, int] = {}
        """Moments at which warnings were first seen, by id."""

    def _store_ns(self) -> int:
        return self.start_ns + self.turns.now_ns + self.store_set_ns

    # --- promises, at every step

    def check(self) -> None:
        """Check the theorem, and what each gateway gives out."""
        for account in self.ledger.accounts.values():
            if isinstance(account, Rate):
                continue
            taken = account.held + account.settled
            if taken > account.cap and taken > self.before.get(account.id, 0):
                self.fail(f"more than its cap is taken of {account}")
            if self.true[account.id] > taken or account.held < 0 or account.settled < 0:
                self.fail(f"{self.true[account.id]} were spent of {account}")
            self.before[account.id] = taken
        self._check_warnings()
        for node in self.nodes.values():
            for part in node.limiter._slices.values():  # noqa: SLF001 its own sum
                given = part.taken
                if part.number and given:
                    kept = self.ledger.slices[part.id]
                    most = min(kept.granted, part.granted)
                    if kept.state is SliceState.CLOSED:  # and its answer is under way
                        most = 0 if part.reserved else kept.spent
                    if given > most:
                        self.fail(f"{node.run} gives {given} of {part.granted} of {kept}")

    def _check_warnings(self) -> None:
        """Check that each warning was raised once, and with cause: so much is used.

        A refusal stands for the last twentieth of a limit, and for nothing else.
        """
        for one in self.ledger.warnings.values():
            if self.warned.setdefault(one.id, one.raised_ns) != one.raised_ns:
                self.fail(f"{one} is raised twice")
            if self.count["warnings"] < len(self.warned):
                self.count["warnings"] += 1
                data = msgspec.json.decode(one.body)["data"]
                amount, used = (Decimal(data[name]) for name in ("amount", "used"))
                account = self.ledger.accounts[one.account]
                scale = 10**12 if data["measure"] == Measure.MONEY else 1
                taken = account.held + account.settled if isinstance(account, Budget) else 10**30
                share = data["share_percent"]
                share = min(share, 95) if share == 100 and data["refused"] else share
                if used * 100 < amount * share or used * scale > taken:
                    self.fail(f"{one} has no cause in {account}")

    def fail(self, what: str) -> NoReturn:
        """Break the run off where a promise is broken."""
        self.broken.append(what)
        raise AssertionError(what)

    def require(self, is_so: bool, what: str) -> None:
        """Break the run off unless `is_so`."""
        if not is_so:
            self.fail(what)

    def refilled_since_ns(self) -> tuple[int, int]:
        """Return the earliest grant of units in use now, and now, each with the steps forward so far."""
        now_ns = self.turns.now_ns
        granted_ns = now_ns - AHEAD_NS * 101 // 100  # by a clock that drifts
        before = [sum_ns for at_ns, sum_ns in self.steps if at_ns <= granted_ns]
        return granted_ns + (before or [0])[-1], now_ns + self.steps[-1][1]

    def known_to(self, node: Node) -> list[Limit]:
        """Return the limits as `node` knows them."""
        known_ns = self.turns.now_ns - node.knows_ns
        return [limits for since_ns, limits in self.older if since_ns <= max(known_ns, -1)][-1]

    # --- lives

    async def live(self) -> None:
        """Run gateways through everything, then let all be well, and look."""
        random = self.random
        for _ in range(random.randint(1, 3)):
            self._open_place()
        until_ns = self.turns.now_ns + round(random.uniform(*_LIFE_S) * 1e9)
        while self.turns.now_ns < until_ns:
            await asyncio.sleep(random.choice((0.01, 0.1, 0.5, 1.0)))
            self._act()
        await self._heal()

    def _open_place(self) -> None:
        self._places += 1
        self._start(self._places, 1, 1)

    def _start(self, place: int, life: int, boot: int) -> None:
        node = self.nodes[place] = Node(self, place, life, boot)
        self.turns.note(f"{node.run} starts")
        node.start()

    def kill(self, node: Node, how: str = "kills") -> None:
        """Kill a gateway; it starts again a moment later, if its machine lives."""
        if node.is_dead:
            return
        self.count[how] += 1
        self.turns.note(f"{how} {node.run}")
        node.die()
        boot = node.boot
        if how == "lost disks":
            del self.nodes[node.place]
            shutil.rmtree(node.folder)
            self._open_place()
            return
        if how == "losses of power":
            boot += 1
            for log in node.folder.iterdir():
                self._tear(log)
        delay_s = 0.0 if self.is_well else self.random.choice((0.0, 0.1, 2.0))
        asyncio.get_running_loop().call_later(delay_s, self._start, node.place, node.life + 1, boot)

    def _tear(self, log: Path) -> None:
        """Leave a log as a loss of power may: without its end, with a hole, or not at all."""
        data = bytearray(log.read_bytes())
        match self.random.choice(("whole", "cut", "hole", "none")):
            case "cut":
                del data[self.random.randint(0, len(data)) :]
            case "hole":
                hole = self.random.randint(0, len(data))
                data[hole : hole + 64] = bytes(len(data[hole : hole + 64]))
            case "none":
                log.unlink()
                return
        log.write_bytes(data)

    def _act(self) -> None:
        """Let something happen."""
        random, now_ns = self.random, self.turns.now_ns
        node = random.choice([*self.nodes.values()])
        deed = random.choice(("none", "kill", "pause", "cut", "power", "disk", "clock", "store clock",
                              "revise", "new", "full"))  # fmt: skip
        self.turns.note(f"{deed} {node.run}")
        match deed:
            case "kill":
                self.kill(node)
            case "power":
                self.kill(node, "losses of power")
            case "disk" if random.random() < 0.3:
                self.kill(node, "lost disks")
            case "pause":
                self.count["pauses"] += 1
                node.clock.paused_until_ns = now_ns + random.choice((10**8, 3 * 10**9))
                if random.random() < 0.5:  # all others see it silent for longer than it lives
                    self._set_store_clock(DEAD_NS)
            case "cut":
                self.count["cuts"] += 1
                node.cut_until_ns = now_ns + random.choice((10**9, 6 * 10**9))
            case "clock":
                node.clock.set_ns = random.randint(-7200, 7200) * NS_PER_SECOND
            case "store clock":
                self._set_store_clock(random.choice((-3600, -2, 2, 40, 3600)) * NS_PER_SECOND)
            case "revise":
                self._revise()
            case "new" if len(self.nodes) < 5:
                self._open_place()
            case "full" if not node.is_dead:
                self._fill_disk(node)

    def _set_store_clock(self, by_ns: int) -> None:
        self.store_set_ns += by_ns
        self.steps.append((self.turns.now_ns, self.steps[-1][1] + max(0, by_ns)))

    def _fill_disk(self, node: Node) -> None:
        """Have no file made anew for the log of `node` for a second."""
        if node.is_full:
            return
        self.was_full = node.is_full = True
        real = node.log._made  # noqa: SLF001 its disk

        def made(least_bytes: int) -> tuple[mmap, int]:
            if node.is_full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(least_bytes)

        def empty() -> None:
            node.is_full = False

        node.log._made = made  # type: ignore[method-assign]  # noqa: SLF001
        asyncio.get_running_loop().call_later(1.0, empty)

    def _revise(self) -> None:
        self.count["revisions"] += 1
        which = self.random.randrange(len(self.limits))
        limit = self.limits[which]
        amount = max(1, limit.amount * self.random.choice((0, 1, 3, 5)) // 2)
        fields = {name: getattr(limit, name) for name in limit.__struct_fields__}
        changed = fields | {"amount": amount, "revision": limit.revision + 1}
        self.limits[which] = Limit(**changed)
        self.older.append((self.turns.now_ns, list(self.limits)))

    # --- the end

    async def _heal(self) -> None:
        """Let all be well: every place runs, those that are dead are buried, and calls come to an end."""
        self.is_well = True
        self.turns.note("all is well")
        for node in self.nodes.values():
            node.cut_until_ns = node.clock.paused_until_ns = 0
        await asyncio.sleep(_TIMEOUT_S + _LATEST_S + 0.5)
        for _ in range(30):
            if not any(node.calls or node.left for node in self.nodes.values()):
                break
            await asyncio.sleep(0.5)
        self.require(
            not any(node.calls or node.left for node in self.nodes.values()), "calls and starts end"
        )
        await asyncio.sleep(BEAT_S * 1.1)  # signs of life by the clock that is
        self._set_store_clock(DEAD_NS - NS_PER_SECOND)
        await asyncio.sleep(1.0 + BEAT_S * 1.1)  # and those that gave none are buried
        for node in self.nodes.values():
            for task in node.tasks:
                task.cancel()
            await asyncio.wait(node.tasks)
            for task in node.tasks:
                if not task.cancelled() and task.exception() is not None:
                    raise task.exception()  # type: ignore[misc]
            await node.limiter.close()
            self.require(not list(node.folder.glob("*.slices")), f"{node.run} leaves a log")
        self._look()

    def _look(self) -> None:
        """Check that nothing is held, and that what is withheld is explained."""
        by_budget: dict[str, Counter[str]] = defaultdict(Counter)
        for one in self.ledger.slices.values():
            by_budget[one.budget][one.state] += (
                one.granted if one.state is not SliceState.CLOSED else one.spent
            )
            self.count["forfeits"] += one.state is SliceState.FORFEITED
        for account in self.ledger.accounts.values():
            self.count["windows"] += 1
            if isinstance(account, Budget):
                self._look_at(account, by_budget[account.id])
        for account_id, uses in self.rate_uses.items():
            rate = self.ledger.accounts[account_id]
            assert isinstance(rate, Rate)
            self._look_at_rate(rate, uses)
        self.require(not self.ledger.gateways, f"gateways are left: {list(self.ledger.gateways)}")

    def _look_at(self, account: Budget, sums: Counter[str]) -> None:
        self.count["recalls"] += account.recall
        forfeited = 0 if account.returns else sums[SliceState.FORFEITED]
        self.require(account.held == 0 == sums[SliceState.OPEN], f"{account} holds in the end")
        closed = sums[SliceState.CLOSED]
        self.require(account.settled == closed + forfeited, f"{account} is {sums}")
        if not self.was_full:
            self.require(closed <= self.upper[account.id], f"{account} withholds: {self.upper}")
            short = self.upper[account.id] - closed
            self.require(short <= forfeited, f"{account} lacks {short}, {forfeited} forfeited")

    def _look_at_rate(self, rate: Rate, uses: list[list[int]]) -> None:
        of = rate.id.partition("/")[0]
        most = max(one.amount for _, limits in self.older for one in limits if one.id == of)
        for n, (from_ns, _, _) in enumerate(uses):
            used = 0
            for _, at_ns, units in uses[n:]:
                used += units
                if used * rate.refill_ns > most * (rate.refill_ns + at_ns - from_ns):
                    self.fail(f"{used} of {rate} were used in {at_ns - from_ns} ns")


@dataclass(frozen=True)
class Run:
    """The outcome of a seed."""

    seed: int
    digest: str
    count: Counter[str]
    simulated_s: float
    broken: str
    last: list[str]


def run(seed: int) -> Run:
    """Live through `seed`; what is broken is in the result."""
    global_random.seed(seed)  # of which ids are made
    turns = Turns(seed, _MIDNIGHT_NS)
    start_numbers()
    memory = _MEMORY if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="inferworks-", dir=memory) as name:
        world = World(seed, turns, Path(name))
        loop = Loop(turns, Network(turns, seed))
        try:
            loop.run_until_complete(world.live())
        except Exception as error:  # noqa: BLE001 any ends the run
            world.broken.append("".join(traceback.format_exception(error)))
        finally:
            for node in world.nodes.values():
                if not node.is_dead:  # open after a failure
                    node.close_files()
            loop.drop()
        broken = "\n".join((*world.broken, *loop.complaints))
    world.count["draws"] = sum(node.limiter.draws for node in world.nodes.values())
    return Run(
        seed, turns.trace.digest(), world.count, turns.now_ns / 1e9, broken, turns.trace.last()
    )


def main(arguments: list[str]) -> int:
    """Run the seeds in `arguments`: numbers, or ranges such as `1-1000`. 1 when a promise was broken."""
    logging.getLogger("inferworks").setLevel(logging.CRITICAL)
    gc.disable()
    count: Counter[str] = Counter()
    seeds = simulated_s = 0.0
    bad = []
    for argument in arguments:
        first, _, last = argument.partition("-")
        for seed in range(int(first), int(last or first) + 1):
            one = run(seed)
            seeds, simulated_s = seeds + 1, simulated_s + one.simulated_s
            count += one.count
            if one.broken:
                bad.append(seed)
                click.echo("\n".join(f"    {line}" for line in one.last))
                click.echo(f"{one.broken}\n  again: make simulate LIMITS_SEED={seed}")
            if len(arguments) == 1 and not last:
                click.echo(f"seed {seed}: {one.digest}")
            if seeds % 20 == 0:
                gc.collect()
    said = ", ".join(f"{count[name]} {name}" for name in _COUNTED)
    click.echo(
        f"{seeds:.0f} seeds of limits: {said}; {simulated_s:.0f} s simulated in "
        f"{time.process_time():.0f} s of CPU; broken: {bad or 'none'}"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
