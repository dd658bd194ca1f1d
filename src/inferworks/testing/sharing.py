"""Conformance suite of the seam of shared accounts."""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec
import pytest

from inferworks.accounts.sharing.base import KEPT_DELETIONS, SharedHead, SharedRow, SharedRows

HEAD = SharedHead("first", 1, 7, ("CREATE TABLE a (b)", "CREATE INDEX c ON a (b)"))
ONE = SharedRow("key", '["one"]', b"\x00\xff", 1)
TWO = SharedRow("key", '["two", 9223372036854775807]', b"", 1)


def check_shared_rows(make: Callable[[], SharedRows]) -> None:
    """Check stores that `make` opens on one new, empty place against the contract of the seam."""
    rows, other = make(), make()
    assert rows.head() is None
    with rows.state() as state:
        assert (state.head, list(state.rows(0)), state.body("key", '["one"]')) == (None, [], None)
    _check_whole(rows, other)
    _check_turns(rows, other)
    _check_deletions(rows, other)
    rows.close()
    assert rows.head() == other.head(), "what was closed is opened again"
    rows.close()
    other.close()


def _found(rows: SharedRows, since: int = 0) -> set[SharedRow]:
    with rows.state() as state:
        return set(state.rows(since))


def _check_whole(rows: SharedRows, other: SharedRows) -> None:
    """Check that a change is there for all once it is committed, and else for nobody."""
    with rows.change() as change:
        assert (change.head, change.has_rows) == (None, False)
        change.put_all(HEAD, [ONE, TWO])
        assert change.has_rows
        assert other.head() is None, "not committed yet"
    assert (rows.head(), other.head()) == (None, None), "nor ever"
    with rows.change() as change:
        change.put_all(HEAD, iter([ONE, TWO]))
        change.commit()
    assert (rows.head(), other.head()) == (HEAD, HEAD)
    assert _found(other) == {ONE, TWO}
    assert _found(other, since=1) == set()
    with other.state() as state:
        before = state.head
        changed = ONE._replace(body=b"changed", version=2)
        head = msgspec.structs.replace(HEAD, version=2)
        with rows.change() as change:
            assert (change.head, change.body(*ONE[:2])) == (HEAD, ONE.body)
            change.put(head, [changed])
            change.commit()
        assert before == HEAD
        assert set(state.rows(0)) == {ONE, TWO}, "a moment is one"
    assert (_found(other), _found(other, since=1)) == ({changed, TWO}, {changed})
    with pytest.raises(ZeroDivisionError):
        _fail_in_a_change(rows)
    assert other.head() == head
    assert _found(rows) == {changed, TWO}


def _fail_in_a_change(rows: SharedRows) -> None:
    with rows.change() as change:
        change.put(msgspec.structs.replace(HEAD, version=3), [ONE._replace(version=3)])
        raise ZeroDivisionError


def _check_turns(rows: SharedRows, other: SharedRows) -> None:
    """Check that of two changes one waits for the other, and sees what it did."""
    seen = []

    def follow() -> None:
        with other.change() as change:
            seen.append(change.head)
            change.put(msgspec.structs.replace(HEAD, version=4), [])
            change.commit()

    thread = threading.Thread(target=follow)
    with rows.change() as change:
        thread.start()
        head = msgspec.structs.replace(HEAD, version=3)
        change.put(head, [TWO._replace(version=3)])
        change.commit()
    thread.join(20)
    assert seen == [head]
    last = rows.head()
    assert last is not None
    assert last.version == 4


def _check_deletions(rows: SharedRows, other: SharedRows) -> None:
    """Check that a row which was deleted is known to be for long, and not for ever."""
    gone = SharedRow("plan", '["gone"]', None, 5)
    for version, row in ((5, gone), (6, gone._replace(key='["later"]', version=6))):
        with rows.change() as change:
            change.put(msgspec.structs.replace(HEAD, version=version), [row])
            change.commit()
    assert gone in _found(other, since=4)
    with other.state() as state:
        assert state.body(*gone[:2]) is None
    with rows.change() as change:
        change.put(msgspec.structs.replace(HEAD, version=5 + KEPT_DELETIONS), [])
        change.commit()
    assert {row.key for row in _found(other, since=4)} == {'["later"]'}
