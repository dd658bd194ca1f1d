"""`inferworks books methods`: distances of the methods."""

from __future__ import annotations

import pytest
from tests.support.views import document

pytestmark = pytest.mark.usefixtures("november")


def test_methods_are_measured() -> None:
    """One call in every step: M2 is the yardstick itself."""
    found = document("methods")
    assert {d["method"]: d["distance"] for d in found["distances"]}["M2"] == "0.00"
    assert found["largest_difference"] == "0.00"
