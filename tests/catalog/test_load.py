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


def test_a_weight_grows_with_tokens_and_context() -> None:
    """Each token weighs its own and its part for each token before it; no tokens weigh nothing."""
    row = replace(
        model_catalog().weights(ANY_MODEL, 0),
        prefill=10, prefill_context=1, decode=100, decode_context=2,
    )  # fmt: skip
    assert [row.input_weight(n, 7) for n in (0, 1, 3)] == [0, 17, 51]
    assert [row.output_weight(n, 7) for n in (0, 1, 3)] == [0, 114, 342]
    assert (row.input_weight(3, 0), row.output_weight(3, 0)) == (30, 300)


def test_the_newest_row_in_force_counts_in_whatever_order() -> None:
    """Rows begin at midnight UTC of their day, and a row of any model is as dated as others."""
    shipped = model_catalog().weights(ANY_MODEL, 0)
    days = [dt.date(2026, month, 1) for month in (1, 3, 2)]
    rows = [replace(shipped, effective=day, step=day.month) for day in days]
    march_ns = int(dt.datetime(2026, 3, 1, tzinfo=dt.UTC).timestamp()) * 10**9
    for order in (rows, rows[::-1]):
        catalog = ModelCatalog(order)
        assert [row.step for row in catalog.rows] == [1, 2, 3]
        steps = [catalog.weights(ModelId("x"), at).step for at in (0, march_ns - 1, march_ns)]
        assert steps == [1, 2, 3]


@pytest.mark.parametrize(
    "name", ["prefill", "prefill_context", "decode", "decode_context", "input", "output", "step"]
)
def test_no_coefficient_is_negative(name: str) -> None:
    """A zero is no mistake; less than that would take cost from one call and give it to another."""
    shipped = model_catalog().weights(ANY_MODEL, 0)
    ModelCatalog([replace(shipped, **{name: 0})])
    with pytest.raises(ConfigError) as refused:
        ModelCatalog([replace(shipped, **{name: -1})])
    assert str(refused.value) == "models.toml: model '*' has a negative coefficient"
