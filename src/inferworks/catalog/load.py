"""Facts of the world, read from the dated rows beside this file."""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Iterable
from importlib import resources

import msgspec

from inferworks.errors import ConfigError
from inferworks.ids import ModelId
from inferworks.units import NS_PER_SECOND

ANY_MODEL = ModelId("*")


class StepWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights of one model's tokens, from `effective` on. Whole numbers; only ratios matter."""

    id: ModelId
    effective: dt.date
    prefill: int
    prefill_context: int
    decode: int
    decode_context: int
    input: int
    output: int
    source: str
    step: int = 0
    """Fixed weight of a step, whoever is in it (method M3): reading the model once."""

    def input_weight(self, prefill_tokens: int, context_tokens: int) -> int:
        """The weight of `prefill_tokens` of input at a context of `context_tokens`, in one step."""
        return prefill_tokens * (self.prefill + self.prefill_context * context_tokens)

    def output_weight(self, decode_tokens: int, context_tokens: int) -> int:
        """The weight of `decode_tokens` of output at a context of `context_tokens`, in one step."""
        return decode_tokens * (self.decode + self.decode_context * context_tokens)


class ModelCatalog:
    """The step weights in force, by model."""

    def __init__(self, rows: Iterable[StepWeights]) -> None:
        """Keep `rows`; ConfigError when a coefficient is negative or no row is for any model."""
        self._rows = sorted(rows, key=lambda row: (row.id, row.effective))
        for row in self._rows:
            coefficients = (
                row.prefill,
                row.prefill_context,
                row.decode,
                row.decode_context,
                row.input,
                row.output,
                row.step,
            )
            if min(coefficients) < 0:
                raise ConfigError(f"models.toml: model {row.id!r} has a negative coefficient")
        if not any(row.id == ANY_MODEL for row in self._rows):
            raise ConfigError('models.toml: no row has id = "*", for models without a row')

    @property
    def rows(self) -> tuple[StepWeights, ...]:
        """Every row, by model and date."""
        return tuple(self._rows)

    def weights(self, model: ModelId, at_ns: int) -> StepWeights:
        """The row of `model` in force at `at_ns`, else that of any model, else the oldest of those."""
        day = dt.datetime.fromtimestamp(at_ns // NS_PER_SECOND, dt.UTC).date()
        for name in (model, ANY_MODEL):
            in_force = [row for row in self._rows if row.id == name and row.effective <= day]
            if in_force:
                return in_force[-1]
        return next(row for row in self._rows if row.id == ANY_MODEL)


def model_catalog() -> ModelCatalog:
    """The catalog that ships with the package."""
    text = resources.files("inferworks.catalog").joinpath("models.toml").read_text("utf-8")
    rows = tomllib.loads(text)["model"]
    return ModelCatalog(msgspec.convert(rows, list[StepWeights]))
