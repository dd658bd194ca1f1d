"""Cost as an answer tells it: exact, bounded, and nothing where it tells none."""

from __future__ import annotations

import pytest

from inferworks.cloud.usage_parsers.priced import told_cost

PICO = 10**12


@pytest.mark.parametrize(
    ("data", "pico"),
    [
        (b'{"usage": {"cost": 0.00012}}', 120_000_000),
        (b'{"usage": {"cost": "0.00012"}}', 120_000_000),
        (b'{"usage": {"cost": 1e-12}}', 1),
        (b'{"usage": {"cost": 0.1234567890123456789}}', 123_456_789_012),
        (b'{"usage": {"cost": 0.0000000000005}}', 0),
        (b'{"usage": {"cost": 0.0000000000015}}', 2),
        (b'{"usage": {"cost": 0}}', 0),
        (b'{"response": {"usage": {"cost": 2}}}', 2 * PICO),
        (b'{"usage": {"cost": 1000000}}', 10**18),
        (b'{"usage": {"cost": 1000000.1}}', None),
        (b'{"usage": {"cost": -1}}', None),
        (b'{"usage": {"cost": "NaN"}}', None),
        (b'{"usage": {"cost": "Infinity"}}', None),
        (b'{"usage": {"cost": "much"}}', None),
        (b'{"usage": {"cost": null}}', None),
        (b'{"usage": {"cost": 1e999999999}}', None),
        (b'{"usage": {}}', None),
        (b'{"usage": 7}', None),
        (b"[]", None),
        (b"", None),
    ],
)
def test_cost(data: bytes, pico: int | None) -> None:
    """Every digit counts, halves go to the even picounit; what nobody would pay is no amount."""
    assert told_cost(data, ["usage", "cost"], PICO) == pico
