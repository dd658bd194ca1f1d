"""Checksums of rows, against accidents on a disk."""

from __future__ import annotations

import zlib

from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.checksum import long_row_checksum, row_checksum

ROWS = st.lists(st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(), max_size=5)


def test_it_is_the_crc_that_is_documented() -> None:
    """Anybody can compute it: of the table's name and the row as JSON without spaces."""
    assert row_checksum("usage", ["call_1", "acme", 7]) == zlib.crc32(b'usage["call_1","acme",7]')


@settings(max_examples=15)
@given(st.text(), ROWS)
def test_a_long_row_has_the_same(table: str, row: list[object]) -> None:
    """The quicker way for long rows changes nothing."""
    assert long_row_checksum(table, row) == row_checksum(table, row)


def test_rows_of_other_tables_and_other_bits_differ() -> None:
    """One bit, another table, and a value that moves to its neighbour."""
    row = ["a", "b"]
    others = [("u", ["a", "c"]), ("v", row), ("u", ["ab", ""]), ("u", ["a", "b", None])]
    assert all(row_checksum(*other) != row_checksum("u", row) for other in others)
