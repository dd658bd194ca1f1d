"""The rows of providers are typed, unique, and say only what the rest of the program knows."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from inferworks.catalog.genai import installed_book
from inferworks.catalog.providers import (
    OPENAI_COMPATIBLE,
    ProviderCatalog,
    ProviderRow,
    provider_catalog,
)
from inferworks.cloud.operation import Operation
from inferworks.errors import ConfigError
from inferworks.http.client import Origin

TODAY = dt.date(2027, 1, 1)
ROWS = provider_catalog().rows(TODAY)
EVERY = pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])


@EVERY
def test_operations_are_known(row: ProviderRow) -> None:
    """A row names operations by the names that calls have, each once."""
    assert {Operation(name) for name in row.operations}
    assert len(set(row.operations)) == len(row.operations)


@EVERY
def test_addresses_can_be_asked(row: ProviderRow) -> None:
    """An address is one once its places are filled, and leaves the machine only encrypted."""
    assert set(row.placeholders) <= {"region", "resource", "project"}
    if row.id == OPENAI_COMPATIBLE:
        assert row.url == ""
        return
    origin = Origin.parse(row.url.format(region="eu-1", resource="mine.example", project="p"))
    assert origin.tls != row.local
    assert not row.local or (origin.host, origin.port) == ("127.0.0.1", row.ports[0])


@EVERY
def test_credentials_fit(row: ProviderRow) -> None:
    """A header is named exactly where a key goes into one, a variable where there is a key."""
    assert bool(row.header) == (row.auth == "header")
    if row.auth in {"bearer", "header"} and row.id != OPENAI_COMPATIBLE:
        assert row.key_variable.isupper()
    if row.auth == "none":
        assert not row.key_variable


@EVERY
def test_sources_are_named(row: ProviderRow) -> None:
    """Each row, and each rule for a client that leaves, has a source; a guess says that it is one."""
    assert row.source.startswith("https://")
    if row.on_leave != "estimate" and row.id != OPENAI_COMPATIBLE:
        assert row.on_leave_source.startswith("https://")
    else:
        assert row.on_leave_source


def test_the_ticks_of_xai_are_picodollars() -> None:
    """The documented example, 37,756,000 ticks, is 0.0037756 dollars."""
    (row,) = [row for row in ROWS if row.id == "xai"]
    assert 37_756_000 * row.cost_pico == 3_775_600_000
    assert {r.cost_pico for r in ROWS if r.cost_field and r.id != "xai"} == {10**12}


@pytest.mark.slow
@EVERY
def test_price_lists_know_it(row: ProviderRow) -> None:
    """A name in genai-prices is one that the installed list has."""
    sold = {provider.id for provider in installed_book().providers}
    assert not row.genai_prices or row.genai_prices in sold


def test_an_unknown_provider_is_named_with_the_nearest() -> None:
    """A mistyped name is refused with the name that was probably meant."""
    with pytest.raises(ConfigError, match=r"unknown provider 'opnai'; did you mean openai\?"):
        provider_catalog().row("opnai", TODAY)
    with pytest.raises(ConfigError, match="see: inferworks providers list"):
        provider_catalog().row("zzzzzz", TODAY)


def test_the_newest_row_that_has_begun_holds() -> None:
    """A later row takes over on its day and not before; two rows of one day are refused."""
    old = next(row for row in ROWS if row.id == "openai")
    new = msgspec.structs.replace(old, effective=dt.date(2027, 6, 1), name="Renamed")
    catalog = ProviderCatalog([old, new])
    assert catalog.row("openai", dt.date(2027, 5, 31)) == old
    assert catalog.row("openai", dt.date(2027, 6, 1)) == new
    assert catalog.row("openai", dt.date(2000, 1, 1)) == old
    with pytest.raises(ConfigError, match="two rows of 'openai'"):
        ProviderCatalog([old, old])
