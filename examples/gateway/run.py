"""A gateway before two providers, one of which goes away while it is called.

    .venv/bin/python examples/gateway/run.py [FOLDER]

The providers are fakes that ship with Inferworks: no key is needed, nothing is charged. With real ones the
configuration is the same, less its two lines `url`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import ExitStack
from pathlib import Path

CONFIGURATION = """\
[engine]
replicas = 0                          # no model of our own

[[upstream]]
name = "openai"
provider = "openai"
url = "{openai}"
key = "env:OPENAI_API_KEY"
models = ["gpt-5-mini"]

[[upstream]]
name = "claude"
provider = "anthropic"
url = "{anthropic}"
key = "env:ANTHROPIC_API_KEY"
models = ["claude-sonnet-4-5"]

[[model]]
name = "assistant"                    # what callers ask for
offers = ["openai/gpt-5-mini", "claude/claude-sonnet-4-5"]
strategy = "cheapest"
"""
FAKE_KEYS = {"OPENAI_API_KEY": "any", "ANTHROPIC_API_KEY": "any"}


class Program:
    """A process that says on its first line where it can be reached."""

    def __init__(self, *arguments: str, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=folder,
            env={**os.environ, **FAKE_KEYS},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().split()[-1]

    def stop(self) -> None:
        """End it and wait until it has ended."""
        self._process.terminate()
        self._process.wait()


def command(*arguments: str, folder: Path) -> str:
    """Run a command of Inferworks, and return what it printed."""
    words = [sys.executable, "-m", "inferworks", *arguments]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True).stdout


def ask(url: str, key: str, text: str) -> None:
    """Ask the model `assistant`, and print its answer, who gave it, and what it cost."""
    body = {"model": "assistant", "messages": [{"role": "user", "content": text}]}
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    request = urllib.request.Request(f"{url}/chat/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        answer = json.load(response)["choices"][0]["message"]["content"]
        told = response.headers
    cost = f"{told['x-inferworks-cost']} {told['x-inferworks-currency']}"
    print(f"{answer}  ({told['x-inferworks-provider']}, {cost})")


def run(folder: Path) -> None:
    """Start all three, ask, stop OpenAI's fake, and ask again."""
    folder.mkdir(parents=True, exist_ok=True)
    fakes = {}
    with ExitStack() as started:
        for name in ("openai", "anthropic"):
            fakes[name] = Program("inferworks.testing.upstreams", name, folder=folder)
            started.callback(fakes[name].stop)
        urls = {name: fake.url for name, fake in fakes.items()}
        (folder / "inferworks.toml").write_text(CONFIGURATION.format(**urls), "utf-8")
        prices = ("--input-price", "0.50", "--output-price", "1.50")  # per million tokens
        command("customers", "create", "acme", *prices, folder=folder)
        made = command("keys", "create", "--customer", "acme", "--json", folder=folder)
        key = json.loads(made)["key"]
        gateway = Program("inferworks", "up", "--port", "0", folder=folder)
        started.callback(gateway.stop)
        ask(gateway.url, key, 'SAY "Good morning."')
        fakes["openai"].stop()
        ask(gateway.url, key, 'SAY "Still here."')
    print(command("logs", folder=folder), end="")


if __name__ == "__main__":
    run(Path(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp()))
