"""Time zones by their names, and the nearest to a name that is none."""

from __future__ import annotations

import pytest

from inferworks.accounts.zone import zone_name
from inferworks.errors import UserError


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("Europe/Berln", "did you mean Europe/Berlin?"),
        ("New York", "did you mean America/New_York?"),
        ("Kolkata", "did you mean Asia/Kolkata?"),
        ("+01:00", "write one like Europe/Berlin"),
    ],
)
def test_a_zone_that_is_not_known_is_refused_with_the_nearest(text: str, hint: str) -> None:
    """The nearest zone is found by its whole name, or by its city."""
    with pytest.raises(UserError) as caught:
        zone_name(text)
    assert hint in str(caught.value)
