"""Sellers of inference, and the access to each of their APIs: the dated rows of `providers.toml`.

A row is all that an OpenAI-compatible API needs to be served; the others name the driver that speaks to
them. Nothing here opens a connection.
"""

from __future__ import annotations

import datetime as dt
import difflib
import tomllib
from collections.abc import Iterable
from functools import lru_cache
from importlib import resources
from string import Formatter
from typing import Literal

import msgspec

from inferworks.errors import ConfigError

OPENAI_COMPATIBLE = "openai-compatible"
"""Row of any API in OpenAI's dialect at an address of its own."""

Driver = Literal["openai", "anthropic", "azure", "vertex", "bedrock", "stability"]
Auth = Literal["bearer", "header", "none", "aws", "google"]
OnLeave = Literal["cancel", "drain", "estimate"]


class ProviderRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One API, from `effective` on. The head of `providers.toml` explains each field."""

    id: str
    effective: dt.date
    name: str
    url: str
    driver: Driver
    auth: Auth
    operations: tuple[str, ...]
    cache: Literal["included", "added"]
    stream_usage: bool
    on_leave: OnLeave
    on_leave_source: str
    source: str
    global_url: str = ""
    api_version: str = ""
    header: str = ""
    key_variable: str = ""
    running_usage: bool = False
    reasoning: Literal["included", "added"] = "included"
    cost_field: str = ""
    cost_pico: int = 10**12
    genai_prices: str = ""
    chip: str = ""
    ports: tuple[int, ...] = ()

    @property
    def local(self) -> bool:
        """True if it is an engine that one runs oneself."""
        return bool(self.ports)

    @property
    def seller(self) -> str:
        """Name in our records: the one that price lists know, where they do."""
        return self.genai_prices or self.id

    @property
    def placeholders(self) -> tuple[str, ...]:
        """Names of the gaps in its address, in order: `region`, `resource`, `project`."""
        names = (name for _, name, _, _ in Formatter().parse(self.url) if name)
        return tuple(dict.fromkeys(names))


class ProviderCatalog:
    """The rows in force, by id."""

    def __init__(self, rows: Iterable[ProviderRow]) -> None:
        """Keep `rows`; ConfigError when an id has two rows of one day."""
        self._rows: dict[str, list[ProviderRow]] = {}
        for row in rows:
            dated = self._rows.setdefault(row.id, [])
            if any(other.effective == row.effective for other in dated):
                raise ConfigError(f"providers.toml: two rows of {row.id!r} from {row.effective} on")
            dated.append(row)

    def rows(self, day: dt.date) -> tuple[ProviderRow, ...]:
        """The row of each provider in force on `day`, in the order of the file."""
        return tuple(_in_force(dated, day) for dated in self._rows.values())

    def row(self, provider: str, day: dt.date) -> ProviderRow:
        """The row of `provider` in force on `day`; ConfigError, with the nearest id, for none."""
        if provider not in self._rows:
            near = difflib.get_close_matches(provider, self._rows, 1)
            hint = f"did you mean {near[0]}?" if near else "see: inferworks providers list"
            raise ConfigError(f"unknown provider {provider!r}; {hint}")
        return _in_force(self._rows[provider], day)


@lru_cache(maxsize=1)
def provider_catalog() -> ProviderCatalog:
    """The catalog that ships with the package."""
    text = resources.files("inferworks.catalog").joinpath("providers.toml").read_text("utf-8")
    rows = tomllib.loads(text)["provider"]
    return ProviderCatalog(msgspec.convert(rows, list[ProviderRow]))


def _in_force(dated: list[ProviderRow], day: dt.date) -> ProviderRow:
    """The newest row that has begun; the oldest when none has."""
    begun = [row for row in dated if row.effective <= day]
    return (
        max(begun, key=lambda row: row.effective)
        if begun
        else min(dated, key=lambda row: row.effective)
    )
