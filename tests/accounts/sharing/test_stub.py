"""The fake of the seam of shared accounts."""

from __future__ import annotations

import pytest

from inferworks.accounts.sharing.stub import StubDatabase, StubRows
from inferworks.errors import SharedAccountsError
from inferworks.testing.sharing import check_shared_rows


def test_conformance() -> None:
    """The fake keeps the promises of the seam."""
    database = StubDatabase()
    check_shared_rows(lambda: StubRows(database))


def test_a_change_does_not_wait_for_ever() -> None:
    """One that another holds up is refused, and has changed nothing."""
    database = StubDatabase()
    one, other = StubRows(database), StubRows(database, wait_s=0.01)
    with (
        one.change(),
        pytest.raises(SharedAccountsError, match="changed by others"),
        other.change(),
    ):
        raise AssertionError("two at once")
