"""Warnings of limits: each share of each window once, over all gateways."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.limits.test_limiter import (
    START_NS,
    Place,
    gateways,
    limit,
    lived,
    money,
)

from inferworks.accounts.limit import Limit, Measure, Window
from inferworks.accounts.limit_index import LimitIndex
from inferworks.clock import SimClock
from inferworks.errors import LimitsError
from inferworks.ids import CallId
from inferworks.limits import limiter as limiter_module
from inferworks.limits.limiter import Amounts, LimitReachedError
from inferworks.limits.stores.stub import MemoryLedger


def messages(ledger: MemoryLedger) -> list[dict[str, Any]]:
    """Return what was warned of, in order."""
    found = [
        (one.raised_ns, msgspec.json.decode(one.body)["data"]) for one in ledger.warnings.values()
    ]
    found.sort(key=lambda one: (one[0], one[1]["amount"], one[1]["share_percent"]))
    return [data for _, data in found]


def shares(ledger: MemoryLedger) -> list[int]:
    """Return the shares that were warned of."""
    return [one["share_percent"] for one in messages(ledger)]


async def spend(place: Place, pico: int, of: Limit) -> None:
    """Make a call that uses so much, and beat."""
    hold = await place.hold(money(pico), of)
    hold.end(money(pico))
    await place.limiter.beat()


def test_each_share_is_warned_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Use counts as it is reported, while the slice is open too; a hold warns of nothing."""
    caplog.set_level(logging.WARNING, "inferworks.limits")
    of = limit(1000, Measure.MONEY, warn_at=(50, 80, 100))

    async def scenario(place: Place, clock: SimClock) -> None:
        hold = await place.hold(money(900), of)
        await place.limiter.beat()
        assert shares(place.ledger) == [], "all of it is held, and nothing used"
        hold.end(money(499))
        await place.limiter.beat()
        assert shares(place.ledger) == []
        await spend(place, 1, of)
        assert shares(place.ledger) == [50]
        for _ in range(3):
            await place.limiter.beat()
        await spend(place, 500, of)
        assert sorted(shares(place.ledger)) == [50, 80, 100]
        assert place.limiter.warnings == {("money", "key"): 3}

    place = lived(tmp_path, scenario)
    first = messages(place.ledger)[0]
    assert first == {
        "limit": "limit_1", "scope": "key", "of": "key_1", "measure": "money", "currency": "USD",
        "window": "total", "window_start": None, "share_percent": 50, "amount": "0.000000001",
        "used": "0.0000000005", "hard": True, "refused": False,
    }  # fmt: skip
    said = [record.getMessage() for record in caplog.records]
    assert said[0].startswith("key key_1 has used 50 % of limit limit_1: 0.0000000005 of 0.0000")
    assert len(said) == 3


def test_a_soft_limit_warns_and_goes_on(tmp_path: Path) -> None:
    """A limit that is passed goes on to count, and refuses nothing."""
    of = limit(1000, Measure.MONEY, is_hard=False, warn_at=(100,))

    async def scenario(place: Place, clock: SimClock) -> None:
        await spend(place, 990, of)
        assert shares(place.ledger) == []
        await spend(place, 990, of)
        assert shares(place.ledger) == [100]
        await spend(place, 10_000, of)
        assert place.limiter.uses(5, {"limit_1"}) == [("limit_1", 10**6)]

    assert len(lived(tmp_path, scenario).ledger.warnings) == 1


def test_a_soft_rate_counts_up_to_its_amount_and_warns_once_an_hour(tmp_path: Path) -> None:
    """More than the rate is granted, and the rate is then full; it refills as a hard one does."""
    of = limit(60, window=Window.MINUTE, is_hard=False, warn_at=(80, 100))

    async def calls(place: Place, count: int) -> None:
        for number in range(count):
            hold = await place.hold(Amounts(0, 0), of, call=f"call_{number}")
            hold.end(Amounts(0, 0))
        await place.limiter.beat()

    async def scenario(place: Place, clock: SimClock) -> None:
        await clock.advance(60)  # into an hour
        await calls(place, 40)
        assert shares(place.ledger) == []
        assert 0 < place.limiter.uses(5, {"limit_1"})[0][1] < 800_000
        await calls(place, 100)
        assert sorted(shares(place.ledger)) == [80, 100]
        await clock.advance(120)
        assert place.limiter.uses(5, {"limit_1"})[0][1] < 10_000, "all of it has refilled"
        await calls(place, 100)
        assert sorted(shares(place.ledger)) == [80, 100], "within the hour"
        await clock.advance(3600)
        await calls(place, 100)
        assert sorted(shares(place.ledger)) == [80, 80, 100, 100]

    lived(tmp_path, scenario)


def test_a_new_window_or_amount_warns_anew(tmp_path: Path) -> None:
    """Shares are of the amount that is in force, in the window that is."""
    of = limit(1000, Measure.MONEY, Window.DAY, warn_at=(80,))
    more = limit(2000, Measure.MONEY, Window.DAY, warn_at=(80,), revision=2)

    async def scenario(place: Place, clock: SimClock) -> None:
        await spend(place, 900, of)
        assert [one["amount"] for one in messages(place.ledger)] == ["0.000000001"]
        await spend(place, 100, more)
        assert len(messages(place.ledger)) == 1
        await spend(place, 600, more)
        assert [one["amount"] for one in messages(place.ledger)] == ["0.000000001", "0.000000002"]
        await clock.advance(60)
        await spend(place, 1700, more)
        assert len(messages(place.ledger)) == 3
        starts = {one["window_start"] for one in messages(place.ledger)}
        assert starts == {"2024-10-03T00:00:00+00:00", "2024-10-04T00:00:00+00:00"}

    lived(tmp_path, scenario)


@pytest.mark.parametrize(
    ("used", "asked", "warned"),
    [(0, 2000, []), (128, 900, []), (500, 700, [50]), (949, 100, [50]), (950, 100, [50, 100])],
)
def test_a_refusal_passes_100_where_nearly_all_is_used(
    tmp_path: Path, used: int, asked: int, warned: list[int]
) -> None:
    """A large call that is refused sets no warning off: each is told once, and would not come when due."""
    of = limit(1000, Measure.MONEY, warn_at=(50, 100))

    async def scenario(place: Place, clock: SimClock) -> None:
        if used:
            await spend(place, used, of)
        accounts = place.limiter.accounts((of,), START_NS)
        with pytest.raises(LimitReachedError) as refusal:
            await place.limiter.hold(accounts, CallId("call_2"), money(asked))
        place.limiter.refused(accounts, refusal.value)
        await place.limiter.beat()
        assert sorted(shares(place.ledger)) == warned
        assert place.limiter.refusals == {("money", "key"): 1}
        await spend(place, 1000 - used, of)
        assert sorted(shares(place.ledger)) == [50, 100], "the true ones come"

    lived(tmp_path, scenario)


def test_what_running_calls_hold_warns_of_nothing_when_another_is_refused(tmp_path: Path) -> None:
    """Streams that hold all of a limit and have used little are no reason to warn."""
    of = limit(1000, Measure.MONEY, warn_at=(50, 100))

    async def scenario(place: Place, clock: SimClock) -> None:
        holds = [await place.hold(money(250), of, call=f"call_{n}") for n in range(4)]
        accounts = place.limiter.accounts((of,), START_NS)
        with pytest.raises(LimitReachedError) as refusal:
            await place.limiter.hold(accounts, CallId("call_5"), money(250))
        place.limiter.refused(accounts, refusal.value)
        await place.limiter.beat()
        for hold in holds:
            hold.end(money(32))
        await place.limiter.beat()
        assert shares(place.ledger) == []

    lived(tmp_path, scenario)


def test_the_use_of_a_withdrawn_limit_is_not_told(tmp_path: Path) -> None:
    """Only limits in force are among the most used ones."""
    of, other = limit(10, Measure.MONEY), limit(10, Measure.MONEY, id="limit_2")

    async def scenario(place: Place, clock: SimClock) -> None:
        await spend(place, 5, of)
        await spend(place, 2, other)
        index = LimitIndex([of, other])
        assert [name for name, _ in place.limiter.uses(5, index.ids)] == ["limit_1", "limit_2"]
        index = LimitIndex([limit(10, Measure.MONEY, withdrawn_ns=START_NS, revision=2), of, other])
        assert [name for name, _ in place.limiter.uses(5, index.ids)] == ["limit_2"]

    lived(tmp_path, scenario)


def test_calls_at_once_are_warned_of_by_how_many_there_are(tmp_path: Path) -> None:
    """Calls that run count, and no slice that is drawn for more of them."""
    of = limit(10, Measure.CALLS, warn_at=(50,))

    async def scenario(place: Place, clock: SimClock) -> None:
        holds = [await place.hold(Amounts(0, 0), of, call=f"call_{n}") for n in range(4)]
        await place.limiter.beat()
        assert shares(place.ledger) == []
        holds.append(await place.hold(Amounts(0, 0), of, call="call_5"))
        await place.limiter.beat()
        assert shares(place.ledger) == [50]
        for hold in holds:
            hold.end(Amounts(0, 0))

    lived(tmp_path, scenario)


def test_while_the_store_is_away_nothing_is_lost(tmp_path: Path) -> None:
    """A share that is passed meanwhile is warned of when it is back, and nothing is told twice."""
    of = limit(1000, Measure.MONEY, warn_at=(50,))

    async def scenario(place: Place, clock: SimClock) -> None:
        hold = await place.hold(money(600), of)
        place.store.unreachable = True
        hold.end(money(600))
        with pytest.raises(LimitsError):
            await place.limiter.beat()
        place.store.unreachable = False
        place.store.loses_answers = True
        with pytest.raises(LimitsError):
            await place.limiter.beat()
        place.store.loses_answers = False
        assert shares(place.ledger) == [50]
        await place.limiter.beat()
        assert shares(place.ledger) == [50]

    lived(tmp_path, scenario)


def test_many_gateways_warn_once(tmp_path: Path) -> None:
    """Four gateways that use one limit together warn of each share once, and one of them counts it."""
    of = limit(4000, Measure.MONEY, warn_at=(25, 50, 75, 100))

    async def run() -> None:
        ledger = MemoryLedger()
        async with gateways(tmp_path, ledger, 4) as found:

            async def calls(number: int) -> None:
                for call in range(100):
                    accounts = found[number].accounts((of,), START_NS)
                    hold = await found[number].hold(accounts, CallId(f"{number}-{call}"), money(10))
                    hold.end(money(10))

            await asyncio.gather(*(calls(number) for number in range(4)))
            for _ in range(100):
                if len(ledger.warnings) == 4:
                    break
                await asyncio.sleep(0.02)
            assert sorted(shares(ledger)) == [25, 50, 75, 100]
            await asyncio.sleep(0.1)
            assert sum(sum(one.warnings.values()) for one in found) == 4

    asyncio.run(run())


def test_one_beat_looks_at_so_many_limits_and_the_next_at_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A beat is bounded, and no limit is passed over for ever."""
    monkeypatch.setattr(limiter_module, "_ALARMS", 3)

    async def scenario(place: Place, clock: SimClock) -> None:
        many = [limit(10, Measure.MONEY, id=f"limit_{n}", warn_at=(50,)) for n in range(8)]
        for number, of in enumerate(many):
            hold = await place.hold(money(10), of, call=f"call_{number}")
            hold.end(money(10))
        for expected in (3, 6, 8):
            await place.limiter.beat()
            assert len(place.ledger.warnings) == expected

    lived(tmp_path, scenario)
