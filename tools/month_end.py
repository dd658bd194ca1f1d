"""Run the month-end of `examples/month-end`, and compare its output with docs/month-end.md.

    python tools/month_end.py [--check] [FOLDER]

The steps are those of run.sh, one after the other, our own commands in this process: it takes seconds.
Their output is written beneath the same commands in the document; with `--check` nothing is written and
the exit status is 1 if anything would change. Values that differ from run to run (hashes, user names) are
replaced by fixed ones. Steps whose program is not installed are left out.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
from click.testing import CliRunner

from inferworks.cli.ending import ending_of
from inferworks.cli.main import cli

ROOT = Path(__file__).parent.parent
EXAMPLE, DOCUMENT = ROOT / "examples" / "month-end", ROOT / "docs" / "month-end.md"
_STEP = re.compile(
    r"^(?:has (?P<needs>\S+) && )?(?P<how>step|asks) '(?P<command>.*)'$", re.MULTILINE
)
_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
_SHOWN = re.compile(r"^\$ (.*)$", re.MULTILINE)
_SAME = (
    (re.compile(r"\b[0-9a-f]{64}\b"), "1de010e8867a" + "0" * 52),
    (re.compile(r"(?<=policy gaap, by )\S+(?=\.$)", re.MULTILINE), "ines"),
    (re.compile(r"[ \t]+$", re.MULTILINE), ""),
)


class Step(NamedTuple):
    """A command of run.sh, and whether it must refuse."""

    command: str
    asks: bool
    needs: str | None


def steps() -> Iterator[Step]:
    """The steps of run.sh, in order."""
    for found in _STEP.finditer((EXAMPLE / "run.sh").read_text("utf-8")):
        yield Step(found["command"], found["how"] == "asks", found["needs"])


def printed(folder: Path) -> dict[str, str]:
    """Run each step in `folder` and return its output. ClickException when one does not end as it must."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(EXAMPLE / "inferworks.toml", folder)
    sys.path.insert(0, str(EXAMPLE))  # where its own modules lie
    runpy.run_path(str(EXAMPLE / "make.py"))["main"](folder / "raw")
    checkers = ROOT / ".venv-checkers" / "bin"
    os.environ["PATH"] = f"{checkers}{os.pathsep}{os.environ['PATH']}"
    os.chdir(folder)
    found: dict[str, str] = {}
    for step in steps():
        if step.needs is not None and shutil.which(step.needs) is None:
            continue
        status, text = _run(step.command)
        if bool(status) is not step.asks:
            raise click.ClickException(f"{step.command}\nended with {status}:\n{text}")
        for pattern, same in _SAME:
            text = pattern.sub(same, text)
        found[step.command] = text.strip("\n")
    return found


def _run(command: str) -> tuple[int, str]:
    """Run `command`; return its exit status and output."""
    program, *arguments = shlex.split(command)
    if program != "inferworks":
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr
    result = CliRunner().invoke(cli, arguments, prog_name="inferworks")
    if result.exception is None or isinstance(result.exception, SystemExit):
        return result.exit_code, result.output
    ending = ending_of(result.exception)
    if ending is None:
        raise result.exception
    return ending.status, f"{result.output}inferworks: {ending.text}"


def rendered(text: str, found: dict[str, str]) -> str:
    """Return `text` with the output beneath each command. ClickException for a command not in run.sh."""
    known = {step.command for step in steps()}

    def block(old: re.Match[str]) -> str:
        parts = _SHOWN.split(old[1])[1:]
        lines = []
        for command, before in zip(parts[::2], parts[1::2], strict=True):
            if command not in known:
                raise click.ClickException(f"run.sh has no step {command!r}")
            output = found.get(command, before.strip("\n"))
            lines.append(f"$ {command}\n{output}".rstrip("\n") + "\n")
        return f"```console\n{chr(10).join(lines)}```"

    return _BLOCK.sub(block, text)


def main() -> None:
    """Run the steps; write, or check."""
    check = "--check" in sys.argv
    named = [Path(word) for word in sys.argv[1:] if not word.startswith("--")]
    with tempfile.TemporaryDirectory() as temporary:
        found = printed(named[0].resolve() if named else Path(temporary))
        os.chdir(ROOT)
    text = DOCUMENT.read_text("utf-8")
    new = rendered(text, found)
    if not check:
        DOCUMENT.write_text(new, "utf-8")
    elif new != text:
        pairs = zip(text.splitlines(), new.splitlines(), strict=False)
        old_line, new_line = next(
            (pair for pair in pairs if pair[0] != pair[1]), ("", "its length")
        )
        sys.exit(f"docs/month-end.md says\n  {old_line}\nand it prints\n  {new_line}")


if __name__ == "__main__":
    main()
