"""Pruning of the ledger: it stays as large as what is in use, over any number of windows."""

from __future__ import annotations

from pathlib import Path

from tests.limits.test_limiter import START_NS, Place, S, limit, lived, money

from inferworks.accounts.limit import Measure, Window
from inferworks.clock import SimClock
from inferworks.limits.ledger import Budget, Rows, Slice, SliceState
from inferworks.limits.limiter import account_id
from inferworks.limits.pruning import KEPT_NS, PIECE, prune
from inferworks.limits.stores.sqlite import SqliteLimits

DAY_S = 86_400


def test_a_year_of_days_leaves_no_more_than_five_weeks_of_them(tmp_path: Path) -> None:
    """Windows, slices and warnings that are over go; what all of the time has used stays, exactly."""
    of = limit(1000, Measure.MONEY, Window.DAY, warn_at=(50,))
    whole = limit(10**6, Measure.MONEY, id="limit_2")
    sizes: list[tuple[int, int, int]] = []

    async def scenario(place: Place, clock: SimClock) -> None:
        for _ in range(365):
            for _ in range(3):
                (await place.hold(money(200), of, whole)).end(money(200))
                await clock.advance(40)
                await place.limiter.beat()
            await clock.advance(DAY_S - 120)
            ledger = place.ledger
            sizes.append((len(ledger.accounts), len(ledger.slices), len(ledger.warnings)))

    place = lived(tmp_path, scenario)
    assert place.budget(whole) == (0, 365 * 600)
    assert max(sizes[:200]) == max(sizes), "it has stopped growing"
    accounts, slices, warnings = (max(column) for column in zip(*sizes, strict=True))
    assert accounts <= 40
    assert warnings <= 40
    assert slices <= 20


def test_a_slice_of_a_dead_run_is_kept_for_its_log(tmp_path: Path) -> None:
    """Its log may come back; one that is not closed is never removed by age."""
    store = SqliteLimits(tmp_path / "limits.db", lambda: START_NS)

    def put(rows: Rows) -> None:
        rows.accounts(["b"])
        rows.put(Budget("b", 10))
        old = Slice("old", "b", "place", "dead", 1, 1, state=SliceState.CLOSED)
        for name, age_ns in (("older", KEPT_NS + S), ("old", KEPT_NS - S)):
            fields = {"id": name, "closed_ns": START_NS - age_ns}
            rows.put(Slice(**({n: getattr(old, n) for n in old.__struct_fields__} | fields)))
        rows.put(Slice("lost", "b", "place", "dead", 1, 1, state=SliceState.FORFEITED))
        prune(rows, "run", "")

    store.transact(put)
    left = store.transact(lambda rows: sorted(rows.slices(["older", "old", "lost"])))
    assert left == ["lost", "old"]
    store.close()


def test_it_goes_on_where_it_ended_piece_by_piece(tmp_path: Path) -> None:
    """A piece looks at so many windows, and the next at those that follow, then from the beginning."""
    store = SqliteLimits(tmp_path / "limits.db", lambda: START_NS)
    day = limit(10, Measure.MONEY, Window.DAY)
    names = [account_id(day, START_NS - n * DAY_S * S) for n in range(1, 1201)]

    def put(rows: Rows) -> None:
        rows.accounts(names)
        for name in names:
            rows.put(Budget(name, 10))

    store.transact(put)
    after, sizes = "", []
    for _ in range(4):
        after = store.transact(lambda rows, after=after: prune(rows, "run", after))  # type: ignore[misc]
        sizes.append(len(store.transact(lambda rows: list(rows.budget_ids("", 10_000)))))
        if not after:
            break
    assert sizes[0] == 1200 - PIECE
    assert sizes[-1] <= 40
    assert after == ""
    store.close()
