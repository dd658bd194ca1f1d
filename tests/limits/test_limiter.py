"""Gateways with production code on one ledger, in one event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from inferworks.accounts.limit import Limit, Measure, Scope, ScopeKind, Window
from inferworks.clock import Clock, SimClock, SystemClock
from inferworks.errors import LimitsError
from inferworks.ids import CallId
from inferworks.limits.ledger import (
    DEAD_NS,
    Budget,
    Gateway,
    Rate,
    Rows,
    Slice,
    SliceState,
    forfeit,
)
from inferworks.limits.limiter import Amounts, Hold, Limiter, LimitReachedError, account_id
from inferworks.limits.slice_log import SliceLog, left_logs
from inferworks.limits.stores.stub import MemoryLedger, MemoryLimits
from inferworks.units import NS_PER_SECOND

S: Final = NS_PER_SECOND
START_NS: Final = 20_000 * 86_400 * S - 10 * S
"""Ten seconds before a midnight."""
ONE: Final = Amounts(0, 0)


def limit(
    amount: int, measure: Measure = Measure.REQUESTS, window: Window = Window.TOTAL, **more: object
) -> Limit:
    """Return a limit on a key."""
    fields: dict[str, object] = {"currency": "USD"} if measure is Measure.MONEY else {}
    scope = Scope(ScopeKind.KEY, "key_1")
    made = {"id": "limit_1", "scope": scope, "measure": measure, "window": window, "amount": amount}
    return Limit(**(made | fields | more))  # type: ignore[arg-type]


def money(pico: int) -> Amounts:
    """Return an amount of money."""
    return Amounts(pico, 0)


class Store(MemoryLimits):
    """Store that can fail before or after a transaction, or keep one waiting."""

    def __init__(self, ledger: MemoryLedger) -> None:
        super().__init__(ledger)
        self.loses_answers = False
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def transact(self, work: Callable[[Rows], Any]) -> Any:
        """Run `work`."""
        answer = super().transact(work)
        assert self.may_go_on.wait(10)
        if self.loses_answers:
            raise LimitsError("the answer is lost")
        return answer


class Place:
    """A gateway at a place, for one life or several."""

    def __init__(
        self,
        folder: Path,
        ledger: MemoryLedger,
        clock: Clock,
        run: str = "run1",
        boot: str = "boot",
    ) -> None:
        self.folder, self.ledger, self.clock = folder, ledger, clock
        self.left = left_logs(folder) if folder.exists() else []
        self.store = Store(ledger)
        self.log = SliceLog(folder, run, boot)
        gateway = Gateway(run, "place", boot, 0)
        self.limiter = Limiter(self.store, self.log, gateway, clock)

    async def hold(self, most: Amounts, *limits: Limit, call: str = "call_1") -> Hold:
        """Take `most` of `limits`."""
        accounts = self.limiter.accounts(limits, self.clock.now_ns())
        return await self.limiter.hold(accounts, CallId(call), most)

    def die(self) -> None:
        """Let go of the log, as the kernel does."""
        self.log._let_go()

    def budget(self, of: Limit, start_ns: int = 0) -> tuple[int, int]:
        """Return what is held and settled of a limit."""
        found = self.ledger.accounts[account_id(of, start_ns)]
        assert isinstance(found, Budget)
        return found.held, found.settled

    def slices(self) -> list[Slice]:
        """Return all slices."""
        return list(self.ledger.slices.values())


def lived(folder: Path, scenario: Callable[[Place, SimClock], Awaitable[None]]) -> Place:
    """Run a scenario on one gateway, in simulated time."""

    async def run() -> Place:
        clock = SimClock(START_NS)
        ledger = MemoryLedger(clock.now_ns)
        place = Place(folder, ledger, clock)
        try:
            await scenario(place, clock)
        finally:
            place.store.may_go_on.set()
            with suppress(OSError):
                await place.limiter.close()
        return place

    return asyncio.run(run())


@asynccontextmanager
async def gateways(
    folder: Path, ledger: MemoryLedger, count: int
) -> AsyncIterator[Sequence[Limiter]]:
    """Run `count` limiters on one ledger, each with its beat."""
    found = []
    for number in range(count):
        log = SliceLog(folder / f"place{number}", f"run{number}", "boot")
        gateway = Gateway(f"run{number}", f"place{number}", "boot", 0)
        found.append(Limiter(MemoryLimits(ledger), log, gateway, SystemClock()))

    async def beats(one: Limiter) -> None:
        while True:
            await one.beat()
            await asyncio.sleep(0.02)

    tasks = [asyncio.ensure_future(beats(one)) for one in found]
    try:
        yield found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in found:
            await one.close()


async def calls(
    limiter: Limiter, limits: tuple[Limit, ...], count: int, most: Amounts, used: Amounts
) -> int:
    """Make so many calls at once, and return the number that were admitted."""

    async def call(number: int) -> bool:
        accounts = limiter.accounts(limits, SystemClock().now_ns())
        try:
            hold = await limiter.hold(accounts, CallId(f"call{id(limiter)}-{number}"), most)
        except LimitReachedError:
            return False
        await asyncio.sleep(0.001)
        hold.end(used)
        return True

    return sum(await asyncio.gather(*(call(number) for number in range(count))))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_of_exactly_so_many_calls_exactly_so_many_are_admitted(tmp_path: Path, count: int) -> None:
    """A limit of 100 calls admits 100 of 400, on any number of gateways."""
    ledger = MemoryLedger()

    async def run() -> None:
        async with gateways(tmp_path, ledger, count) as limiters:
            each = [calls(limiter, (limit(100),), 400 // count, ONE, ONE) for limiter in limiters]
            assert sum(await asyncio.gather(*each)) == 100
            assert sum(limiter.draws for limiter in limiters) < 100

    asyncio.run(run())
    [budget] = ledger.accounts.values()
    assert isinstance(budget, Budget)
    assert (budget.held, budget.settled) == (0, 100)


def test_what_others_do_not_need_comes_back_to_who_waits(tmp_path: Path) -> None:
    """A gateway has drawn ahead; a call at the other that needs nearly all of it waits and gets it."""
    ledger = MemoryLedger()
    of = limit(1000, Measure.MONEY)

    async def run() -> None:
        async with gateways(tmp_path, ledger, 2) as (one, other):
            at_ns = SystemClock().now_ns()
            await calls(one, (of,), 100, money(9), money(0))
            assert sum(s.granted for s in ledger.slices.values() if s.run == "run0") > 10
            hold = await other.hold(other.accounts((of,), at_ns), CallId("large"), money(990))
            with pytest.raises(LimitReachedError) as refusal:
                await one.hold(one.accounts((of,), at_ns), CallId("small"), money(11))
            assert (refusal.value.limit, refusal.value.wait_ns) == (of, None)
            hold.end(money(990))

    asyncio.run(run())
    [budget] = ledger.accounts.values()
    assert isinstance(budget, Budget)
    assert (budget.held, budget.settled, budget.recall > 0) == (0, 990, True)


def test_calls_at_once_are_as_many_as_the_limit(tmp_path: Path) -> None:
    """The fourth of three is refused at once, and admitted when one has ended."""
    of = limit(3, Measure.CALLS)

    async def scenario(place: Place, _: SimClock) -> None:
        holds = [await place.hold(ONE, of, call=f"call{n}") for n in range(3)]
        with pytest.raises(LimitReachedError):
            await place.hold(ONE, of)
        holds[0].end(ONE)
        await place.hold(ONE, of)
        with pytest.raises(LimitReachedError):
            await place.hold(ONE, of)
        for hold in holds[1:]:
            hold.end(ONE)

    assert lived(tmp_path, scenario).budget(of)[1] == 0


def test_calls_that_come_together_draw_once(tmp_path: Path) -> None:
    """Of 200 calls that wait for the first draw, the others find what it was granted, or draw for all."""
    of = limit(10**9, Measure.MONEY)

    async def scenario(place: Place, _: SimClock) -> None:
        waiting = [place.hold(money(10), of, call=f"call{n}") for n in range(200)]
        holds = await asyncio.gather(*waiting)
        assert place.limiter.draws <= 3
        for hold in holds:
            hold.end(money(4))

    assert lived(tmp_path, scenario).budget(of) == (0, 800)


def test_a_limit_that_is_used_up_costs_two_draws_a_second(tmp_path: Path) -> None:
    """Two draws, however many calls are refused; a call that gives back ends the refusals at once."""
    of = limit(100, Measure.MONEY)

    async def scenario(place: Place, clock: SimClock) -> None:
        hold = await place.hold(money(100), of)
        before = place.limiter.draws
        for _ in range(300):
            with pytest.raises(LimitReachedError):
                await place.hold(money(1), of, call="other")
            await clock.advance(0.01)
        assert place.limiter.draws - before <= 7
        hold.end(money(40))
        (await place.hold(money(60), of, call="other")).end(money(60))

    assert lived(tmp_path, scenario).budget(of) == (0, 100)


def test_a_call_takes_from_all_its_limits_or_from_none(tmp_path: Path) -> None:
    """The second has too little: the first keeps all, and the refusal names the second."""
    large, small = limit(1000, Measure.TOKENS), limit(5, id="limit_2")

    async def scenario(place: Place, _: SimClock) -> None:
        holds = [await place.hold(Amounts(0, 10), large, small, call=f"call{n}") for n in range(5)]
        with pytest.raises(LimitReachedError) as refusal:
            await place.hold(Amounts(0, 10), large, small)
        assert refusal.value.limit is small
        for hold in holds:
            hold.end(Amounts(0, 3))

    place = lived(tmp_path, scenario)
    assert (place.budget(large), place.budget(small)) == ((0, 15), (0, 5))


def test_a_call_that_goes_on_takes_more(tmp_path: Path) -> None:
    """Parts of several slices cover what it used, in their order; a refusal takes nothing."""
    of = limit(100, Measure.MONEY)

    async def scenario(place: Place, _: SimClock) -> None:
        hold = await place.hold(money(30), of)
        await hold.extend(money(30))
        await hold.extend(money(30))
        assert hold.taken.money_pico == 90
        with pytest.raises(LimitReachedError):
            await hold.extend(money(11))
        assert hold.taken.money_pico == 90
        assert len(place.slices()) > 1
        hold.end(money(72))
        hold.end(money(72))

    assert lived(tmp_path, scenario).budget(of) == (0, 72)


def test_more_than_was_held_is_counted_and_said(tmp_path: Path) -> None:
    """An upstream that bills more than the limit that it was sent overdraws by that, and no more."""
    of = limit(100, Measure.MONEY)

    async def scenario(place: Place, _: SimClock) -> None:
        (await place.hold(money(100), of)).end(money(130))
        await place.limiter.beat()
        assert place.budget(of) == (0, 130)  # told to all at once, though it was the slice in hand
        with pytest.raises(LimitReachedError):
            await place.hold(money(1), of)

    place = lived(tmp_path, scenario)
    assert place.budget(of) == (0, 130)
    assert place.limiter.exceeded == 30


@pytest.mark.parametrize("ends", [{}, {"lost": Amounts(7, 0)}])
def test_a_restart_settles_what_is_left(tmp_path: Path, ends: dict[str, Amounts]) -> None:
    """A call that ended counts by what it used, a lost one by what it held, or by what is known of it."""
    of = limit(1000, Measure.MONEY)

    async def scenario(place: Place, clock: SimClock) -> None:
        (await place.hold(money(100), of, call="ended")).end(money(40))
        lost = await place.hold(money(50), of, call="lost")
        await lost.extend(money(150))
        place.die()
        again = Place(tmp_path, place.ledger, clock, "run2")
        spent = {CallId(name): used for name, used in ends.items()}
        assert await again.limiter.settle_left(again.left, spent) >= 1
        assert again.budget(of) == (0, 40 + (7 if ends else 200))
        assert left_logs(tmp_path) == []
        await again.limiter.settle_left(again.left, spent)
        assert again.budget(of)[1] == 40 + (7 if ends else 200), "once is enough"
        await again.limiter.close()
        place.limiter._slices.clear()  # nothing of the dead is settled twice by this test's end

    lived(tmp_path, scenario)


def test_a_slice_that_its_owner_never_heard_of_is_settled_by_the_next_life(tmp_path: Path) -> None:
    """A process that dies between the grant and its own record has spent nothing of it."""
    of = limit(100, Measure.MONEY)

    async def scenario(place: Place, clock: SimClock) -> None:
        place.store.loses_answers = True
        with pytest.raises(LimitsError):
            await place.hold(money(60), of)
        assert place.budget(of) == (60, 0)
        place.die()
        again = Place(tmp_path, place.ledger, clock, "run2")
        assert await again.limiter.settle_left(again.left, {}) == 1
        assert again.budget(of) == (0, 0)
        await again.limiter.close()

    lived(tmp_path, scenario)


def test_after_a_loss_of_power_slices_are_forfeited(tmp_path: Path) -> None:
    """The newest lines may be lost, of calls and of slices: all that was granted counts as spent."""
    of, other = limit(1000, Measure.MONEY), limit(50, id="limit_2")

    async def scenario(place: Place, clock: SimClock) -> None:
        (await place.hold(money(100), of)).end(money(1))
        path = tmp_path / "run1.slices"
        before = path.read_bytes()
        await place.hold(money(1), of, other)
        place.die()
        path.write_bytes(before)
        granted = place.budget(of)[0]
        again = Place(tmp_path, place.ledger, clock, "run2", boot="boot2")
        assert await again.limiter.settle_left(again.left, {}) == len(place.slices())
        assert again.budget(of) == (0, granted)
        assert again.budget(other)[0] == 0 < again.budget(other)[1]
        await again.limiter.close()
        place.limiter._slices.clear()

    lived(tmp_path, scenario)


def test_a_store_that_is_away(tmp_path: Path) -> None:
    """Calls are served out of the slice in hand, then refused with the reason; later all goes on."""
    of = limit(1000, Measure.MONEY)

    async def scenario(place: Place, _: SimClock) -> None:
        (await place.hold(money(10), of)).end(money(10))  # which drew ahead for twenty
        in_hand = place.slices()[0].granted - 10
        place.store.unreachable = True
        for _ in range(in_hand // 10):
            (await place.hold(money(10), of)).end(money(10))
        for _ in range(2):
            with pytest.raises(LimitsError, match="cannot be reached"):
                await place.hold(money(10), of)
        with pytest.raises(LimitsError):
            await place.limiter.beat()
        assert not place.limiter.is_reachable
        place.store.unreachable = False
        await place.limiter.beat()
        assert place.limiter.is_reachable
        (await place.hold(money(10), of)).end(money(10))

    place = lived(tmp_path, scenario)
    held, settled = place.budget(of)
    assert held == 0 < settled
    assert settled % 10 == 0


def test_a_draw_whose_outcome_is_unknown_withholds_nothing(tmp_path: Path) -> None:
    """A grant of which nobody heard is no loss: the next beat settles it at nothing."""
    of = limit(100, Measure.MONEY)

    async def scenario(place: Place, _: SimClock) -> None:
        place.store.loses_answers = True
        with pytest.raises(LimitsError):
            await place.hold(money(60), of)
        with pytest.raises(LimitsError):
            await place.limiter.beat()
        place.store.loses_answers = False
        await place.limiter.beat()
        assert place.budget(of) == (0, 0)
        (await place.hold(money(100), of)).end(money(100))

    assert lived(tmp_path, scenario).budget(of) == (0, 100)


def test_a_caller_that_leaves_leaks_nothing(tmp_path: Path) -> None:
    """While its draw runs, while it waits for its turn, and once it has been granted."""
    of = limit(100, Measure.MONEY)

    async def scenario(place: Place, _: SimClock) -> None:
        place.store.may_go_on.clear()
        waiting = [asyncio.ensure_future(place.hold(money(60), of, call=f"c{n}")) for n in (1, 2)]
        while not place.slices():
            await asyncio.sleep(0.001)
        for task in waiting:
            task.cancel()
        place.store.may_go_on.set()
        assert [type(one) for one in await asyncio.gather(*waiting, return_exceptions=True)] == [
            asyncio.CancelledError
        ] * 2
        await place.limiter.beat()
        assert place.budget(of) == (0, 0)
        (await place.hold(money(100), of)).end(money(1))

    assert lived(tmp_path, scenario).budget(of) == (0, 1)


def test_a_slice_that_is_not_used_comes_back(tmp_path: Path) -> None:
    """After half a minute without a call; one of which a call holds is shrunk to that until it ends."""
    of = limit(1000, Measure.MONEY)

    async def scenario(place: Place, clock: SimClock) -> None:
        hold = await place.hold(money(10), of)
        assert place.budget(of)[0] > 10
        await clock.advance(29)
        await place.limiter.beat()
        assert place.budget(of)[0] > 10
        await clock.advance(2)
        await place.limiter.beat()
        assert place.budget(of) == (10, 0)
        hold.end(money(4))
        await place.limiter.beat()
        assert place.budget(of) == (0, 4)

    lived(tmp_path, scenario)


def test_a_call_counts_in_the_window_in_which_it_was_admitted(tmp_path: Path) -> None:
    """A call from before midnight takes more after it, and the next one begins with the whole amount."""
    of = limit(100, Measure.MONEY, Window.DAY)
    midnight_ns = START_NS + 10 * S

    async def scenario(place: Place, clock: SimClock) -> None:
        old = await place.hold(money(60), of, call="old")
        await clock.advance(15)
        await place.limiter.beat()
        new = await place.hold(money(90), of, call="new")
        await old.extend(money(30))
        with pytest.raises(LimitReachedError) as refusal:
            await place.hold(money(20), of, call="third")
        assert refusal.value.wait_ns == 86_400 * S - 5 * S
        old.end(money(80))
        new.end(money(90))

    place = lived(tmp_path, scenario)
    assert place.budget(of, midnight_ns - 86_400 * S) == (0, 80)
    assert place.budget(of, midnight_ns) == (0, 90)


def test_accounts_are_kept_until_a_window_ends_or_they_are_forgotten(tmp_path: Path) -> None:
    """One look-up for many calls; after midnight, and after a long rest, there are new ones."""
    of = (limit(100, Measure.MONEY, Window.DAY), limit(100, Measure.MONEY, id="limit_2"))

    async def scenario(place: Place, clock: SimClock) -> None:
        limiter = place.limiter
        before = limiter.accounts(of, clock.now_ns())
        assert limiter.accounts(of, clock.now_ns()) is before
        await clock.advance(15)
        after = limiter.accounts(of, clock.now_ns())
        assert after[0].id != before[0].id
        assert after[1] is before[1]
        assert limiter.accounts(of, clock.now_ns() - 15 * S) == before
        await clock.advance(700)
        await limiter.beat()
        again = limiter.accounts(of, clock.now_ns())
        assert [one.id for one in again] == [one.id for one in after]
        assert not {*again} & {*after}
        assert limiter.is_in_use

    lived(tmp_path, scenario)


def test_a_slice_that_comes_when_its_window_is_forgotten_is_settled(tmp_path: Path) -> None:
    """A draw may take longer than the account is kept."""
    of = limit(100, Measure.MONEY, Window.DAY)

    async def scenario(place: Place, clock: SimClock) -> None:
        accounts = place.limiter.accounts((of,), clock.now_ns())
        await clock.advance(15)
        await place.limiter.beat()
        hold = await place.limiter.hold(accounts, CallId("call"), money(60))
        hold.end(money(50))

    assert lived(tmp_path, scenario).budget(of, START_NS + 10 * S - 86_400 * S) == (0, 50)


def test_a_rate_lets_through_what_has_refilled(tmp_path: Path) -> None:
    """Of 60 a minute 60 come at once; then a call that asks says when there is one again."""
    of = limit(60, Measure.REQUESTS, Window.MINUTE)

    async def scenario(place: Place, clock: SimClock) -> None:
        for number in range(60):
            (await place.hold(ONE, of, call=f"call{number}")).end(ONE)
        with pytest.raises(LimitReachedError) as refusal:
            await place.hold(ONE, of)
        assert refusal.value.wait_ns == S
        await clock.advance(5)
        for _ in range(5):
            (await place.hold(ONE, of)).end(ONE)
        with pytest.raises(LimitReachedError):
            await place.hold(ONE, of)

    lived(tmp_path, scenario)


def test_units_of_a_rate_are_used_within_a_second_or_given_back(tmp_path: Path) -> None:
    """Units drawn in advance are no store of bursts; a call gives back what it took too much."""
    of = limit(6000, Measure.TOKENS, Window.MINUTE)

    async def scenario(place: Place, clock: SimClock) -> None:
        def level() -> int:
            rate = place.ledger.accounts[account_id(of, 0)]
            assert isinstance(rate, Rate)
            return rate.at(clock.now_ns()).level // rate.refill_ns

        hold = await place.hold(Amounts(0, 3000, 1, 1000), of)
        assert level() >= 1000
        hold.end(Amounts(0, 400))
        await clock.advance(1.1)
        await place.limiter.beat()
        assert 400 <= level() + 110 <= 400 + 110
        more = await place.hold(Amounts(0, 3000, 1, 1000), of)
        more.end(Amounts(0, 2500))
        await clock.advance(1.1)
        await place.limiter.beat()
        assert 2500 - 110 <= level() <= 2900
        with pytest.raises(LimitReachedError) as refusal:
            await place.hold(Amounts(0, 9000), of)
        assert refusal.value.wait_ns is None, "so much is never there"

    lived(tmp_path, scenario)


def test_units_of_a_rate_that_are_old_are_not_used(tmp_path: Path) -> None:
    """Units of which more than a second has passed since they were asked for are drawn anew."""
    of = limit(6000, Measure.REQUESTS, Window.MINUTE)

    async def scenario(place: Place, clock: SimClock) -> None:
        (await place.hold(ONE, of)).end(ONE)
        (await place.hold(ONE, of)).end(ONE)
        assert place.limiter.draws == 1
        await clock.advance(1.1)
        (await place.hold(ONE, of)).end(ONE)
        assert place.limiter.draws == 2

    lived(tmp_path, scenario)


def test_calls_that_come_steadily_wait_for_no_draw(tmp_path: Path) -> None:
    """The next units of rates, and with them the next slice, are drawn before those in hand are old."""
    rate = limit(600_000, Measure.REQUESTS, Window.MINUTE)
    other = limit(10**9, Measure.TOKENS, Window.MINUTE, id="limit_2")
    total = limit(10**9, Measure.MONEY, id="limit_3")
    waited: list[int] = []

    async def scenario(place: Place, clock: SimClock) -> None:
        for number in range(600):
            before = place.limiter.draws
            hold = await place.hold(Amounts(10, 10), rate, other, total)
            waited.extend([number] * (place.limiter.draws > before))
            while place.limiter._tasks:
                await asyncio.sleep(0.001)
            hold.end(Amounts(5, 5))
            await clock.advance(0.01)
        assert place.limiter.draws < 6 * 4, "less than four a second, for three limits"

    assert lived(tmp_path, scenario).budget(total) == (0, 600 * 5)
    assert max(waited) < 50, waited


def test_units_that_may_have_come_back_are_not_given_back_again(tmp_path: Path) -> None:
    """A beat whose outcome is unknown is not repeated for rates: they would let through more."""
    of = limit(100, Measure.TOKENS, Window.HOUR)

    async def scenario(place: Place, clock: SimClock) -> None:
        for _ in range(2):
            (await place.hold(Amounts(0, 40), of)).end(Amounts(0, 40))
        (await place.hold(Amounts(0, 20), of)).end(Amounts(0, 0))
        await clock.advance(1.1)
        place.store.loses_answers = True
        with pytest.raises(LimitsError):
            await place.limiter.beat()
        place.store.loses_answers = False
        await place.limiter.beat()
        rate = place.ledger.accounts[account_id(of, 0)]
        assert rate.free == 20

    lived(tmp_path, scenario)


def test_a_log_that_cannot_be_written_admits_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the slice nor the hold is on record: the call is refused, and all comes back."""
    of, other = limit(100, Measure.MONEY), limit(50, id="limit_2")

    async def scenario(place: Place, _: SimClock) -> None:
        real = place.log._put

        def put(text: bytes) -> bytes:
            if text.startswith((b"s 2 ", b"+ ")):
                raise LimitsError("No space left on device")
            return real(text)

        with monkeypatch.context() as full:
            full.setattr(place.log, "_put", put)
            with pytest.raises(LimitsError, match="No space left"):
                await place.hold(money(10), of, other)
            with pytest.raises(LimitsError, match="No space left"):
                await place.hold(money(10), of)
        await place.limiter.beat()
        assert place.budget(other) == (0, 0), "its slice is nobody's"
        hold = await place.hold(money(100), of, other)
        hold.end(money(30))

    place = lived(tmp_path, scenario)
    assert (place.budget(of), place.budget(other)) == ((0, 30), (0, 1))


def test_a_gateway_that_was_believed_dead_gives_back_what_it_has(tmp_path: Path) -> None:
    """Its slice was forfeited while it slept; when another needs it, it answers, and a call goes on."""
    of = limit(100, Measure.MONEY)

    async def scenario(place: Place, clock: SimClock) -> None:
        other = Place(tmp_path / "other", place.ledger, clock, "run2")
        hold = await place.hold(money(30), of)
        await hold.extend(money(40))
        granted = place.budget(of)[0]
        await clock.advance(DEAD_NS / S + 1)
        await other.limiter.beat()
        assert place.budget(of) == (0, granted)
        assert list(place.ledger.gateways) == ["run2"]
        await place.limiter.beat()
        assert sorted(place.ledger.gateways) == ["run1", "run2"]
        waiting = asyncio.ensure_future(other.hold(money(30), of, call="other"))
        for _ in range(100):
            if waiting.done():
                break
            await asyncio.sleep(0.001)
            await place.limiter.beat()
            await clock.advance(0.05)
        (await waiting).end(money(30))
        hold.end(money(70))
        await other.limiter.close()

    assert lived(tmp_path, scenario).budget(of) == (0, 100)


def test_what_is_left_is_said(tmp_path: Path) -> None:
    """Amounts of a total, of a day until its end, of a rate as it refills, and of a soft limit."""
    total = limit(100, Measure.TOKENS)
    day = limit(50, Measure.TOKENS, Window.DAY, id="limit_2")
    rate = limit(60, Measure.REQUESTS, Window.MINUTE, id="limit_3")
    soft = limit(20, Measure.TOKENS, id="limit_4", is_hard=False)

    async def scenario(place: Place, _: SimClock) -> None:
        hold = await place.hold(Amounts(0, 15), total, day, rate, soft)
        assert [(one.limit, one.left) for one in place.limiter.left(hold)] == [
            (total, 85), (day, 35), (rate, 59), (soft, 5),
        ]  # fmt: skip
        assert [one.full_ns for one in place.limiter.left(hold)] == [0, 10 * S, S, 0]
        hold.end(Amounts(0, 15))
        (await place.hold(Amounts(0, 15), soft, call="call_2")).end(Amounts(0, 15))

    lived(tmp_path, scenario)


def test_a_gateway_that_closes_with_calls_under_way_leaves_them_to_the_next(tmp_path: Path) -> None:
    """Amounts in use stay held, its log stays, and its silence is noticed where the log is lost."""
    of = limit(100, Measure.MONEY)

    async def scenario(place: Place, clock: SimClock) -> None:
        await place.hold(money(30), of)
        await place.limiter.close()
        assert place.budget(of) == (30, 0)
        assert list(place.ledger.gateways) == ["run1"]
        again = Place(tmp_path, place.ledger, clock, "run2")
        await again.limiter.settle_left(again.left, {})
        assert again.budget(of) == (0, 30)
        assert not again.ledger.gateways
        await again.limiter.close()

    async def run() -> None:
        clock = SimClock(START_NS)
        await scenario(Place(tmp_path, MemoryLedger(clock.now_ns), clock), clock)

    asyncio.run(run())


def test_a_limit_that_is_changed_to_another_kind_begins_anew(tmp_path: Path) -> None:
    """Requests and tokens do not add up, nor do dollars and euros, nor a total and what refills."""
    kinds = [
        limit(10),
        limit(10, Measure.TOKENS),
        limit(10, Measure.MONEY),
        limit(10, Measure.MONEY, currency="EUR"),
        limit(10, window=Window.MINUTE),
        limit(10, window=Window.HOUR),
    ]

    async def scenario(place: Place, _: SimClock) -> None:
        for number, of in enumerate(kinds):
            (await place.hold(Amounts(10, 10), of, call=f"call{number}")).end(Amounts(10, 10))
        assert len(place.ledger.accounts) == len(kinds)

    lived(tmp_path, scenario)


def test_a_slice_is_forfeited_by_hand_and_settled_all_the_same(tmp_path: Path) -> None:
    """An operator may write off what a gateway holds; the gateway spends what it has and no more."""
    of = limit(100, Measure.MONEY)

    async def scenario(place: Place, _: SimClock) -> None:
        hold = await place.hold(money(60), of)
        [part] = [one for one in place.slices() if one.state is SliceState.OPEN]
        place.store.transact(lambda rows: forfeit(rows, part.budget, part.id))
        assert place.budget(of) == (0, part.granted)
        hold.end(money(10))

    assert lived(tmp_path, scenario).budget(of) == (0, 10)
