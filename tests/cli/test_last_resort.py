"""A stop ends, whatever hangs."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from inferworks.cli.last_resort import LastResort


def test_what_hangs_is_named_and_ended(caplog: pytest.LogCaptureFixture) -> None:
    """Once it was told to end and does not, the process is ended with a line of what still runs."""
    exits: list[int] = []
    release = threading.Event()
    hanging = threading.Thread(target=release.wait, name="hangs-in-a-read")
    hanging.start()
    resort = LastResort(0.0, exits.append)
    with caplog.at_level(logging.ERROR):
        resort.told()
        resort.told()
        assert resort._thread is not None
        resort._thread.join()
    release.set()
    hanging.join()
    assert exits == [1]
    (said,) = [record.getMessage() for record in caplog.records]
    assert "not stopped 0 s after being told to" in said
    assert "hangs-in-a-read" in said


def test_what_ends_by_itself_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is said or done."""
    exits: list[int] = []
    resort = LastResort(60.0, exits.append)
    resort.told()
    resort.over()
    assert resort._thread is not None
    resort._thread.join()
    assert (exits, caplog.records) == ([], [])


@pytest.mark.slow
def test_a_thread_that_hangs_holds_up_no_stop(tmp_path: Path) -> None:
    """A read that never comes back, in a thread that Python waits for: the process ends nevertheless."""
    program = """
import os, signal, threading
from inferworks.api.pricing import PricingTable
from inferworks.cli import up
from inferworks.cli.main import main
up.GRACE_S = 0.5
def hang(self):
    if threading.current_thread() is not threading.main_thread():
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait()
PricingTable.refresh = hang
main()
"""
    (tmp_path / "inferworks.toml").write_text("[engine]\nreplicas = 0\n[gateway]\ndrain_s = 0\n")
    command = [sys.executable, "-c", program, "up", "--port", "0", "--data", str(tmp_path / "data")]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    assert "not stopped 0.5 s after being told to" in done.stderr
    assert " in hang" in done.stderr, "what hangs is named"
