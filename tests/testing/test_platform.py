"""The real platform's helper, without a platform: nothing here starts one."""

from __future__ import annotations

import os
import resource
import signal
from contextlib import closing
from pathlib import Path

import pytest

from inferworks.accounts.keyring import KeyRing
from inferworks.accounts.pepper import load_pepper
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.testing.platform import RealPlatform, alive, real_platform


def test_a_process_that_exists_is_alive() -> None:
    """This one is; a number above the greatest that Linux gives is no process."""
    assert alive(os.getpid())
    assert not alive(1 << 22)


def test_a_platform_that_was_never_started_has_ended(tmp_path: Path) -> None:
    """Stopping, killing and waiting are no errors, and nothing was printed."""
    with real_platform(tmp_path / "data") as platform:
        platform.kill()
        assert (platform.stop(), platform.wait(), platform.log()) == (0, 0, "")
        with pytest.raises(AssertionError, match="it is not running"):
            platform.send(signal.SIGTERM)
        with (
            pytest.raises(AssertionError, match="it is not running"),
            platform.limited(resource.RLIMIT_NOFILE, 9),
        ):
            pass
    assert not (tmp_path / "data").exists()


def test_the_log_lies_beside_the_folder(tmp_path: Path) -> None:
    """Bytes that are no text are shown all the same."""
    platform = RealPlatform(tmp_path / "data")
    (tmp_path / "data.log").write_bytes(b"ready \xff")
    assert platform.log() == "ready \N{REPLACEMENT CHARACTER}"


def test_keys_are_made_before_the_start(tmp_path: Path) -> None:
    """Each is another one, of a customer who is added once."""
    platform = RealPlatform(tmp_path / "data")
    secrets = [platform.key(), platform.key(), platform.key("acme")]
    assert len(set(secrets)) == 3
    with closing(SqliteAccounts(platform.folder.accounts)) as accounts:
        ring = KeyRing(accounts, load_pepper(accounts, platform.folder.pepper))
        found = [ring.find(secret) for secret in secrets]
        assert [key and key.customer for key in found] == ["default", "default", "acme"]
        assert sorted(customer.id for customer in accounts.customers()) == ["acme", "default"]
