"""Weights of the model catalog: dated rows, and any model's where a model has none."""

from __future__ import annotations

import datetime as dt

import pytest
from msgspec.structs import replace

from inferworks.catalog.load import ANY_MODEL, ModelCatalog, model_catalog
from inferworks.errors import ConfigError
from inferworks.ids import ModelId


def test_weights_are_dated_and_fall_back_to_any_model() -> None:
    """A model's own row in force, else that of any model; before all rows, the oldest."""
    [shipped] = [model_catalog().weights(ModelId("unheard-of"), 2 * 10**18)]
    assert shipped.id == ANY_MODEL
    own = replace(shipped, id=ModelId("mine"), effective=dt.date(2026, 6, 1), prefill=7)
    catalog = ModelCatalog([own, shipped])
    june_ns = int(dt.datetime(2026, 6, 1, tzinfo=dt.UTC).timestamp()) * 10**9
    assert catalog.weights(ModelId("mine"), june_ns) == own
    assert catalog.weights(ModelId("mine"), june_ns - 1) == shipped
    assert catalog.weights(ModelId("mine"), 0) == shipped


def test_a_catalog_that_cannot_weigh_is_refused() -> None:
    """A negative coefficient, or no row for any model."""
    shipped = model_catalog().weights(ANY_MODEL, 0)
    with pytest.raises(ConfigError, match="negative"):
        ModelCatalog([replace(shipped, decode=-1)])
    with pytest.raises(ConfigError, match="no row"):
        ModelCatalog([replace(shipped, id=ModelId("mine"))])
