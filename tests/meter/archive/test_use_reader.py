"""Use by a customer: from sums, from rows and from journals, the same as call by call."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest
from tests.support.lake_world import DAY_1_NS, write

from inferworks.ids import CustomerId, KeyId, ProjectId
from inferworks.meter.archive.journal import SealingJournal
from inferworks.meter.archive.schema import DAY_NS
from inferworks.meter.archive.seal import seal
from inferworks.meter.archive.use_reader import TooMuchError, UseReader
from inferworks.meter.events import reported_call_id
from inferworks.meter.lakes.local import LocalLake
from inferworks.meter.record import Retracted
from inferworks.meter.usage import NO_ITEMS, Items, Outcome, Tokens, Usage
from inferworks.meter.used import used_by
from inferworks.purpose import Purpose
from inferworks.testing.facts import make_usage

pytestmark = pytest.mark.slow

ACME, OTHER = CustomerId("acme"), CustomerId("burns'; DROP TABLE usage; --")
HOUR_NS = DAY_NS // 24
DAYS = 4


def a_call(number: int, dice: random.Random) -> Usage:
    """Return a call with random counts, some of them rare."""
    read, thought = dice.randrange(50), dice.randrange(20)
    tokens = Tokens(200 + dice.randrange(10**6), 60 + dice.randrange(10**4), read, thought)
    items = NO_ITEMS
    if dice.random() < 0.3:
        tokens = msgspec.structs.replace(
            tokens,
            cache_write=dice.randrange(30),
            input_audio=dice.randrange(200),
            input_image=dice.randrange(200),
            output_audio=dice.randrange(60),
        )
        items = Items(images=dice.randrange(3), searches=dice.randrange(3))
    name = f"call_{number}"
    if number % 3 == 0:
        name = reported_call_id("gateway-b", str(number))
    usage = make_usage(
        call_id=name,
        opened_ns=DAY_1_NS + dice.randrange(DAYS * DAY_NS),
        customer=dice.choice([ACME, ACME, OTHER]),
        model=dice.choice(["m-1", "m-2"]),
        outcome=dice.choice(list(Outcome)),
        purpose=dice.choice([Purpose.SERVE_PAID, Purpose.TRAIN_INFERENCE]),
        tokens=tokens,
    )
    return msgspec.structs.replace(
        usage,
        items=items,
        project=ProjectId(dice.choice(["default", "web"])),
        key_id=KeyId(dice.choice(["key_1", "key_2"])),
    )


def world(folder: Path, dice: random.Random) -> tuple[UseReader, list[Usage]]:
    """Return a reader of calls, archived or not, with sums or without, and the calls that count."""
    usages = [a_call(number, dice) for number in range(300)]
    lake = LocalLake(folder / "lake")
    paths = [folder / "journal.db", folder / "journal-1.db"]
    reported = [usage for usage in usages if "/" in usage.call_id]
    own = [usage for usage in usages if "/" not in usage.call_id]
    write(paths[0], [*reported, *own[::2]])
    write(paths[1], own[1::2])
    for path in paths:
        for until_ns in sorted(dice.randrange(DAYS * DAY_NS) for _ in range(2)):
            with SealingJournal(path) as journal:
                seal(journal, lake, DAY_1_NS + until_ns, segment_rows=dice.choice([20, 1000]))
    gone = dice.sample(reported, dice.randrange(3))
    write(paths[0], [
        Retracted("gateway-b", usage.call_id.rpartition("/")[2], usage.opened_ns,
                  usage.opened_ns + 1, DAY_1_NS, "me", "a mistake")
        for usage in gone
    ])  # fmt: skip
    for path in (folder / "lake" / "sums").rglob("*.parquet"):
        if dice.random() < 0.2:
            path.write_bytes(b"damaged")
    return UseReader(lake, *paths), [usage for usage in usages if usage not in gone]


@pytest.mark.parametrize("seed", range(6))
def test_it_is_what_the_calls_come_to(tmp_path: Path, seed: int) -> None:
    """The same, whatever is archived or taken back: by day, by hour, in odd intervals, by key or not."""
    dice = random.Random(seed)
    reader, usages = world(tmp_path, dice)
    odd = sorted({DAY_1_NS + dice.randrange(DAYS * DAY_NS) for _ in range(5)})
    days = [DAY_1_NS + n * DAY_NS for n in range(DAYS + 1)]
    hours = [DAY_1_NS + DAY_NS + n * HOUR_NS for n in range(30)]
    for edges_ns in (odd, days, hours, sorted({*odd, *days})):
        for customer in (ACME, OTHER, CustomerId("nobody")):
            for by_key in (False, True):
                found = reader.used(customer, edges_ns, by_key=by_key, most_rows=10**6)
                assert found == used_by(usages, customer, edges_ns, by_key=by_key)


def test_it_reads_no_more_rows_than_it_may(tmp_path: Path) -> None:
    """Days by model come from sums; for keys, the rows to be read are counted before any is."""
    usages = [
        make_usage(call_id=f"call_{n}", opened_ns=DAY_1_NS + n, customer=ACME) for n in range(50)
    ]
    path, lake = tmp_path / "journal.db", LocalLake(tmp_path / "lake")
    write(path, usages)
    with SealingJournal(path) as journal:
        seal(journal, lake, DAY_1_NS + DAY_NS)
    reader, edges_ns = UseReader(lake, path), [DAY_1_NS, DAY_1_NS + DAY_NS]
    [found] = reader.used(ACME, edges_ns, by_key=False, most_rows=0)
    assert found.calls == 50
    with pytest.raises(TooMuchError, match="50 rows"):
        reader.used(ACME, edges_ns, by_key=True, most_rows=49)
    assert reader.used(OTHER, edges_ns, by_key=True, most_rows=0) == []
    assert len(reader.used(ACME, edges_ns, by_key=True, most_rows=50)) == 1


def test_it_makes_no_more_sums_than_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of the journals, and of archived rows, are bounded alike."""
    monkeypatch.setattr("inferworks.meter.archive.use_reader.MOST_SUMS", 9)
    usages = [
        make_usage(call_id=f"call_{n}", opened_ns=DAY_1_NS + n, customer=ACME, model=f"m-{n}")
        for n in range(10)
    ]
    path, lake = tmp_path / "journal.db", LocalLake(tmp_path / "lake")
    edges_ns = [DAY_1_NS, DAY_1_NS + DAY_NS]
    for until_ns in (0, DAY_1_NS + DAY_NS):
        if not until_ns:
            write(path, usages)
        else:
            with SealingJournal(path) as journal:
                seal(journal, lake, until_ns)
        reader = UseReader(lake, path)
        for by_key in (False, True):
            with pytest.raises(TooMuchError, match="more than 9 sums"):
                reader.used(ACME, edges_ns, by_key=by_key, most_rows=100)
            first = [DAY_1_NS, DAY_1_NS + 9]
            assert len(reader.used(ACME, first, by_key=by_key, most_rows=100)) == 9
