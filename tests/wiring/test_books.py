"""The books of a configuration: its settings, and what is refused before anything is opened."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from inferworks.books.accruals.expected_bills import Expected
from inferworks.config import Books, Config, Data, Lake, Supplier
from inferworks.errors import ConfigError, DataFolderError, UserError
from inferworks.meter.lakes.local import LocalLake
from inferworks.wiring.books import book_settings, open_books


def config(folder: Path, **books: object) -> Config:
    """The configuration of the books in `folder`."""
    return Config(data=Data(folder=str(folder)), books=msgspec.structs.replace(Books(), **books))


@pytest.mark.parametrize("name", ["", " ", "\t\n"])
def test_an_empty_name_is_refused(name: str, tmp_path: Path) -> None:
    """An unset variable of a shell must not name the working directory."""
    with pytest.raises(DataFolderError, match="the name of the data folder is empty"):
        open_books(name)
    with pytest.raises(UserError, match="the name of the configuration file is empty"):
        open_books(tmp_path, name)


def test_a_configuration_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The file is named, and no folder is made."""
    with pytest.raises(ConfigError, match=r"none\.toml"):
        open_books(tmp_path / "data", tmp_path / "none.toml")
    assert list(tmp_path.iterdir()) == []


def test_settings_open_nothing(tmp_path: Path) -> None:
    """A folder that is not there is not made by looking at its settings."""
    settings = book_settings(config(tmp_path / "data"))
    assert settings.folder.path == tmp_path / "data"
    assert settings.currency == "USD"
    assert (settings.chart, settings.suppliers) == (None, ())
    assert not (tmp_path / "data").exists()


def test_memory_is_in_gibibytes(tmp_path: Path) -> None:
    """Half of one is 2^29 bytes."""
    assert book_settings(config(tmp_path, memory_gb=0.5)).memory_bytes == 1 << 29


def test_the_lake_is_in_the_folder_unless_it_is_elsewhere(tmp_path: Path) -> None:
    """Each question opens the lake anew, by the URL of the configuration."""
    here = config(tmp_path / "data")
    there = msgspec.structs.replace(here, lake=Lake(url=str(tmp_path / "elsewhere")))
    assert book_settings(here).lake().url == LocalLake(tmp_path / "data" / "lake").url
    assert book_settings(there).lake().url == LocalLake(tmp_path / "elsewhere").url


def test_suppliers_are_known_by_name_whatever_its_case(tmp_path: Path) -> None:
    """A bare name means the usual method; of two with one name the last counts; all stand in order."""
    suppliers = (
        "zeta",
        Supplier(name="A Cloud", accrue="average"),
        " a cloud ",
        "Cafe\u0301",
        Supplier(
            name="CAF\u00c9", accrue="12.5", since="2026-01", until="2026-12", department="ops"
        ),
    )
    assert book_settings(config(tmp_path, suppliers=suppliers)).suppliers == (
        Expected("a cloud"),
        Expected("CAF\u00c9", "12.5", "2026-01", "ops", "2026-12"),
        Expected("zeta"),
    )


def test_a_chart_is_a_path(tmp_path: Path) -> None:
    """A chart is read only when it is needed."""
    settings = book_settings(config(tmp_path, chart="chart.toml"))
    assert settings.chart == Path("chart.toml")


def test_an_engine_that_there_is_not_is_refused(tmp_path: Path) -> None:
    """The words of the setting are checked where they come from outside of a file, too."""
    with pytest.raises((ConfigError, ValueError), match="abacus"):
        book_settings(config(tmp_path, engine="abacus"))
