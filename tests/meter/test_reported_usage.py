"""Confidence in usage as an upstream reports it."""

from __future__ import annotations

import pytest

from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Confidence, Tokens


@pytest.mark.parametrize(
    ("kind", "amid", "at_end"),
    [
        ({}, Confidence.COUNTED, Confidence.REPORTED),
        ({"is_counted": True}, Confidence.COUNTED, Confidence.COUNTED),
        ({"is_estimate": True}, Confidence.ESTIMATED, Confidence.ESTIMATED),
        ({"is_estimate": True, "is_counted": True}, Confidence.ESTIMATED, Confidence.ESTIMATED),
    ],
)
def test_confidence(kind: dict[str, bool], amid: Confidence, at_end: Confidence) -> None:
    """Usage amid an answer is a count; at its end it is a report, unless it is our own."""
    usage = ReportedUsage(Tokens(1, 1), **kind)
    assert usage.confidence(whole=False) is amid
    assert usage.confidence(whole=True) is at_end
