"""A training job that reports its machine time to a running gateway, from inside itself.

    .venv/bin/python examples/training-job/run.py [FOLDER]

A line is fitted to points by gradient descent, in plain Python. The time that its loop took is on record
afterwards as `train-gradient` of the node `gpu-3`: its share of that node's bill.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import inferworks

POINTS = [(x / 10, 3 * x / 10 + 1) for x in range(10)]
CONFIGURATION = "[engine]\nreplicas = 0\n"


def train(steps: int) -> tuple[float, float]:
    """Return slope and intercept after `steps` of gradient descent on the squared error."""
    slope = intercept = 0.0
    for _ in range(steps):
        errors = [(slope * x + intercept - y, x) for x, y in POINTS]
        slope -= 0.1 * sum(error * x for error, x in errors)
        intercept -= 0.1 * sum(error for error, _ in errors)
    return slope, intercept


def command(*arguments: str, folder: Path) -> str:
    """Run a command of Inferworks, and return what it printed."""
    words = [sys.executable, "-m", "inferworks", *arguments]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True).stdout


@contextmanager
def gateway(folder: Path) -> Iterator[str]:
    """Yield the address of a gateway that runs during the block."""
    words = [sys.executable, "-m", "inferworks", "up", "--port", "0"]
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def run(folder: Path) -> None:
    """Make a key for the trainer, meter its training, and print what is on record."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "inferworks.toml").write_text(CONFIGURATION, "utf-8")
    options = ("--purpose", "train-gradient", "--report", "trainer", "--ours", "--json")
    key = json.loads(command("keys", "create", *options, folder=folder))["key"]
    with gateway(folder) as url:
        with inferworks.metered(
            purpose="train-gradient", node="gpu-3", source="trainer", url=url, key=key
        ):
            slope, intercept = train(2_000)
        print(f"y = {slope:.2f} x + {intercept:.2f}")
    print(command("usage", "list", "--source", "trainer", folder=folder), end="")


if __name__ == "__main__":
    run(Path(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp()))
