"""The pepper is made once, for its owner only, and one that is lost or mistaken is refused by name."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from inferworks.accounts.pepper import Pepper, load_pepper
from inferworks.accounts.stores.stub import StubAccounts
from inferworks.errors import ConfigError, DataFolderError
from inferworks.secrets import Secret, SecretReference

VALUE = "p" * 40


def referred(value: str) -> Secret:
    """A secret from the environment."""
    return Secret(SecretReference("env", "PEPPER"), value)


def test_a_pepper_shows_nothing_of_itself() -> None:
    """Neither its text nor its fingerprint does, and another pepper hashes otherwise."""
    pepper, other = Pepper(VALUE), Pepper(VALUE + "x")
    assert VALUE not in repr(pepper)
    assert pepper.id != other.id
    assert pepper.hash("iw_x") != other.hash("iw_x")
    assert len(pepper.hash("\udcff")) == 32


def test_the_first_look_makes_the_file(tmp_path: Path) -> None:
    """The file is its owner's alone, and later looks read it."""
    path, accounts = tmp_path / "accounts.pepper", StubAccounts()
    pepper = load_pepper(accounts, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert accounts.pepper_id() == pepper.id
    assert load_pepper(accounts, path).id == pepper.id
    assert [found.name for found in tmp_path.iterdir()] == ["accounts.pepper"]


def test_processes_that_begin_at_once_have_one_pepper(tmp_path: Path) -> None:
    """The first to name the file wins, and the others read what is in it."""
    path, found = tmp_path / "accounts.pepper", []
    start = threading.Barrier(8)

    def begin() -> None:
        start.wait(10)
        found.append(load_pepper(StubAccounts(), path).id)

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (len(found), len(set(found))) == (8, 1)


def test_a_lost_pepper_is_not_made_again(tmp_path: Path) -> None:
    """A new one would make every key a wrong key, without a word."""
    path, accounts = tmp_path / "accounts.pepper", StubAccounts()
    load_pepper(accounts, path)
    path.unlink()
    with pytest.raises(DataFolderError, match=r"No such file.*without it none of them is known"):
        load_pepper(accounts, path)
    assert not path.exists()


def test_another_pepper_is_refused(tmp_path: Path) -> None:
    """Of a file, or by reference; one by reference makes no file."""
    path, accounts = tmp_path / "accounts.pepper", StubAccounts()
    load_pepper(accounts, path, referred(VALUE))
    assert not path.exists()
    with pytest.raises(
        ConfigError, match="env:PEPPER is another pepper than the one that the keys"
    ):
        load_pepper(accounts, path, referred(VALUE + "x"))
    path.write_text(VALUE + "y\n")
    with pytest.raises(ConfigError, match="is another pepper"):
        load_pepper(accounts, path)
    path.write_text(VALUE + "\n")
    assert load_pepper(accounts, path).id == Pepper(VALUE).id


def test_a_short_pepper_is_refused(tmp_path: Path) -> None:
    """A short one could be guessed; the refusal does not repeat it."""
    with pytest.raises(ConfigError, match=r"env:PEPPER has fewer than 32 characters$"):
        load_pepper(StubAccounts(), tmp_path / "p", referred("p" * 31))
    with pytest.raises(DataFolderError, match="cannot be made"):
        load_pepper(StubAccounts(), tmp_path / "nowhere" / "p")
