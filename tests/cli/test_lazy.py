"""Lists of commands: what each does, in a line, before any of them is imported."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from inferworks.cli.books import books
from inferworks.cli.lazy import LazyGroup
from inferworks.cli.main import cli

GROUPS = [cli, books]
LONGEST = 80 - len("  quarantine  ") - 2


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_a_table_says_what_its_commands_do(group: LazyGroup) -> None:
    """In a whole sentence each that fits 80 columns; each place in the table is a command."""
    for name, (_, does) in group.table.items():
        assert len(does) <= LONGEST, f"{name}: {does}"
        assert does.endswith("."), f"{name}: {does}"
        assert "..." not in does, f"{name}: {does}"
        assert isinstance(group.get_command(click.Context(group), name), click.Command)


def commands(group: click.Group) -> Iterator[click.Command]:
    """All commands below `group`."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield command
        if isinstance(command, click.Group):
            yield from commands(command)


@pytest.mark.parametrize(
    ("words", "name"), [(["bokos"], "books"), (["books", "statment"], "statement")], ids=str
)
def test_an_unknown_command_suggests_the_nearest(words: list[str], name: str) -> None:
    """A misspelt command is refused with the name it resembles; one that resembles none, without."""
    runner = CliRunner()
    assert f"Did you mean {name!r}?" in runner.invoke(cli, words).output
    unlike = runner.invoke(cli, [*words[:-1], "xyzzy"])
    assert unlike.exit_code == 2
    assert "No such command 'xyzzy'." in unlike.output
    assert "mean" not in unlike.output


def test_choices_are_what_a_user_types() -> None:
    """A choice is a plain text: of an enumeration, Click takes the names of the members in Python."""
    choices = {
        f"{command.name} {parameter.name}": {type(choice) for choice in parameter.type.choices}
        for command in commands(cli)
        for parameter in command.params
        if isinstance(parameter.type, click.Choice)
    }
    assert len(choices) > 10
    assert {name for name, kinds in choices.items() if kinds != {str}} == set()


@pytest.mark.parametrize("words", [["--help"], ["books", "--help"], ["--version"]], ids=" ".join)
def test_help_imports_no_command(words: list[str]) -> None:
    """Help does not wait for the books, the gateway and their libraries."""
    program = (
        "import sys, atexit; from inferworks.cli.main import main\n"
        "atexit.register(lambda: print(*sys.modules, sep='\\n', file=sys.stderr))\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.split())
    assert not loaded & {"genai_prices", "numpy", "pyarrow", "uvloop"}
    rooms = {name.split(".")[1] for name in loaded if name.startswith("inferworks.")}
    assert rooms <= {"cli", "errors", "redact", "sqlite", "visible"}
    assert "inferworks.cli.options" not in loaded
