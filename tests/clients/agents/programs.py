"""Helpers of the drivers of programs: a folder to work in, a home of their own, a tool to be found.

A program is configured by what stands in `setups/`, as the documents show it; its tool is a script,
`./weather`, that its own shell has to start.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from jobs import FOLDER, KEY, RESULT, ROOT, URL, Weather

SETUPS = Path(__file__).parent / "setups"
WEATHER = "./weather Rome"
_RUN_S = 110
_SCRIPT = f"""#!/bin/sh
echo "$1" >> asked
echo "{RESULT}"
"""


def told_to(tool: str, arguments: object) -> str:
    """The question that has a program call one of its own tools."""
    return f"How is the weather? CALL {tool} {json.dumps(arguments)}"


def setup(name: str, model: str) -> str:
    """Text of `setups/NAME`, with the address, the key and the model in it."""
    text = (SETUPS / name).read_text(encoding="utf-8")
    for word, value in (("URL", URL), ("ROOT", ROOT), ("KEY", KEY), ("MODEL", model)):
        text = text.replace(f"<{word}>", value)
    return text


def exported(name: str, model: str) -> dict[str, str]:
    """The variables that `setups/NAME` exports."""
    return dict(re.findall(r"^export (\w+)=(.*)$", setup(name, model), re.MULTILINE))


class Place:
    """A folder to work in and a home, both new and gone with the block."""

    def __init__(self) -> None:
        # Not below /tmp: Codex makes no helpers there.
        self._folder = TemporaryDirectory(dir=FOLDER, prefix="place-")
        self.home = Path(self._folder.name) / "home"
        self.work = Path(self._folder.name) / "work"

    def __enter__(self) -> Place:
        self.home.mkdir()
        self.work.mkdir()
        script = self.work / "weather"
        script.write_text(_SCRIPT)
        script.chmod(0o755)
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def run(self, command: list[str], **variables: str) -> str:
        """Run a program; return its output."""
        environment = {**os.environ, "HOME": str(self.home), "TERM": "dumb", **variables}
        ran = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=_RUN_S, cwd=self.work,
            env=environment, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if ran.returncode:
            told = " ".join(f"{ran.stdout} {ran.stderr}".split())
            raise RuntimeError(
                f"{Path(command[0]).name} ended with {ran.returncode}: {told[-600:]}"
            )
        return ran.stdout

    def tell(self, weather: Weather) -> None:
        """Pass on to `weather` what the script was asked."""
        asked = self.work / "asked"
        for place in asked.read_text().split() if asked.exists() else ():
            weather(place)


def program(name: str) -> str:
    """Path at which npm or pip has put a program."""
    places = (FOLDER / "node_modules" / ".bin" / name, FOLDER / "bin" / name)
    return str(next(place for place in places if place.exists()))
