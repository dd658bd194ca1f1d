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
        missing = " and ".join(name for name in ("node", "npm") if shutil.which(name) is None)
        pytest.skip(f"CompatCanary runs on node and is fetched by npm; not installed: {missing}")
    folder = tmp_path_factory.mktemp("canary")
    # A package of its own keeps npm in this folder. `--prefix` would too, but moves npm's global
    # settings there as well: a machine's certificate authorities and its registry were then not read.
    (folder / "package.json").write_text('{"private": true}')
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=0",
               "--fetch-timeout=10000", PACKAGE]  # fmt: skip
    try:
        npm_ran = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=_WAIT_S, cwd=folder
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm had not fetched {PACKAGE} after {_WAIT_S} s")
    if npm_ran.returncode:
        pytest.skip(f"npm cannot fetch {PACKAGE}: {' '.join(npm_ran.stderr.split())[:300]}")
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
