"""The conformance suite of journal stores finds a store that breaks a promise."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import pytest

from inferworks.errors import RecordError
from inferworks.meter.capacity import Step
from inferworks.meter.record import Record
from inferworks.meter.stores.stub import MemoryReads, MemoryStore
from inferworks.meter.usage import Usage
from inferworks.testing.stores import check_journal_store


class Forgets(MemoryStore):
    """Keeps no steps."""

    def write(self, records: Sequence[Record]) -> None:
        """Keep the others."""
        super().write([one for one in records if not isinstance(one, Step)])


class KeepsParts(MemoryStore):
    """Keeps what came before the record at fault."""

    def write(self, records: Sequence[Record]) -> None:
        """Write each record by itself."""
        for record in records:
            super().write([record])


class Hushes(MemoryStore):
    """Refuses nothing aloud."""

    def write(self, records: Sequence[Record]) -> None:
        """Swallow the refusal."""
        with suppress(RecordError):
            super().write(records)


class NeverSettles(MemoryStore):
    """Has always something to settle."""

    def settle(self) -> bool:
        """Ask for another settling."""
        return True


class TakesNothingBack(MemoryStore):
    """Keeps what is in doubt."""

    def resume(self, doubtful: Sequence[Usage]) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Forgets, "a step must come back as it was written"),
        (KeepsParts, "a refused write must leave nothing behind"),
        (Hushes, "a second usage of a call must be refused with RecordError"),
        (NeverSettles, "with nothing open there is nothing left to settle"),
        (TakesNothingBack, "what is in doubt is taken back, and nothing else is"),
    ],
)
def test_a_store_that_writes_wrongly_is_found(kind: type[MemoryStore], words: str) -> None:
    """The assertion says the promise, and the store is closed whatever it did."""
    closed: list[bool] = []

    class Counted(kind):  # type: ignore[valid-type, misc]
        """The store, whose closing is counted."""

        def close(self) -> None:
            """Count it."""
            closed.append(True)

    with pytest.raises(AssertionError, match=words):
        check_journal_store(Counted())
    assert closed == [True]


@pytest.mark.parametrize(
    ("read", "instead", "words"),
    [
        ("checkpoint", None, "the newest checkpoint counts"),
        ("cursor", None, "the newest cursor counts"),
        ("covered_ns", 0, "of all its spools the one that reaches furthest counts"),
        ("opened_unclosed", (), "a call without a usage is open"),
        ("quarantined", (), "what is quarantined must come back"),
        ("known_activities", {}, "activities are known by"),
    ],
)
def test_a_store_that_reads_wrongly_is_found(
    monkeypatch: pytest.MonkeyPatch, read: str, instead: object, words: str
) -> None:
    """One read that finds nothing is enough."""
    monkeypatch.setattr(MemoryReads, read, lambda *_: instead)
    with pytest.raises(AssertionError, match=words):
        check_journal_store(MemoryStore())


def test_a_store_is_tested_empty() -> None:
    """One that passed holds records, and is refused the second time."""
    store = MemoryStore()
    check_journal_store(store)
    with pytest.raises(RecordError, match="is there already"):
        check_journal_store(store)
