"""Admission: CPU time of keeping one call to its limits, from its key to the settlement at its end.

Calls of one key count towards four limits: money a month of the organisation, tokens a minute of the
customer, requests a minute of the project, calls at once of the key. The limiter is the one of a gateway,
on a ledger in SQLite and with its log on a disk; `_AT_ONCE` calls are under way, and each new one is
admitted when the oldest has ended.

`admission_cpu_us` is all that limits cost such a call: to find its limits, to hold, and to settle. Of it,
`find_us` is from the key to the limits in their windows, `hold_us` takes of them and is on record, and
`end_us` settles and is on record. `log_us` is the part of the log in both: two lines. Beside them stand
`write_us`, which one `write` of such a line costs here: a floor for every log that asks the kernel for
each line; and `put_us`, the same bytes put into mapped memory.

`call_cpu_us` is the same with what surrounds the limiter in a call: the most that the call can cost by its
prompt and its prices, and its charge by its record; `headers_us` are the `x-ratelimit-*` of its answer.

`draws_per_1000_calls` are the transactions in which slices are drawn, of calls that come at random, 500 a
second, and `waited_per_1000_calls` the calls of them that waited for one: the others found slices in hand.

CPU times are of the process with all its threads. Of some rounds the calmest counts: other load on the
machine can only add to it.
"""

from __future__ import annotations

import asyncio
import gc
import mmap
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Final

import uvloop

from inferworks.accounts.customer import Customer
from inferworks.accounts.key import Key, mint
from inferworks.accounts.limit import Limit, Measure, Scope, ScopeKind, Window
from inferworks.accounts.limit_index import LimitIndex
from inferworks.accounts.plan import PricePlan, token_terms
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.api.call_limits import CallHold, CallLimits
from inferworks.api.pricing import PricingTable
from inferworks.api.wire.base import RequestInfo
from inferworks.cli.process import settle
from inferworks.clock import SystemClock
from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.ids import CallId, CustomerId, ModelId, ProjectId, new_id
from inferworks.limits.ledger import Gateway
from inferworks.limits.limiter import BEAT_S, Amounts, Hold, Limiter
from inferworks.limits.slice_log import SliceLog
from inferworks.limits.stores.sqlite import SqliteLimits
from inferworks.meter.usage import Tokens
from inferworks.testing.facts import A_PEPPER, make_opened, make_usage
from limit_sections.base import Options

_CUSTOMER: Final = CustomerId("acme")
_ORGANISATION: Final = "group"
_MODEL: Final = "m"
_AT_ONCE: Final = 64
_CALLS: Final = 500
"""Calls of a round."""
_ROUNDS: Final = 40
_PER_S: Final = 500
_STEADY_S: Final = 6.0
_LASTS_S: Final = 0.1
_USED: Final = Amounts(30_000_000, 60)
_MOST: Final = Amounts(90_000_000, 1_200, likely_tokens=180)
_PROMPT: Final = b'{"model":"m","messages":[{"role":"user","content":"%b"}],"max_tokens":100}' % (
    b"hi " * 40
)


def limits_of(key: Key) -> list[Limit]:
    """Return the four limits of `key`, none of which is reached."""

    def limit(kind: ScopeKind, of: str, measure: Measure, window: Window, amount: int) -> Limit:
        currency = "EUR" if measure is Measure.MONEY else ""
        return Limit(id=new_id("limit", time.time_ns()), scope=Scope(kind, of), measure=measure,
                     window=window, amount=amount, currency=currency, zone="Europe/Berlin")  # fmt: skip

    project = f"{key.customer}/{key.project}"
    return [
        limit(ScopeKind.KEY, key.id, Measure.CALLS, Window.TOTAL, 10_000),
        limit(ScopeKind.PROJECT, project, Measure.REQUESTS, Window.MINUTE, 10**9),
        limit(ScopeKind.CUSTOMER, _CUSTOMER, Measure.TOKENS, Window.MINUTE, 10**12),
        limit(ScopeKind.ORGANISATION, _ORGANISATION, Measure.MONEY, Window.MONTH, 10**24),
    ]


def measure_admission(options: Options) -> dict[str, float]:
    """Return the figures of admission, with the garbage collector set as a gateway sets it."""
    settle()
    return uvloop.run(_measured(options.folder))


async def _measured(folder: Path) -> dict[str, float]:
    key, _ = mint(_CUSTOMER, 1, project=ProjectId("search"), pepper=A_PEPPER)
    index = LimitIndex(limits_of(key))
    clock = SystemClock()
    with (
        closing(SqliteLimits(folder / "limits.db")) as store,
        closing(SqliteAccounts(folder / "accounts.db")) as accounts,
    ):
        log = SliceLog(folder / "slices", "run", "boot")
        limiter = Limiter(store, log, Gateway("run", "place", "boot", 0), clock)
        accounts.add_customer(Customer(_CUSTOMER, 1))
        accounts.add_plan(PricePlan(_CUSTOMER, 1, token_terms("EUR", 500_000, 1_500_000)))
        pricing = PricingTable(accounts)
        limits = CallLimits(limiter, lambda: index, pricing, lambda _: _ORGANISATION)
        beats = asyncio.ensure_future(_beats(limiter))
        try:
            found = [await _round(limiter, index, key, clock) for _ in range(_ROUNDS)]
            figures = {name: min(one[name] for one in found) for name in found[0]}
            wholes = [await _calls(limits, key, clock) for _ in range(_ROUNDS)]
            figures |= {name: min(one[name] for one in wholes) for name in wholes[0]}
            figures |= await _steady(limiter, index, key, clock)
        finally:
            beats.cancel()
            await asyncio.gather(beats, return_exceptions=True)
            await limiter.close()
        figures["log_us"] = min(_log_us(folder / "log") for _ in range(_ROUNDS))
        figures["write_us"] = min(_write_us(folder / "written") for _ in range(_ROUNDS))
        figures["put_us"] = min(_put_us(folder / "mapped") for _ in range(_ROUNDS))
    return {name: round(value, 2) for name, value in figures.items()}


async def _beats(limiter: Limiter) -> None:
    while True:
        await limiter.beat()
        await asyncio.sleep(BEAT_S)


async def _round(
    limiter: Limiter, index: LimitIndex, key: Key, clock: SystemClock
) -> dict[str, float]:
    """Return the CPU time of a call in microseconds, as a whole and in its parts."""
    calls = [CallId(new_id("call", time.time_ns())) for _ in range(_CALLS)]
    under_way: deque[Hold] = deque()
    at_ns = clock.now_ns()
    gc.collect()
    begun_ns = time.process_time_ns()
    for call in calls:
        limits = index.of(key, _ORGANISATION)
        accounts = limiter.accounts(limits, at_ns)
        under_way.append(await limiter.hold(accounts, call, _MOST))
        if len(under_way) > _AT_ONCE:
            under_way.popleft().end(_USED)
    while under_way:
        under_way.popleft().end(_USED)
    whole_ns = time.process_time_ns() - begun_ns
    await asyncio.sleep(0.01)

    begun_ns = time.process_time_ns()
    for _ in calls:
        accounts = limiter.accounts(index.of(key, _ORGANISATION), at_ns)
    find_ns = time.process_time_ns() - begun_ns
    begun_ns = time.process_time_ns()
    holds = [await limiter.hold(accounts, call, _MOST) for call in calls]
    hold_ns = time.process_time_ns() - begun_ns
    begun_ns = time.process_time_ns()
    for hold in holds:
        hold.end(_USED)
    end_ns = time.process_time_ns() - begun_ns
    await asyncio.sleep(0.01)
    return {
        "admission_cpu_us": whole_ns / _CALLS / 1000,
        "find_us": find_ns / _CALLS / 1000,
        "hold_us": hold_ns / _CALLS / 1000,
        "end_us": end_ns / _CALLS / 1000,
    }


async def _calls(limits: CallLimits, key: Key, clock: SystemClock) -> dict[str, float]:
    """Return the CPU time of all that a gateway does about the limits of a call."""
    opened = [
        make_opened(call_id=new_id("call", time.time_ns()), opened_ns=clock.now_ns(), model=_MODEL)
        for _ in range(_CALLS)
    ]
    request = RequestInfo(_MODEL, most_output=100)
    calls = [
        Call(
            one.call_id,
            Operation.CHAT,
            ModelId(_MODEL),
            stream=False,
            wants_usage=False,
            body=_PROMPT,
        )
        for one in opened
    ]
    usage = make_usage(opened_ns=opened[0].opened_ns, tokens=Tokens(40, 20), model=_MODEL)
    under_way: deque[CallHold] = deque()
    last: CallHold | None = None
    gc.collect()
    begun_ns = time.process_time_ns()
    for each, call in zip(opened, calls, strict=True):
        hold, _ = await limits.hold(key, each, request, call, ())
        assert isinstance(hold, CallHold)
        under_way.append(hold)
        if len(under_way) > _AT_ONCE:
            last = under_way.popleft()
            last.end(usage)
    while under_way:
        under_way.popleft().end(usage)
    whole_ns = time.process_time_ns() - begun_ns
    assert last is not None
    begun_ns = time.process_time_ns()
    for _ in calls:
        last.headers()
    headers_ns = time.process_time_ns() - begun_ns
    await asyncio.sleep(0.01)
    return {
        "call_cpu_us": whole_ns / _CALLS / 1000,
        "headers_us": headers_ns / _CALLS / 1000,
    }


async def _steady(
    limiter: Limiter, index: LimitIndex, key: Key, clock: SystemClock
) -> dict[str, float]:
    """Return the draws for a thousand calls that come at a steady rate, after a second of them."""
    random, loop = Random(1), asyncio.get_running_loop()
    waited = 0

    async def call() -> None:
        nonlocal waited
        accounts = limiter.accounts(index.of(key, _ORGANISATION), clock.now_ns())
        draws = limiter.draws
        hold = await limiter.hold(accounts, CallId(new_id("call", time.time_ns())), _MOST)
        waited += limiter.draws > draws
        await asyncio.sleep(_LASTS_S)
        hold.end(_USED)

    async def come(seconds: float) -> int:
        at_s = loop.time()
        until_s = at_s + seconds
        calls: list[asyncio.Task[None]] = []
        while (at_s := at_s + random.expovariate(_PER_S)) < until_s:
            await asyncio.sleep(max(0.0, at_s - loop.time()))
            calls.append(loop.create_task(call()))
        await asyncio.gather(*calls)
        return len(calls)

    await come(2.0)
    draws, waited = limiter.draws, 0
    count = await come(_STEADY_S)
    return {
        "draws_per_1000_calls": (limiter.draws - draws) / count * 1000,
        "waited_per_1000_calls": waited / count * 1000,
    }


def _log_us(folder: Path) -> float:
    """Return the CPU time of the two lines of a call in the log, alone."""
    log = SliceLog(folder, "run", "boot")
    money, at_once = log.drawn("s1", "b1", 1), log.drawn("s2", "b2", 1)
    calls = [CallId(new_id("call", time.time_ns())) for _ in range(_CALLS)]
    held, spent = [at_once, 1, money, 90_000_000], [at_once, 0, money, 30_000_000]
    gc.collect()
    begun_ns = time.process_time_ns()
    for call in calls:
        log.held(call, held)
        log.ended(call, spent)
    took_ns = time.process_time_ns() - begun_ns
    log.settled(money)
    log.settled(at_once)
    log.close()
    return took_ns / _CALLS / 1000


_LINE: Final = b"%08x + %b 12:1 34:90000000\n" % (0, new_id("call", 0).encode())


def _write_us(path: Path) -> float:
    """Return the CPU time of one `write` of a line to the end of a file."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        return _cpu_us(range(_CALLS), lambda _: os.write(file, _LINE))
    finally:
        os.close(file)


def _put_us(path: Path) -> float:
    """Return the CPU time of the same line into the mapped pages of a file."""
    size = len(_LINE)
    path.write_bytes(bytes(_CALLS * size))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:

        def put(number: int) -> None:
            mapped[number * size : (number + 1) * size] = _LINE

        return _cpu_us(range(_CALLS), put)


def _cpu_us(inputs: Sequence[int], act: Callable[[int], object]) -> float:
    begun_ns = time.process_time_ns()
    for one in inputs:
        act(one)
    return (time.process_time_ns() - begun_ns) / len(inputs) / 1000
