"""Commands of the program, run within the process of a test."""

from __future__ import annotations

from click.testing import CliRunner

from inferworks.cli.main import cli


def run(*arguments: str) -> str:
    """Output of a command that must work."""
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: str) -> str:
    """Output of a command that must refuse, with its error."""
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code, result.output
    return f"{result.output}{result.exception}"
