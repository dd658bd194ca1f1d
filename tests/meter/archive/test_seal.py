"""Archiving: a row is in one place only, files are named by their content, another lake is refused."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
from msgspec.structs import replace

from inferworks.errors import LakeError
from inferworks.meter.archive.journal import SealingJournal, Seals
from inferworks.meter.archive.manifest import (
    Head,
    Manifest,
    Replaced,
    Segment,
    add_segments,
    read_manifest,
)
from inferworks.meter.archive.schema import DAY_NS, LAKE_TABLES, batch_of
from inferworks.meter.archive.seal import (
    Sealed,
    check_journal,
    check_lake,
    day_text,
    key_at,
    keys_of,
    make_segment,
    read_segment,
    read_sums,
    seal,
    segment_name,
    settle,
    sum_up,
    unsettled,
)
from inferworks.meter.lakes.local import Files, LocalLake
from inferworks.meter.lakes.stub import MemoryLake
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.testing.facts import make_activity, make_capacity, make_step, make_usage

USAGE = LAKE_TABLES["usage"]


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An open journal."""
    with closing(SqliteStore(tmp_path / "journal.db")) as store:
        store.open()
        yield store


@pytest.fixture(name="journal")
def _journal(store: SqliteStore, tmp_path: Path) -> Iterator[SealingJournal]:
    """The same for archiving."""
    with SealingJournal(tmp_path / "journal.db") as journal:
        yield journal


def calls(store: SqliteStore, *opened_ns: int) -> None:
    """Write calls that were opened at these moments, named by them."""
    store.write([make_usage(call_id=f"at-{at_ns}", opened_ns=at_ns) for at_ns in opened_ns])


def left(store: SqliteStore) -> list[str]:
    """The calls that are still in the journal."""
    with store.reads() as reader:
        return [usage.call_id for usage in reader.usages(0, 2**62)]


def a_segment(name: str, journal: str = "own") -> Segment:
    """An entry of the manifest."""
    return Segment(name, "usage", "1970-01-01", 1, 9, "0" * 64, 0, 1, ("a",), ("a",), journal)


@pytest.mark.parametrize(
    ("moment_ns", "text"),
    [(0, "1970-01-01"), (DAY_NS - 1, "1970-01-01"), (DAY_NS, "1970-01-02"), (-1, "1969-12-31")],
)
def test_a_day_is_a_utc_day(moment_ns: int, text: str) -> None:
    """To the nanosecond; also before 1970."""
    assert day_text(moment_ns) == text


def test_the_name_of_a_segment_is_made_of_its_content() -> None:
    """In the folder of its table and day, as engines read it."""
    digest = "0123456789abcdef" * 4
    assert segment_name("usage", "2026-11-21", digest) == (
        "usage/day=2026-11-21/0123456789abcdef0123456789abcdef.parquet"
    )


def test_nothing_due_is_no_segment(journal: SealingJournal) -> None:
    """And no commit; the journal is as it was."""
    lake = MemoryLake()
    assert seal(journal, lake, 2 * DAY_NS) == Sealed()
    assert (Sealed().rows, Sealed().bytes, lake.objects) == (0, 0, {})
    assert make_segment(USAGE, 0, iter(()), "own") is None


def test_each_table_and_day_is_a_segment(store: SqliteStore, journal: SealingJournal) -> None:
    """With all that its entry says of its rows; the journal holds none of them any more."""
    calls(store, 7, 5, DAY_NS + 5, 2 * DAY_NS)
    store.write([
        make_step(start_ns=5, duration_ns=2),
        make_capacity(start_ns=5, end_ns=9),
        make_activity(start_ns=5, end_ns=9),
    ])  # fmt: skip
    lake = MemoryLake()
    sealed = seal(journal, lake, 2 * DAY_NS)
    assert sealed.segments == read_manifest(lake).segments
    assert sorted((one.table, one.day, one.rows) for one in sealed.segments) == [
        ("activity", "1970-01-01", 1),
        ("capacity", "1970-01-01", 1),
        ("step", "1970-01-01", 1),
        ("usage", "1970-01-01", 2),
        ("usage", "1970-01-02", 1),
    ]
    first = next(one for one in sealed.segments if (one.table, one.rows) == ("usage", 2))
    assert (first.first_key, first.last_key) == (("at-5",), ("at-7",))
    assert (first.start_ns, first.journal) == (5, journal.seals().journal)
    data = lake.objects[first.name]
    assert (first.bytes, first.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert sealed.rows == 6
    assert sealed.bytes == sum(len(lake.objects[one.name]) for one in sealed.segments)
    assert left(store) == [f"at-{2 * DAY_NS}"]
    assert journal.seals().segments == {one.name for one in sealed.segments}
    assert seal(journal, lake, 2 * DAY_NS) == Sealed()


def test_a_day_that_is_not_over_waits_for_enough_rows(
    store: SqliteStore, journal: SealingJournal
) -> None:
    """Three are wanted: two wait, though a day that is over does not."""
    lake = MemoryLake()
    calls(store, 5, DAY_NS + 1, DAY_NS + 2)
    bound_ns = DAY_NS + 10
    assert [one.day for one in seal(journal, lake, bound_ns, least_rows=3).segments] == [
        "1970-01-01"
    ]
    calls(store, DAY_NS + 3)
    assert seal(journal, lake, bound_ns, least_rows=3).rows == 3
    assert left(store) == []


def test_a_large_day_is_several_segments(store: SqliteStore, journal: SealingJournal) -> None:
    """No more rows in a file than are allowed; each row in one of them."""
    calls(store, *range(5))
    lake = MemoryLake()
    sealed = seal(journal, lake, DAY_NS, segment_rows=2)
    assert sorted(one.rows for one in sealed.segments) == [1, 2, 2]
    keys = [key for one in sealed.segments for key in keys_of(lake, one)]
    assert sorted(keys) == [(f"at-{n}",) for n in range(5)]
    assert left(store) == []


def test_late_rows_of_a_day_are_another_segment(
    store: SqliteStore, journal: SealingJournal
) -> None:
    """The first one is never written again."""
    lake = MemoryLake()
    calls(store, 5)
    first = seal(journal, lake, DAY_NS)
    calls(store, 6)
    second = seal(journal, lake, DAY_NS)
    assert read_manifest(lake).segments == (*first.segments, *second.segments)
    assert [one.first_key for one in second.segments] == [("at-6",)]


def test_stopped_at_once_nothing_is_archived(store: SqliteStore, journal: SealingJournal) -> None:
    """The rest is for the next run, which archives all of it."""
    calls(store, 5)
    lake = MemoryLake()
    assert seal(journal, lake, DAY_NS, stopped=lambda: True) == Sealed()
    assert (left(store), lake.objects) == (["at-5"], {})
    assert seal(journal, lake, DAY_NS).rows == 1


def test_stopped_at_any_question_every_row_is_in_one_place(
    store: SqliteStore, journal: SealingJournal
) -> None:
    """Rows that a commit names leave with the next run, and none is archived twice."""
    calls(store, 5, DAY_NS)
    lake = MemoryLake()
    for most in count():
        asked = iter(range(most))
        seal(journal, lake, 2 * DAY_NS, stopped=lambda asked=asked: next(asked, None) is None)
        segments = read_manifest(lake).segments
        assert sum(one.rows for one in segments) in (0, 1, 2)
        if most > 3 and not left(store):
            break
    keys = [key for one in segments for key in keys_of(lake, one)]
    assert sorted(keys) == [("at-5",), (f"at-{DAY_NS}",)]


def test_rows_that_a_commit_names_leave_the_journal(
    store: SqliteStore, journal: SealingJournal
) -> None:
    """A run that died after its commit: the next one takes them out, and writes nothing."""
    calls(store, 5, 6)
    lake = MemoryLake()
    facts = iter([make_usage(call_id="at-5", opened_ns=5)])
    made = make_segment(USAGE, 0, facts, journal.seals().journal)
    assert made is not None
    segment, data = made
    lake.put(segment.name, data)
    assert add_segments(lake, Manifest(), [segment])
    settle(journal, lake, read_manifest(lake))
    assert left(store) == ["at-6"]
    assert journal.seals().segments == {segment.name}
    assert journal.seals().head == read_manifest(lake).head


def test_rows_stay_while_the_commit_that_names_them_is_not_durable(
    store: SqliteStore, journal: SealingJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose disk failed as the commit got its name: the next makes it durable, or keeps the rows."""
    calls(store, 5)
    files = Files()
    sync = files.sync_folder

    def refuse(folder: Path) -> None:
        if folder.name == "manifest":
            raise OSError(errno.EIO, "Input/output error")
        sync(folder)

    monkeypatch.setattr(files, "sync_folder", refuse)
    lake, before = LocalLake(tmp_path / "lake", files), journal.seals()
    for _ in range(2):
        with pytest.raises(LakeError, match="Input/output error"):
            seal(journal, lake, DAY_NS)
        assert read_manifest(lake).version == 1
        assert (left(store), journal.seals()) == (["at-5"], before)
    monkeypatch.undo()
    seal(journal, lake, DAY_NS)
    assert left(store) == []


def test_segments_of_another_journal_are_left_alone(
    store: SqliteStore, journal: SealingJournal
) -> None:
    """A call of the same name in another journal is another row."""
    calls(store, 5)
    lake = MemoryLake()
    made = make_segment(USAGE, 0, iter([make_usage(call_id="at-5", opened_ns=5)]), "another")
    assert made is not None
    lake.put(made[0].name, made[1])
    add_segments(lake, Manifest(), [made[0]])
    settle(journal, lake, read_manifest(lake))
    assert left(store) == ["at-5"]


def test_the_same_rows_give_the_same_segment() -> None:
    """From any journal; other rows give another name."""
    usages = [make_usage(call_id=name, opened_ns=5) for name in ("a", "b")]
    one, other = (make_segment(USAGE, 0, iter(usages), name) for name in ("x", "y"))
    assert one is not None
    assert other is not None
    assert one[1] == other[1]
    assert replace(one[0], journal="y") == other[0]
    less = make_segment(USAGE, 0, iter(usages[:1]), "x")
    assert less is not None
    assert less[0].name != one[0].name


def test_keys_are_those_of_the_table() -> None:
    """The first and the last row by their places."""
    batch = batch_of(LAKE_TABLES["step"], [make_step(seq=n, start_ns=5 + n) for n in (1, 2)])
    assert key_at(LAKE_TABLES["step"], batch, 0) == ("replica-1", 6, 1)
    assert key_at(LAKE_TABLES["step"], batch, -1) == ("replica-1", 7, 2)


def test_a_segment_is_settled_once_the_journal_is_done_with_it() -> None:
    """Or with all that it replaced; segments of other journals are none of its concern."""
    a, b, c, other = (a_segment("a"), a_segment("b"), a_segment("c"), a_segment("o", "another"))
    manifest = Manifest(1, (a, b, c, other))
    assert unsettled(Seals("own", frozenset()), manifest) == [a, b, c]
    assert unsettled(Seals("own", frozenset({"a", "c"})), manifest) == [b]
    replaced = (Replaced(("a", "b"), ("ab",), (), 1), Replaced(("ab", "c"), ("abc",), (), 2))
    compacted = Manifest(3, (a_segment("abc"),), replaced=replaced)
    assert unsettled(Seals("own", frozenset({"a", "b", "c"})), compacted) == []
    assert [one.name for one in unsettled(Seals("own", frozenset({"a", "b"})), compacted)] == [
        "abc"
    ]


def test_the_lake_of_the_journal_is_accepted() -> None:
    """Also one that has grown since, one whose segments were replaced, and an empty one at first."""
    grown = Manifest(5, (a_segment("a"), a_segment("b")), {5: "five", 4: "four"})
    check_lake(Seals("own", frozenset({"a"}), Head(4, "four")), grown, "memory://")
    check_lake(Seals("own", frozenset({"a"}), Head(2, "two")), grown, "memory://")
    replaced = Manifest(2, (), {}, replaced=(Replaced(("a",), ("x",), (), 1),))
    check_lake(Seals("own", frozenset({"a"}), Head(1, "one")), replaced, "memory://")
    check_lake(Seals("own", frozenset()), Manifest(), "memory://")


@pytest.mark.parametrize(
    ("seals", "text"),
    [
        (
            Seals("own", frozenset({"y", "x", "a"})),
            (
                "the lake memory:// lacks 2 segments that this journal was sealed into, for example x; set "
                "lake.url to where they are, or restore the lake from a backup"
            ),
        ),
        (
            Seals("own", frozenset({"a"}), Head(3, "three")),
            (
                "the lake memory:// ends with commit 2, though this journal has seen its commit 3: it was "
                "put back from an older copy; restore a newer one"
            ),
        ),
        (
            Seals("own", frozenset({"a"}), Head(2, "another")),
            (
                "manifest/00000002.json: is not the commit that this journal has seen in the lake "
                "memory://; restore it from a backup"
            ),
        ),
    ],
    ids=["another", "older", "of another history"],
)
def test_a_lake_that_is_not_the_journals_is_refused(seals: Seals, text: str) -> None:
    """Nothing leaves a journal into a lake that lacks what it had."""
    with pytest.raises(LakeError) as refused:
        check_lake(seals, Manifest(2, (a_segment("a"),), {2: "two"}), "memory://")
    assert str(refused.value) == text


def test_a_journal_that_is_gone_beside_its_lake_is_refused(tmp_path: Path) -> None:
    """Missing or empty; without a lake, or where no gateway ever ran, it was simply never written."""
    lake, path = MemoryLake(), tmp_path / "journal.db"
    check_journal(path, lake)
    add_segments(lake, Manifest(), [a_segment("a")])
    check_journal(path, lake)  # the rows are of other nodes
    beside = LocalLake(tmp_path / "lake")
    add_segments(beside, Manifest(), [a_segment("a")])
    with pytest.raises(LakeError, match="is gone"):
        check_journal(path, beside)
    (tmp_path / "instance.json").touch()
    for _ in range(2):
        with pytest.raises(
            LakeError, match=rf"the journal {path} is gone, though the lake memory://"
        ):
            check_journal(path, lake)
        path.touch()
    path.write_bytes(b"x")
    check_journal(path, lake)


def test_a_file_of_other_bytes_is_not_read(store: SqliteStore, journal: SealingJournal) -> None:
    """Missing, cut short or changed; each kind of file has its own remedy."""
    calls(store, 5)
    lake = MemoryLake()
    [segment] = seal(journal, lake, DAY_NS).segments
    sums = read_manifest(lake).sums[0]
    assert read_segment(lake, segment).metadata.num_rows == 1
    assert read_sums(lake, sums).metadata.num_rows == sums.rows
    whole = lake.objects[segment.name]
    for damaged in (whole[:-1], whole[:-1] + b"?", b""):
        lake.objects[segment.name] = damaged
        with pytest.raises(LakeError, match=r"; restore it from a backup$") as refused:
            read_segment(lake, segment)
        assert str(refused.value).startswith(f"{segment.name}: {len(damaged)} bytes with SHA-256 ")
    lake.objects[sums.name] = b""
    with pytest.raises(LakeError, match=r"; make sums anew with: inferworks lake sums --anew$"):
        read_sums(lake, sums)
    del lake.objects[segment.name]
    with pytest.raises(LakeError, match="is missing from the lake"):
        read_segment(lake, segment)


def test_a_damaged_file_never_empties_the_journal(
    store: SqliteStore, journal: SealingJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows leave only once their file was read back whole."""
    calls(store, 5)
    lake = MemoryLake()
    put = lake.put
    monkeypatch.setattr(lake, "put", lambda name, data: put(name, data[:-1]))
    with pytest.raises(LakeError, match="restore it from a backup"):
        seal(journal, lake, DAY_NS)
    assert left(store) == ["at-5"]


def test_missing_sums_are_made_once(store: SqliteStore, journal: SealingJournal) -> None:
    """Progress is told of each segment that lacks some; all are made anew when asked for."""
    calls(store, 5, DAY_NS)
    store.write([make_step(start_ns=5, duration_ns=2), make_capacity(start_ns=5, end_ns=9)])
    lake, bare = MemoryLake(), MemoryLake()
    segments = seal(journal, lake, 2 * DAY_NS).segments
    assert sum_up(lake) == []
    bare.objects = {one.name: lake.objects[one.name] for one in segments}
    add_segments(bare, Manifest(), segments)
    seen: list[tuple[str, int, int]] = []
    made = sum_up(bare, progress=lambda segment, done, of: seen.append((segment.table, done, of)))
    assert sorted((one.kind, one.rows) for one in made) == [
        ("attempts", 1), ("attempts", 1), ("calls", 1), ("calls", 1), ("intervals", 1),
    ]  # fmt: skip
    assert sorted(seen, key=lambda one: one[1]) == seen
    assert {(done, of) for _, done, of in seen} == {(0, 3), (1, 3), (2, 3)}
    assert set(read_manifest(bare).sums) == set(read_manifest(lake).sums)
    assert sum_up(bare) == []
    assert set(sum_up(bare, anew=True)) == set(made)


def test_sums_are_made_until_stopped(store: SqliteStore, journal: SealingJournal) -> None:
    """Sums made until then are committed, and the rest is for the next run."""
    calls(store, 5, DAY_NS)
    lake, bare = MemoryLake(), MemoryLake()
    segments = seal(journal, lake, 2 * DAY_NS).segments
    bare.objects = {one.name: lake.objects[one.name] for one in segments}
    add_segments(bare, Manifest(), segments)
    assert sum_up(bare, stopped=lambda: True) == []
    asked = iter([False, True])
    assert len(sum_up(bare, stopped=lambda: next(asked))) == 2
    assert len(read_manifest(bare).sums) == 2
    assert len(sum_up(bare)) == 2
