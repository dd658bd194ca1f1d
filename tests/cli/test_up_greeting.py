"""Secrets that `inferworks up` keeps from a log, and its end in an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inferworks.cli.up import _greeting
from inferworks.folder import DataFolder
from inferworks.ids import ModelId
from inferworks.supervise import Supervisor
from inferworks.wiring import Platform

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("service", ["journal", "systemd", "nobody"])
def test_a_service_log_does_not_show_the_first_key(
    tmp_path: Path, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first key is kept in a file of its own where a service manager keeps all that is printed."""
    folder = DataFolder(tmp_path)
    platform = Platform(
        "http://x/v1", [ModelId("m")], folder, "iw_" + "s" * 43, lambda: None, Supervisor()
    )
    for name in ("JOURNAL_STREAM", "SYSTEMD_EXEC_PID"):
        monkeypatch.delenv(name, raising=False)
    with (tmp_path / "log").open("w") as log:
        status = os.fstat(log.fileno())
        if service == "journal":
            monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        elif service == "systemd":
            monkeypatch.setenv("SYSTEMD_EXEC_PID", str(os.getpid()))
        monkeypatch.setattr(sys, "stdout", log)
        text = "\n".join(_greeting(platform))
    path = tmp_path / "first-key"
    if service == "nobody":
        assert text.count("iw_") == 3
        assert not path.exists()
    else:
        assert "iw_" not in text
        assert f"Your first API key is in {path}" in text
        assert path.read_text() == "iw_" + "s" * 43 + "\n"
        assert path.stat().st_mode & 0o777 == 0o600


def test_it_ends_in_an_error_when_vital_work_does(tmp_path: Path) -> None:
    """A service manager sees the error, and starts the platform again."""
    program = """
from inferworks.cli.main import main
from inferworks.meter.journal import Journal
Journal.alive = property(lambda _: False)
main()
"""
    file = tmp_path / "inferworks.toml"
    file.write_text("[engine]\nreplicas = 0\n")
    arguments = ["up", "--port", "0", "--config", str(file), "--data", str(tmp_path / "data")]
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "Stopped."
    assert "ERROR journal failed: JournalError: the journal's writer has ended" in done.stderr
    assert done.stderr.splitlines()[-1].endswith(
        "stopped, since what cannot be begun again has ended: journal"
    )
