"""Conformance suite for stores of limits."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from msgspec.structs import replace

from inferworks.limits.ledger import (
    Budget,
    Gateway,
    Grant,
    Rate,
    Rows,
    Settlement,
    Slice,
    SliceState,
    Want,
    draw,
    forfeit,
    give_back,
    live,
    settle,
    shrink,
)
from inferworks.limits.stores.base import LimitsStore
from inferworks.limits.stores.stub import MemoryLedger, MemoryLimits
from inferworks.limits.warnings import LimitWarning

T = TypeVar("T")

_LARGE: Final = 10**24
"""A budget of a trillion dollars in picounits: more than 63 bits."""
_RUNS: Final = 3
_ONE: Final = Gateway("run-1", "place-1", "boot", 0)


class _GaveUp(Exception):
    """Error of a transaction's work."""


def check_limits_store(opened: Callable[[], LimitsStore]) -> None:
    """Check a driver; `opened` opens stores that share what they keep, which is nothing at first."""
    first, second = opened(), opened()
    _check_all_or_nothing(first, second)
    _check_rates(first, second)
    _check_gateways(first, second)
    _check_warnings(first, second)
    _check_removal(first, second)
    several = [opened() for _ in range(_RUNS)]
    _check_like_the_ledger_in_memory(several)
    for store in (first, second, *several):
        store.close()
        store.close()


def _check_all_or_nothing(first: LimitsStore, second: LimitsStore) -> None:
    """Rows that are put are there for all others, and a transaction that raises leaves nothing."""
    budget = Budget("first", _LARGE, 3, returns=True, held=7, settled=_LARGE - 8, recall=2)
    part = Slice("slice", "first", "place", "run", 7, 1_700_000_000_000_000_000)

    def put(rows: Rows) -> None:
        assert rows.accounts(["first"]) == {}, "nothing is there at first"
        rows.put(budget)
        rows.put(part)

    def give_up(rows: Rows) -> None:
        put(rows)
        raise _GaveUp

    with suppress(_GaveUp):
        first.transact(give_up)
    assert second.transact(lambda rows: dict(rows.slices(["slice"]))) == {}
    first.transact(put)

    def read(rows: Rows) -> tuple[Mapping[str, Budget | Rate], Mapping[str, Slice]]:
        return rows.accounts(["first", "none"]), rows.slices(["slice", "none"])

    assert second.transact(read) == ({"first": budget}, {"slice": part})
    for state in (SliceState.OPEN, SliceState.FORFEITED):
        left = replace(part, state=state)
        second.transact(lambda rows, left=left: rows.put(left))  # type: ignore[misc]
        assert second.transact(lambda rows: list(rows.slices_in("first"))) == [left]
        assert second.transact(lambda rows: list(rows.slices_of("run"))) == [left]

    def close(rows: Rows) -> None:
        rows.accounts(["first"])
        rows.put(replace(part, state=SliceState.CLOSED, spent=_LARGE))

    second.transact(close)
    assert first.transact(lambda rows: list(rows.slices_in("first"))) == []
    assert first.transact(lambda rows: list(rows.slices_of("run"))) == []
    assert first.transact(lambda rows: rows.slices(["slice"])["slice"].spent) == _LARGE


def _check_rates(first: LimitsStore, second: LimitsStore) -> None:
    """A rate is shared: what one takes the other lacks, and what is given back is there again."""
    hour_ns = 3600 * 10**9

    def take(store: LimitsStore, name: str, least: int) -> Grant:
        want = Want("rate", 100, 1, hour_ns, False, name, least, least)
        return store.transact(lambda rows: draw(rows, _ONE, [want])[0])

    before_ns = first.transact(lambda rows: rows.now_ns())
    assert take(first, "r1", 60).granted == 60
    assert take(second, "r2", 60).granted == 0, "only 40 are left"
    lacking = take(second, "r3", 60)
    assert lacking.lacks
    assert 0 < lacking.wait_ns <= hour_ns * 20 // 100
    assert take(second, "r4", 40).granted == 40
    second.transact(lambda rows: give_back(rows, "rate", 40, rows.now_ns()))
    assert take(first, "r5", 40).granted == 40
    assert first.transact(lambda rows: rows.now_ns()) >= before_ns


def _check_gateways(first: LimitsStore, second: LimitsStore) -> None:
    """A gateway that lives is told which of its budgets are recalled, once."""
    one, other = _ONE, Gateway("run-2", "place-2", "boot", 0)
    assert dict(first.transact(lambda rows: live(rows, one))) == {}
    assert dict(second.transact(lambda rows: live(rows, other))) == {}
    assert [g.run for g in first.transact(lambda rows: list(rows.gateways()))] == ["run-1", "run-2"]
    want = Want("recalled", 10, 1, 0, False, "s1", 10, 10)
    [grant] = first.transact(lambda rows: draw(rows, one, [want]))
    assert grant.granted == 10
    [refused] = second.transact(
        lambda rows: draw(rows, other, [want._replace(slice_id="s2", least=1)])
    )
    assert (refused.granted, refused.recall) == (0, 1), "the other may have what it does not need"
    assert dict(first.transact(lambda rows: live(rows, one))) == {"recalled": 1}
    first.transact(lambda rows: shrink(rows, "recalled", "s1", 9, 1))
    assert dict(first.transact(lambda rows: live(rows, one))) == {}
    [got] = second.transact(
        lambda rows: draw(rows, other, [want._replace(slice_id="s3", least=1, recall=1)])
    )
    assert got.granted == 1
    first.transact(lambda rows: rows.remove(one))
    assert [g.run for g in second.transact(lambda rows: list(rows.gateways()))] == ["run-2"]
    second.transact(lambda rows: rows.remove(other))


def _check_warnings(first: LimitsStore, second: LimitsStore) -> None:
    """Warnings are kept under their ids; those that are due come in their order until put off."""
    now_ns = first.transact(lambda rows: rows.now_ns())
    late = LimitWarning("late", "account", '{"é": "ü"}', now_ns - 2, due_ns=now_ns - 2)
    later = LimitWarning("later", "account", "{}", now_ns - 1, due_ns=now_ns - 1, tries=1)
    to_come = LimitWarning("to come", "account", "{}", now_ns, due_ns=now_ns + 3600 * 10**9)
    over = LimitWarning("over", "other", "{}", now_ns + 1, due_ns=0, tries=2, sent_ns=now_ns)
    every = [late, later, to_come, over]

    def put(rows: Rows) -> None:
        assert rows.warnings(["late"]) == {}
        for one in every:
            rows.put_warning(one)
        assert rows.warnings(["late"]) == {"late": late}, "a transaction reads what it has put"

    first.transact(put)
    names = [one.id for one in every]
    assert second.transact(lambda rows: rows.warnings([*names, "none"])) == dict(
        zip(names, every, strict=True)
    )
    assert second.transact(lambda rows: list(rows.due_warnings(8))) == [late, later]
    assert second.transact(lambda rows: list(rows.due_warnings(1))) == [late]
    second.transact(lambda rows: rows.put_warning(replace(late, due_ns=0, sent_ns=now_ns)))
    assert first.transact(lambda rows: [one.id for one in rows.due_warnings(8)]) == ["later"]
    newest = first.transact(lambda rows: [one.id for one in rows.newest_warnings(3)])
    assert newest == ["over", "to come", "later"]


def _check_removal(first: LimitsStore, second: LimitsStore) -> None:
    """Rows that are removed are gone for all, with those that belong to them, and no others."""

    def put(rows: Rows) -> None:
        rows.accounts(["over", "there"])
        for name in ("over", "there"):
            rows.put(Budget(name, 10, held=3))
            rows.put_warning(LimitWarning(f"of {name}", name, "{}", 1, 0))
            rows.put(Slice(f"open in {name}", name, "place", "run-9", 3, 1))
        for n, run in enumerate(("run-8", "run-9", "run-8")):
            one = Slice(f"closed {n}", "there", "place", run, 3, 1, state=SliceState.CLOSED)
            rows.put(replace(one, closed_ns=n + 1))

    def left(rows: Rows) -> list[str]:
        names = [f"closed {n}" for n in range(3)]
        return sorted(rows.slices([*names, "open in over", "open in there"]))

    first.transact(put)
    ids = second.transact(lambda rows: list(rows.budget_ids("", 10_000)))
    assert ids == sorted(ids)
    assert {"over", "there"} <= set(ids)
    after = ids[ids.index("over") - 1] if ids.index("over") else ""
    assert second.transact(lambda rows: list(rows.budget_ids(after, 1))) == ["over"]

    def remove(rows: Rows) -> None:
        rows.accounts(["over"])
        rows.remove_account("over")

    second.transact(remove)
    assert set(first.transact(lambda rows: rows.accounts(["over", "there"]))) == {"there"}
    assert set(first.transact(lambda rows: rows.warnings(["of over", "of there"]))) == {"of there"}
    assert first.transact(left) == ["closed 0", "closed 1", "closed 2", "open in there"]
    first.transact(lambda rows: rows.remove_closed("run-9", 3, 10))
    assert second.transact(left) == ["closed 0", "closed 2", "open in there"]
    first.transact(lambda rows: rows.remove_closed(None, 3, 10))
    assert second.transact(left) == ["closed 2", "open in there"]
    first.transact(lambda rows: rows.remove_closed(None, 10**18, 0))
    assert second.transact(left) == ["closed 2", "open in there"], "none at most is none"

    def end(rows: Rows) -> None:
        rows.accounts(["there"])
        rows.remove_account("there")

    first.transact(end)
    assert second.transact(left) == []


def _check_like_the_ledger_in_memory(stores: list[LimitsStore]) -> None:
    """Random changes leave what they leave in memory, and are answered in the same way."""
    chance = random.Random(7)  # noqa: S311 no secret
    clock = _Followed()
    memory = MemoryLimits(MemoryLedger(clock.now_ns))
    granted: list[tuple[str, str, int]] = []
    for number in range(400):
        store = stores[number % _RUNS]
        owner = Gateway(f"run{number % _RUNS}", "place", "boot", 0)
        deed = chance.randrange(4)
        change: Callable[[Rows], object]
        if deed == 0 or not granted:
            least = chance.randrange(1, 50) * 10**18
            wants = [
                Want(f"b{n}", 10**21, 1, 0, n == 1, f"{number}-{n}", least, 4 * least)
                for n in range(2)
            ]

            def work(
                rows: Rows, owner: Gateway = owner, wants: list[Want] = wants
            ) -> tuple[Grant, ...]:
                return draw(rows, owner, wants)

            grants = store.transact(clock.noting(work))
            assert grants == memory.transact(work)
            if all(grant.granted for grant in grants):
                granted += [(f"{number}-{n}", f"b{n}", least) for n in range(2)]
            continue
        slice_id, budget, least = granted[chance.randrange(len(granted))]
        if deed == 1:
            end = Settlement(slice_id, budget, least, chance.randrange(least))
            change = partial(settle, owner=owner, settlement=end)
        elif deed == 2:
            change = partial(forfeit, budget_id=budget, slice_id=slice_id)
        else:
            change = partial(shrink, budget_id=budget, slice_id=slice_id, granted=least)
        assert store.transact(clock.noting(change)) == memory.transact(change)
        kept = _budgets(store)
        assert kept == _budgets(memory)
        assert all(one.free >= 0 for one in kept)


class _Followed:
    """The clock of a store, as it was in its last transaction: another that follows it sees no delay."""

    def __init__(self) -> None:
        self._now_ns = 0

    def now_ns(self) -> int:
        """Return the time of that transaction."""
        return self._now_ns

    def noting(self, work: Callable[[Rows], T]) -> Callable[[Rows], T]:
        """Return `work` with a note of the time."""

        def noted(rows: Rows) -> T:
            self._now_ns = rows.now_ns()
            return work(rows)

        return noted


def _budgets(store: LimitsStore) -> list[Budget]:
    """Return the budgets of the random changes, but for the moments of recalls, by each store's clock."""
    found = store.transact(lambda rows: rows.accounts(["b0", "b1"])).values()
    return [replace(one, recalled_ns=0) for one in found if isinstance(one, Budget)]
