"""Checksum of a row, against disks that return another byte than they were given; SQLite has none.

It is the CRC-32 of the table's name followed by the row's values as a JSON array without spaces, as in
`zlib.crc32(b'usage["call_1","acme",...]')`. The name is in it, so that no row passes for one of another
table, and the row's key is, so that none passes for another row. It detects accidents, not intent: an
attacker who alters a row can alter its checksum.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final
from zlib import crc32

import msgspec

_encoder = msgspec.json.Encoder()
_encode = _encoder.encode
_LONG_BYTES: Final = 4096


def row_checksum(table: str, row: Sequence[object]) -> int:
    """The checksum of `row` of `table`: an integer of 32 bits."""
    return crc32(_encode(row), _of_name(table))


def long_row_checksum(table: str, row: Sequence[object]) -> int:
    """The same, in less time for a row of a kilobyte or more: its text does not grow bit by bit."""
    text = bytearray(_LONG_BYTES)
    _encoder.encode_into(row, text)
    return crc32(text, _of_name(table))


@cache
def _of_name(table: str) -> int:
    return crc32(table.encode())
