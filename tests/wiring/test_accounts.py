"""The pepper of a data folder comes from where the configuration says."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from inferworks.accounts.pepper import Pepper
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.config import Config
from inferworks.errors import ConfigError
from inferworks.folder import DataFolder
from inferworks.wiring.accounts import pepper_of

VALUE = "p" * 40


def configured(reference: str) -> Config:
    """A configuration with this reference to the pepper."""
    config = Config()
    gateway = msgspec.structs.replace(config.gateway, key_pepper=reference)
    return msgspec.structs.replace(config, gateway=gateway)


def test_a_pepper_by_reference_is_the_only_one(tmp_path: Path) -> None:
    """No file is made beside the accounts, and without its variable nothing starts."""
    folder = DataFolder(tmp_path / "data")
    folder.create()
    config = configured("env:PEPPER")
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        assert pepper_of(accounts, folder, config, {"PEPPER": VALUE}).id == Pepper(VALUE).id
        assert not folder.pepper.exists()
        with pytest.raises(ConfigError, match="PEPPER is not set"):
            pepper_of(accounts, folder, config, {})
        with pytest.raises(ConfigError, match="not allowed in the configuration file"):
            pepper_of(accounts, folder, configured(VALUE), {})


def test_without_a_reference_the_folder_has_it(tmp_path: Path) -> None:
    """The file is private to the folder's owner, as all that is in it."""
    folder = DataFolder(tmp_path / "data")
    folder.create()
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        pepper = pepper_of(accounts, folder, Config(), {})
        assert pepper.id == accounts.pepper_id()
    assert folder.is_ours(folder.pepper)
    assert folder.pepper.stat().st_mode & 0o077 == 0
