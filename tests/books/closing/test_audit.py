"""Audit: what was changed in the inputs, the ledger or the program is found and named."""

from __future__ import annotations

import hashlib
import re
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace
from tests.support.closed_books import DOLLAR, FIRST_PERIOD, SECOND, Recorded, closed

from inferworks.accounts.plan import PricePlan
from inferworks.books.closing.audit import audit, audit_chain
from inferworks.books.closing.close import (
    reopen_period,
    statement_of,
)
from inferworks.books.closing.inputs import sealed_inputs_of
from inferworks.books.closing.ledger import Ledger
from inferworks.books.closing.seal import (
    body_of,
)
from inferworks.ids import CustomerId
from inferworks.meter.usage import Tokens


def change_a_charge(source: Recorded) -> None:
    """An amount, by one picounit."""
    source.charges[0] = replace(source.charges[0], amount_pico=DOLLAR + 1)


def drop_a_charge(source: Recorded) -> None:
    """Remove the charge."""
    source.charges.clear()


def change_a_usage(source: Recorded) -> None:
    """One token more."""
    source.change_usage(0, tokens=Tokens(input=8))


def change_a_step(source: Recorded) -> None:
    """One nanosecond less."""
    source.facts = replace(source.facts, steps=(replace(source.facts.steps[0], duration_ns=49),))


def change_a_plan(source: Recorded) -> None:
    """Another price under the same date."""
    source.plans[0] = PricePlan.per_million(CustomerId("acme"), 0, "USD", "1.000001", "1")


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (
            change_a_charge,
            r"charge chg_\w+ was changed: amount_pico is 1000000000001, sealed as 10+",
        ),
        (drop_a_charge, r"charge chg_\w+ was sealed and is not recorded any more"),
        (change_a_usage, r"call call-0 was changed: tokens.input is 8, sealed as 7"),
        (change_a_step, r"step replica-1/0/0 was changed: duration_ns is 49, sealed as 50"),
        (change_a_plan, r"price plan acme/0 was changed"),
    ],
)
def test_a_changed_input_is_found(
    ledger: Ledger, tamper: Callable[[Recorded], None], words: str
) -> None:
    """The audit names any changed input and its change; nothing of it shows in the open period."""
    source = Recorded()
    closed(ledger, source, FIRST_PERIOD)
    tamper(source)
    [finding] = audit(ledger, source, FIRST_PERIOD)
    assert finding.period == "p0"
    assert re.search(words, finding.text)
    assert statement_of(ledger, source, SECOND).corrections == ()


def unguarded(path: Path) -> sqlite3.Connection:
    """The ledger's file without the triggers that keep honest people out."""
    database = sqlite3.connect(path, isolation_level=None)
    names = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for (name,) in names:
        database.execute(f"DROP TRIGGER {name}")
    return database


def flipped(raw: bytes, at: int) -> bytes:
    """`raw` with one bit of one byte changed."""
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def test_every_part_is_guarded_to_the_byte(tmp_path: Path) -> None:
    """One changed byte in any kept part, input, rule or output, is found and its part named."""
    source, path, dice = Recorded(), tmp_path / "ledger.db", Random(5)
    with Ledger(path) as ledger:
        record = closed(ledger, source, FIRST_PERIOD).record
    for part in record.parts:
        database = unguarded(path)
        [packed] = database.execute(
            "SELECT body FROM kept WHERE sha256 = ?", (part.sha256,)
        ).fetchone()
        raw = zlib.decompress(packed) or b"\n"
        changed = zlib.compress(flipped(raw, dice.randrange(len(raw))))
        update = "UPDATE kept SET body = ? WHERE sha256 = ?"
        database.execute(update, (changed, part.sha256))
        with Ledger(path, read_only=True) as ledger:
            texts = [str(finding) for finding in audit(ledger, source)]
        kind = {"inputs": "input", "rules": "rule", "outputs": "output"}[part.name.split("/")[0]]
        assert f"p0: {kind} {part.name.split('/')[1]}: its bytes were changed" in "\n".join(texts)
        database.execute(update, (packed, part.sha256))
        database.close()
    with Ledger(path, read_only=True) as ledger:
        assert audit(ledger, source) == ()


def forge_a_hash(database: sqlite3.Connection) -> None:
    """Another hash beside a record."""
    database.execute("UPDATE record SET sha256 = ? WHERE number = 0", ("f" * 64,))


def forge_a_record(database: sqlite3.Connection) -> None:
    """Another name in a record, and its hash worked out anew."""
    [raw] = database.execute("SELECT body FROM record WHERE number = 0").fetchone()
    forged = raw.replace(b'"by":"ann"', b'"by":"eve"')
    sha256 = hashlib.sha256(forged).hexdigest()
    database.execute("UPDATE record SET body = ?, sha256 = ? WHERE number = 0", (forged, sha256))


def drop_a_record(database: sqlite3.Connection) -> None:
    """A reopening that somebody would rather forget."""
    database.execute("DELETE FROM record WHERE number = 1")


def garble_a_record(database: sqlite3.Connection) -> None:
    """No JSON any more."""
    database.execute("UPDATE record SET body = x'00' WHERE number = 1")


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (forge_a_hash, "record 0: its hash and its content do not belong together"),
        (forge_a_record, "record 1 (p0) does not follow record 0"),
        (drop_a_record, "record 1 is missing"),
        (garble_a_record, "record 1: its hash and its content"),
    ],
)
def test_a_forged_chain_is_found(
    tmp_path: Path, forge: Callable[[sqlite3.Connection], None], words: str
) -> None:
    """A hash, a record rewritten with its hash, one taken out, one destroyed."""
    source, path = Recorded(), tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        closed(ledger, source, FIRST_PERIOD)
        reopen_period(ledger, FIRST_PERIOD, reason="x", by="bob", at_ns=7)
        closed(ledger, source, FIRST_PERIOD)
    database = unguarded(path)
    forge(database)
    database.close()
    with Ledger(path, read_only=True) as ledger:
        assert words in "\n".join(map(str, audit_chain(ledger)))
        assert audit(ledger, source) != ()


def test_an_output_forged_with_all_its_hashes_is_found(tmp_path: Path) -> None:
    """Figures that do not follow from the inputs are found by drawing the statement up again."""
    source = Recorded()
    with Ledger(tmp_path / "one.db") as ledger:
        done = closed(ledger, source, FIRST_PERIOD)
        bodies = [ledger.body(done.record, part.name) for part in done.record.parts]
    better = replace(done.statement, billed_pico=DOLLAR - 1)
    forged = [
        body_of(body.part.name, better) if body.part.name == "outputs/own" else body
        for body in bodies
    ]
    record = replace(done.record, parts=tuple(body.part for body in forged))
    with Ledger(tmp_path / "two.db") as ledger:
        ledger.append(record, forged)
        texts = [finding.text for finding in audit(ledger, source)]
    assert texts[0] == f"output own: billed_pico is {DOLLAR}, sealed as {DOLLAR - 1}"


def test_what_was_sealed_under_another_code_is_said(ledger: Ledger) -> None:
    """A finding names both versions of the program, so that one knows where to look."""
    source = Recorded()
    done = closed(ledger, source, FIRST_PERIOD)
    older = replace(done.record, number=0, code="0.0.1+abc")
    inputs = sealed_inputs_of(ledger, done.record)
    bodies = [ledger.body(done.record, part.name) for part in older.parts]
    forged = body_of("outputs/own", replace(done.statement, policy="then"))
    bodies = [forged if body.part.name == "outputs/own" else body for body in bodies]
    with Ledger(None) as other:
        other.append(replace(older, parts=tuple(body.part for body in bodies)), bodies)
        texts = "\n".join(finding.text for finding in audit(other, source))
    assert "sealed by version 0.0.1+abc, this is " in texts
    assert inputs.charges == tuple(source.charges)
