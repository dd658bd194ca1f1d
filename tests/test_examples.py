"""The example's script as its page has one type it: into a folder that is not there yet."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

EXAMPLE = Path(__file__).parent.parent / "examples" / "month-end"
STOPS = 3


def test_the_month_end_begins_in_a_new_folder(tmp_path: Path) -> None:
    """Its papers lie in it, and its first command runs there; that one says where and stops."""
    script = shutil.copytree(EXAMPLE, tmp_path / "examples" / "month-end") / "run.sh"
    command = tmp_path / ".venv" / "bin" / "inferworks"
    command.parent.mkdir(parents=True)
    command.write_text(f"#!/bin/sh\npwd\nexit {STOPS}\n", "utf-8")
    command.chmod(0o755)
    new = tmp_path / "new" / "larkspur"
    done = subprocess.run(["bash", script, new], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (STOPS, [str(new)]), done.stderr
    assert (new / "raw" / "2025-09" / "vouchers.csv").exists()
