"""Commands of the program, run within the process of a test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from click.testing import CliRunner, Result

from inferworks.cli.main import cli
from inferworks.errors import UserError


def invoke(
    *arguments: object, typed: str | None = None, environment: Mapping[str, str] | None = None
) -> Result:
    """Run a command, with `typed` at its standard input; an error that it ends in is in `exception`."""
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(cli, words, input=typed, env=environment, prog_name="inferworks")


def run(*arguments: object) -> Result:
    """Run a command that must work."""
    result = invoke(*arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def document(*arguments: object) -> Any:
    """JSON that a command that must work prints with `--json`."""
    return json.loads(run(*arguments, "--json").stdout)


def refusal(*arguments: object) -> str:
    """Words of a command that must refuse: an error that its user can mend, or its usage."""
    result = invoke(*arguments)
    if isinstance(result.exception, UserError):
        return str(result.exception)
    assert isinstance(result.exception, SystemExit), (result.output, result.exception)
    assert result.exit_code, result.output
    return result.output
