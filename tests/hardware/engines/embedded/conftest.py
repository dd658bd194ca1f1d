"""Helpers that the tests of the embedded engine share."""

from __future__ import annotations

import pytest

from inferworks.hardware.engines.embedded.model import Model


@pytest.fixture
def model() -> Model:
    """The model that ships, with rows for 32 sequences."""
    return Model(32)
