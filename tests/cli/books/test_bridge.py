"""`inferworks books bridge`: from revenue down to the result."""

from __future__ import annotations

import pytest
from tests.support.views import books, document

pytestmark = pytest.mark.usefixtures("november")


def test_the_bridge_walks_down() -> None:
    """14 less 1 of traffic, which is avoidable, 4 of the machine's work, and 6 of its idle time."""
    walked = document("bridge")
    assert [step["margin"] for step in walked["steps"]] == ["13.00", "9.00", "3.00", "3.00"]


def test_a_period_and_dates_are_one_too_many() -> None:
    """A usage error."""
    result = books("bridge", "--period", "2026-11", "--from", "2026-11-01")
    assert result.exit_code == 2
    assert "name a period or dates, not both" in result.output
