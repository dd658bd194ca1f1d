"""Gateways that are killed, stopped and robbed of their disks, on one real store: no cap is passed.

Each gateway is a process of its own (`tests/support/limits_gateway.py`) with the production limiter, log
and store. INFERWORKS_LIMITS_S=60 has them live longer than the suite has time for.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from threading import Timer
from typing import Final

import pytest
from tests.support import limits_gateway
from tests.support.limits_gateway import BUDGET, CAP_PICO, MONEY, limiter_of, opened

from inferworks.errors import LimitsError
from inferworks.ids import CallId
from inferworks.limits.ledger import Budget, Rows, Slice, SliceState, forfeit
from inferworks.limits.limiter import Amounts, LimitReachedError
from inferworks.limits.slice_log import left_logs

pytestmark = pytest.mark.slow

LIVES_S: Final = float(os.environ.get("INFERWORKS_LIMITS_S", "10"))
GATEWAYS: Final = 3


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A path or a URL of a store."""
    if request.param == "sqlite":
        yield str(tmp_path / "limits.db")
        return
    pytest.importorskip("psycopg")
    from tests.support.postgres import postgres_server

    with postgres_server() as server:
        yield server.database()


class Fleet:
    """Gateways, and everything that may happen to them."""

    def __init__(self, store: str, folder: Path) -> None:
        self.url = store
        self.store = opened(store)
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.count: Counter[str] = Counter()
        self.deeds = cycle(["stop", "kill", "lose"])
        self.runs: dict[str, str] = {}
        self.timers: list[Timer] = []

    def start(self, place: str) -> None:
        """Start a process at a place."""
        self.count["starts"] += 1
        (self.folder / place).mkdir(exist_ok=True)
        command = [sys.executable, limits_gateway.__file__, self.url, str(self.folder / place)]
        run = self.runs[place] = f"run{self.count['starts']}"
        self.processes[place] = subprocess.Popen([*command, run])

    def kill(self, place: str) -> None:
        """Kill it, also where it is stopped."""
        process = self.processes.pop(place)
        del self.runs[place]
        assert process.poll() is None, f"{place} has ended by itself"
        process.kill()
        process.wait()

    def act(self, chance: random.Random) -> None:
        """Kill a gateway that makes calls, lose its disk, or have it sleep and be believed dead."""
        places = [
            one for one, run in self.runs.items() if (self.folder / one / f"truth-{run}").exists()
        ]
        if not places:
            return
        place = chance.choice(places)
        deed = next(self.deeds)
        if deed == "stop":
            process = self.processes[place]
            process.send_signal(signal.SIGSTOP)
            timer = Timer(chance.choice([0.1, 1.0]), process.send_signal, [signal.SIGCONT])
            timer.start()  # also while this process waits for what the stopped one has locked
            self.timers.append(timer)
            self.forfeit(place)
        elif deed == "lose":
            self.kill(place)
            shutil.rmtree(self.folder / place / "slices", ignore_errors=True)
            self.forfeit(place)
            self.start(f"place{self.count['starts']}")
        else:
            self.kill(place)
            self.start(place)
        self.count[deed] += 1

    def forfeit(self, place: str) -> None:
        """Believe the gateways at a place to be dead, as far as the store can be asked just now."""
        folder = str(self.folder / place)

        def work(rows: Rows) -> int:
            budget = [one for one in rows.slices_in(BUDGET) if one.place == folder]
            rows.accounts([BUDGET])
            for one in budget:
                forfeit(rows, one.budget, one.id)
            return len(budget)

        with suppress(
            LimitsError
        ):  # a stopped process holds SQLite's lock for as long as it sleeps
            self.count["forfeits"] += self.store.transact(work)

    def budget(self) -> Budget:
        """Return the budget as the store has it."""
        found = self.store.transact(lambda rows: rows.accounts([BUDGET])).get(BUDGET)
        return found if isinstance(found, Budget) else Budget(BUDGET, CAP_PICO)

    def truth(self) -> Counter[str]:
        """Return what the upstreams know: what was used, and at most so much as was held or ended with."""
        sums: Counter[str] = Counter()
        for path in self.folder.glob("*/truth-*"):
            held: Counter[str] = Counter()
            for line in path.read_text().splitlines(keepends=True):
                if not line.endswith("\n"):
                    break
                kind, call, amount = line.split()
                if kind == "held":
                    held[call] += int(amount)
                    sums["calls"] += 1
                elif kind == "used":
                    sums["used"] += int(amount)
                else:
                    held[call] = int(amount)
            sums["most"] += held.total()
        return sums

    def slices(self) -> list[Slice]:
        """Return every slice of the budget that is not closed."""
        return list(self.store.transact(lambda rows: rows.slices_in(BUDGET)))


def test_no_cap_is_passed_whatever_dies(store: str, tmp_path: Path) -> None:
    """Used <= held + settled <= cap; in the end logs and store agree to the unit."""
    fleet, chance = Fleet(store, tmp_path / "fleet"), random.Random(7)
    fleet.folder.mkdir()
    for number in range(GATEWAYS):
        fleet.start(f"place{number}")
    try:
        until_s = time.monotonic() + LIVES_S
        act_s = 0.0
        while (now_s := time.monotonic()) < until_s:
            used = fleet.truth()["used"]  # first, since it only grows
            with suppress(LimitsError):
                budget = fleet.budget()
                assert used <= budget.held + budget.settled <= CAP_PICO
            if now_s > act_s:
                fleet.act(chance)
                act_s = now_s + 0.3
            time.sleep(0.05)
    finally:
        for timer in fleet.timers:
            timer.join()
        for place in [*fleet.processes]:
            fleet.kill(place)
    asyncio.run(settled(fleet))
    fleet.store.close()


async def settled(fleet: Fleet) -> None:
    """Have the next life of each place settle what is left, and compare the store with all else."""
    deadline_s = time.monotonic() + 15
    while True:
        with suppress(LimitsError):  # until the server has ended the sessions of the dead
            before = fleet.budget()
            break
        assert time.monotonic() < deadline_s
    unclosed = {one.id: one for one in fleet.slices()}
    logs = {place: left_logs(place / "slices") for place in fleet.folder.iterdir()}
    logged = {part.id: part for found in logs.values() for log in found for part in log.slices}
    mine = [one for one in logged.values() if one.id in unclosed and one.budget == BUDGET]
    expected = before.settled
    for part in mine:
        is_forfeited = unclosed[part.id].state is SliceState.FORFEITED
        expected += part.spent - (unclosed[part.id].granted if is_forfeited else 0)
    expected -= sum(
        one.granted
        for one in unclosed.values()
        if one.state is SliceState.FORFEITED
        and one.id not in logged
        and any(log.run == one.run for found in logs.values() for log in found)
    )  # granted to a process that died before it heard of it
    for number, (place, found) in enumerate(logs.items()):
        limiter = limiter_of(fleet.store, place, f"last{number}")
        await limiter.settle_left(found, {})
        await limiter.close()
    after, truth = fleet.budget(), fleet.truth()
    left = fleet.slices()
    assert after.settled == expected
    assert {one.state for one in left} <= {SliceState.FORFEITED}, "all that is open has a log"
    assert after.held == 0
    withheld = sum(one.granted for one in left)
    assert truth["used"] <= after.settled <= CAP_PICO
    assert after.settled <= truth["most"] + withheld, "what is withheld was forfeited"
    assert truth["calls"] > 100
    assert min(fleet.count[deed] for deed in ("stop", "kill", "lose")) > 0, fleet.count
    # the rest can be had, to the unit
    limiter = limiter_of(fleet.store, fleet.folder, "rest")
    accounts = limiter.accounts((MONEY,), 0)
    with pytest.raises(LimitReachedError):
        await limiter.hold(accounts, CallId("more"), Amounts(after.free + 1, 0))
    if after.free:
        await asyncio.sleep(0.6)  # a refusal stands for half a second
        hold = await limiter.hold(accounts, CallId("rest"), Amounts(after.free, 0))
        hold.end(Amounts(after.free, 0))
    await limiter.close()
    assert fleet.budget().settled == CAP_PICO
    sys.stdout.write(f"{fleet.count} {truth} {after} withheld {withheld} of {len(left)} slices\n")
