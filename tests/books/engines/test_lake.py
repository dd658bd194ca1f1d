"""The meter's facts as tables: those of a span that are in force, each with whom it counts for."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from inferworks.accounts.directory import Directory, Merge
from inferworks.books.calendar.span import Span
from inferworks.books.engines.duckdb import DuckEngine
from inferworks.books.engines.lake import NOBODY_APART, Apart, DaySums, Lake, lake_of
from inferworks.errors import BooksError
from inferworks.ids import CustomerId
from inferworks.meter.archive.schema import DAY_NS, LAKE_TABLES, Fact, batch_of
from inferworks.meter.archive.sums import KINDS
from inferworks.meter.events import reported_call_id
from inferworks.meter.facts import NO_FACTS, Facts
from inferworks.meter.record import Retracted
from inferworks.testing.facts import (
    make_activity,
    make_capacity,
    make_leg,
    make_step,
    make_usage,
)

pytestmark = pytest.mark.slow

ACME, BURNS = CustomerId("acme"), CustomerId("burns")


def a_file(folder: Path, table: str, name: str, *facts: Fact) -> str:
    """A Parquet file of these facts."""
    path = folder / f"{table}-{name}.parquet"
    pq.write_table(pa.Table.from_batches([batch_of(LAKE_TABLES[table], facts)]), path)
    return str(path)


def a_call(name: str, at_ns: int, **more: object) -> Fact:
    """A call that an own replica served."""
    return make_usage(call_id=name, opened_ns=at_ns, **more)


def facts(*usages: object, activities: tuple = (), retracted: tuple = ()) -> Facts:
    """Facts in memory."""
    return Facts(tuple(usages), (), (), activities, retracted)  # type: ignore[arg-type]


def calls(lake: Lake) -> list[tuple[str, str]]:
    """The call and the customer of each row."""
    rows = lake.engine.fetch(lake.usage.select("call_id", "customer")).to_pylist()
    return sorted((row["call_id"], row["customer"]) for row in rows)


def test_a_lake_without_facts_has_empty_tables(duck: DuckEngine) -> None:
    """With all their columns, and an empty span."""
    lake = lake_of(duck, {})
    for name in LAKE_TABLES.keys() - {"retracted"}:
        rows = duck.fetch(getattr(lake, name))
        assert (rows.num_rows, rows.schema.names) == (0, LAKE_TABLES[name].schema.names)
    assert lake.whole_span() == Span(0, 0)
    assert lake.bought() == ()


def test_files_and_facts_in_memory_are_one_table(duck: DuckEngine, tmp_path: Path) -> None:
    """In any number of files."""
    paths = [a_file(tmp_path, "usage", name, a_call(name, 5)) for name in ("a", "b")]
    lake = lake_of(duck, {"usage": iter(paths)}, facts(a_call("c", 5)))
    assert calls(lake) == [("a", "acme"), ("b", "acme"), ("c", "acme")]
    assert calls(lake_of(duck, {"usage": paths})) == [("a", "acme"), ("b", "acme")]


def test_a_span_holds_calls_opened_in_it_and_all_else_that_overlaps(duck: DuckEngine) -> None:
    """As a journal gives them: from 100 up to 200."""
    spans = [(90, 100), (90, 101), (199, 300), (200, 300), (100, 100)]
    recent = Facts(
        tuple(make_usage(call_id=f"{at}", opened_ns=at) for at in (99, 100, 199, 200)),
        tuple(
            make_step(replica=f"{n}", start_ns=s, duration_ns=e - s)
            for n, (s, e) in enumerate(spans)
        ),
        tuple(
            make_capacity(replica=f"{n}", start_ns=s, end_ns=e) for n, (s, e) in enumerate(spans)
        ),
        tuple(make_activity(id_=f"{n}", start_ns=s, end_ns=e) for n, (s, e) in enumerate(spans)),
    )
    lake = lake_of(duck, {}, recent).within(100, 200)
    assert [name for name, _ in calls(lake)] == ["100", "199"]
    for table, key in ((lake.step, "replica"), (lake.capacity, "replica"), (lake.activity, "id")):
        assert sorted(duck.fetch(table)[key].to_pylist()) == ["1", "2", "4"]


def test_the_whole_span_is_that_of_calls_intervals_and_activities(duck: DuckEngine) -> None:
    """A call ends when it was closed, and lasts a nanosecond at least; steps are within intervals."""
    call = make_usage(opened_ns=50)
    lake = lake_of(duck, {}, facts(call))
    assert lake.whole_span() == Span(50, call.closed_ns)
    recent = Facts((call,), (), (make_capacity(start_ns=40, end_ns=60),), ())
    assert lake_of(duck, {}, recent).whole_span() == Span(40, call.closed_ns)
    busy = make_activity(start_ns=60, end_ns=2 * call.closed_ns)
    assert lake_of(duck, {}, facts(activities=(busy,))).whole_span() == Span(60, busy.end_ns)


def test_retracted_reports_are_left_out(duck: DuckEngine, tmp_path: Path) -> None:
    """Wherever they lie; others of the source stay."""
    one, two = (a_call(reported_call_id("partner", name), 5) for name in ("one", "two"))
    gone = Retracted("partner", "one", 5, 6, 7, "ann", "twice")
    lost = Retracted("trainer", "run-1", 5, 6, 7, "ann", "twice")
    runs = (make_activity(id_="run-1"), make_activity(id_="run-2"))
    recent = facts(two, activities=runs, retracted=(gone, lost))
    lake = lake_of(duck, {"usage": [a_file(tmp_path, "usage", "a", one)]}, recent)
    assert [name for name, _ in calls(lake)] == ["partner/two"]
    assert duck.fetch(lake.activity)["id"].to_pylist() == ["run-2"]


def test_facts_count_for_whom_their_customers_were_merged_with(duck: DuckEngine) -> None:
    """From the moment of the merger on: by when a call was opened and an activity began."""
    merged = Directory((Merge(BURNS, 10, ACME),))
    recent = facts(
        make_usage(call_id="before", opened_ns=9, customer=BURNS),
        make_usage(call_id="after", opened_ns=10, customer=BURNS),
        make_usage(call_id="other", opened_ns=10, customer="corvid"),
        activities=tuple(
            make_activity(id_=f"{at}", start_ns=at, end_ns=at + 9, customer=BURNS) for at in (9, 10)
        ),
    )
    lake = lake_of(duck, {}, recent).counted(merged)
    assert calls(lake) == [("after", "acme"), ("before", "burns"), ("other", "corvid")]
    rows = duck.fetch(lake.activity.select("id", "customer").order_by("id")).to_pylist()
    assert [row["customer"] for row in rows] == ["acme", "burns"]


def test_calls_bought_are_those_of_which_another_served_an_attempt(duck: DuckEngine) -> None:
    """In the order in which they were opened, whole."""
    bought, own = make_leg(replica=None), make_leg()
    usages = [
        make_usage(call_id="own", opened_ns=1, legs=[own]),
        make_usage(call_id="late", opened_ns=9, legs=[own, bought]),
        make_usage(call_id="early", opened_ns=5, legs=[bought]),
        make_usage(call_id="none", opened_ns=5, legs=[]),
    ]
    found = lake_of(duck, {}, facts(*usages)).bought()
    assert found == (usages[2], usages[1])


class Summed:
    """Files of calls of two days, each with sums of its calls."""

    def __init__(self, folder: Path) -> None:
        self.files: list[str] = []
        self.sums: list[DaySums] = []
        for day in (0, 1):
            usages = [
                make_usage(call_id=f"{day}-{n}", opened_ns=day * DAY_NS + n, customer=customer)
                for n, customer in enumerate((ACME, BURNS))
            ]
            path = a_file(folder, "usage", f"{day}", *usages)
            beside = folder / f"sums-{day}.parquet"
            pq.write_table(KINDS["calls"].sums_of(pq.ParquetFile(path), day), beside)
            self.files.append(path)
            self.sums.append(DaySums(path, "calls", day, str(beside)))

    def lake(self, duck: DuckEngine, recent: Facts = NO_FACTS) -> Lake:
        """The lake of both."""
        return lake_of(duck, {"usage": self.files}, recent, self.sums)


def by_day(lake: Lake, edges_ns: list[int], apart: Apart = NOBODY_APART) -> tuple[list, list]:
    """The days and customers of the sums, and the calls that are not summed."""
    found = lake.by_day("calls", edges_ns, apart)
    sums, rows = (
        [] if part is None else lake.engine.fetch(part).to_pylist()
        for part in (found.sums, found.rows)
    )
    return (
        sorted((row["utc_day"], row["customer"]) for row in sums),
        sorted(row["call_id"] for row in rows),
    )


BOTH = [(0, "acme"), (0, "burns"), (1, "acme"), (1, "burns")]


def test_sums_stand_in_for_rows_where_no_edge_lies_within_their_day(
    duck: DuckEngine, tmp_path: Path
) -> None:
    """At a midnight an edge cuts nothing; within a day it has that day read by its rows."""
    lake = Summed(tmp_path).lake(duck)
    assert by_day(lake, []) == (BOTH, [])
    assert by_day(lake, [0, DAY_NS, 5 * DAY_NS]) == (BOTH, [])
    assert by_day(lake, [DAY_NS + 1]) == (BOTH[:2], ["1-0", "1-1"])
    assert by_day(lake, [1, DAY_NS + 1]) == ([], ["0-0", "0-1", "1-0", "1-1"])
    assert by_day(lake.within(0, DAY_NS), []) == (BOTH[:2], [])


def test_facts_in_memory_stand_beside_sums(duck: DuckEngine, tmp_path: Path) -> None:
    """And a day on which something was taken back is read by its rows."""
    summed = Summed(tmp_path)
    assert by_day(summed.lake(duck, facts(a_call("recent", 5))), []) == (BOTH, ["recent"])
    gone = Retracted("partner", "x", DAY_NS + 7, DAY_NS + 8, 9, "ann", "twice")
    assert by_day(summed.lake(duck, facts(retracted=(gone,))), []) == (BOTH[:2], ["1-0", "1-1"])


def test_calls_apart_are_not_summed(duck: DuckEngine, tmp_path: Path) -> None:
    """Of a customer on a day; the others of the day are."""
    lake = Summed(tmp_path).lake(duck)
    apart = Apart([BURNS], [0])
    assert by_day(lake, [], apart) == ([(0, "acme"), *BOTH[2:]], ["0-1"])
    assert by_day(lake, [1], apart) == (BOTH[2:], ["0-0", "0-1"])


def test_a_merger_within_a_day_has_it_read_by_its_rows(duck: DuckEngine, tmp_path: Path) -> None:
    """At a midnight the sums count for whoever their customer is from then on."""
    lake = Summed(tmp_path).lake(duck)
    at_midnight = lake.counted(Directory((Merge(BURNS, DAY_NS, ACME),)))
    assert by_day(at_midnight, []) == ([*BOTH[:2], (1, "acme"), (1, "acme")], [])
    within = lake.counted(Directory((Merge(BURNS, DAY_NS + 1, ACME),)))
    assert by_day(within, []) == (BOTH[:2], ["1-0", "1-1"])


def test_a_file_that_cannot_be_read_is_an_error_of_the_books(
    duck: DuckEngine, tmp_path: Path
) -> None:
    """Once its table is asked for."""
    path = tmp_path / "usage.parquet"
    path.write_bytes(b"no Parquet")
    lake = lake_of(duck, {"usage": [str(path)]})
    assert duck.fetch(lake.capacity).num_rows == 0
    with pytest.raises(BooksError, match="the books' DuckDB query failed"):
        duck.fetch(lake.usage)
