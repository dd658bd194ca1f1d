"""The audit log's chain: each fault is named by its row, and no secret stands in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from inferworks.accounts.audit import (
    EMPTY,
    GENESIS,
    AuditEntry,
    AuditHead,
    Change,
    Event,
    described,
    entry_after,
    parse_head,
    verify,
)
from inferworks.accounts.author import Author
from inferworks.accounts.key import mint
from inferworks.accounts.member import mint_token
from inferworks.errors import UserError
from inferworks.ids import CustomerId, MemberId
from inferworks.testing.facts import A_PEPPER

ANN = Author("ann@host", "command line")


def chain(length: int) -> list[AuditEntry]:
    """A log of `length` rows."""
    rows: list[AuditEntry] = []
    head = EMPTY
    for number in range(length):
        event = Event("keys create", f"key {number}", "acme")
        rows.append(entry_after(head, ANN, number, event, Change(None, {"number": number})))
        head = AuditHead(number + 1, rows[-1].sha256)
    return rows


def head_of(rows: list[AuditEntry]) -> AuditHead:
    """Head as it was written with the last of `rows`."""
    return AuditHead(len(rows), rows[-1].sha256)


def test_a_sound_chain_is_verified() -> None:
    """Every row counts, and an earlier head that was noted is passed through."""
    rows = chain(5)
    assert verify(rows, head_of(rows)) == 5
    assert verify(rows, head_of(rows), head_of(rows[:3])) == 5
    assert verify([], EMPTY) == 0
    assert verify(rows, head_of(rows), EMPTY) == 5


@pytest.mark.parametrize("field", AuditEntry._fields[1:])
def test_a_changed_field_is_found(field: str) -> None:
    """Each column is covered by the hash; the first row that differs is named."""
    rows = chain(5)
    value = getattr(rows[2], field)
    rows[2] = rows[2]._replace(**{field: value + (1 if isinstance(value, int) else "x")})
    with pytest.raises(UserError, match="audit row 3 is not what was written"):
        verify(rows, head_of(rows))


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (lambda rows: rows.pop(2), "audit row 3 is missing: row 4 stands in its place"),
        (lambda rows: rows.pop(0), "audit row 1 is missing"),
        (lambda rows: rows.pop(), "audit row 5 is missing, and 0 after it"),
        (lambda rows: rows.clear(), "audit row 1 is missing, and 4 after it"),
        (lambda rows: rows.insert(1, rows[1]), "audit row 3 is missing: row 2 stands in its place"),
        (lambda rows: rows.reverse(), "audit row 1 is missing: row 5 stands in its place"),
        (
            lambda rows: rows.append(entry_after(head_of(rows), ANN, 9, Event("a", "b"), Change())),
            "audit row 6 is not the one that the head names",
        ),
    ],
)
def test_rows_that_are_missing_or_too_many_are_found(
    tamper: Callable[[list[AuditEntry]], object], words: str
) -> None:
    """A row that was cut out or off, put in or moved."""
    rows = chain(5)
    head = head_of(rows)
    tamper(rows)
    with pytest.raises(UserError, match=words):
        verify(rows, head)


def test_a_chain_written_anew_is_found_by_a_head_that_was_noted() -> None:
    """A forged chain is sound in itself; the head from before names the row at which it differs."""
    noted, forged = head_of(chain(3)), chain(5)
    head, forged[1:] = AuditHead(1, forged[0].sha256), []
    for number in range(1, 5):
        forged.append(entry_after(head, ANN, number, Event("keys create", "forged"), Change()))
        head = AuditHead(number + 1, forged[-1].sha256)
    assert verify(forged, head) == 5
    with pytest.raises(UserError, match="audit row 3 is another than the one whose hash was noted"):
        verify(forged, head, noted)


def test_an_older_file_is_found_by_a_head_that_was_noted() -> None:
    """A log of fewer rows than were noted has lost some."""
    rows = chain(5)
    with pytest.raises(UserError, match="audit row 4 is missing: 5 rows were noted"):
        verify(rows[:3], head_of(rows[:3]), head_of(rows))
    with pytest.raises(UserError, match="of no chain"):
        verify(rows, head_of(rows), AuditHead(0, "1" * 64))


def test_a_head_is_read_as_it_is_printed() -> None:
    """Text that is no head is refused, in one line."""
    head = head_of(chain(2))
    assert parse_head(f" {head}\n") == head
    for text in ("", "5", "x:" + GENESIS, "5:abc", "-1:" + GENESIS, "٥:" + GENESIS):
        with pytest.raises(UserError, match="is no head"):
            parse_head(text)


def test_no_secret_and_no_hash_of_one_is_described() -> None:
    """Hashes by which a key or a token could be found stay out; the rest stands, names in order."""
    key, _ = mint(CustomerId("acme"), 1, pepper=A_PEPPER, name="laptop")
    token, _ = mint_token(MemberId("member_a"), 2)
    assert '"name":"laptop"' in described(key)
    assert '"member":"member_a"' in described(token)
    for text in (described(key), described(token)):
        assert "secret" not in text
    assert described([{"b": b"\1", "a": [b"\2", 1]}]) == '[{"a":[1]}]'
    assert described(None) == ""
