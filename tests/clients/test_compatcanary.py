"""CompatCanary's probes of what calls itself OpenAI-compatible, where node and npm are there.

The package is fetched by npm into a folder of the test's own, in one pinned version; without node, or
without a registry that can be reached, there is nothing to run.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import Gateway

pytestmark = pytest.mark.slow

PACKAGE = "compatcanary@0.2.2"
_WAIT_S = 60


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that scans."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("node and npm are not there; CompatCanary runs on them")
    folder = tmp_path_factory.mktemp("canary")
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=0",
               "--fetch-timeout=10000", "--prefix", str(folder), PACKAGE]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_WAIT_S, cwd=folder)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip(f"npm cannot fetch {PACKAGE} here")
    return [node, str(folder / "node_modules" / "compatcanary" / "src" / "cli.js"), "scan"]


@pytest.mark.parametrize("model", ["native", "chats", "claude", "converse"])
def test_every_probe_passes(
    canary: list[str], gateway: Gateway, model: str, tmp_path: Path
) -> None:
    """Discovery, chats, streams, tools, structured output and responses, passed or translated."""
    asked = [*canary, "--base-url", gateway.url, "--api-key", gateway.key, "--model", model,
             "--profile", "modern", "--format", "json", "--fail-on", "any"]  # fmt: skip
    ran = subprocess.run(
        asked, check=False, capture_output=True, text=True, timeout=_WAIT_S, cwd=tmp_path
    )
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    results = json.loads(ran.stdout)["results"]
    assert {result["status"] for result in results} == {"pass"}
    assert len(results) == 7
