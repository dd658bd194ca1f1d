"""Views of the books on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from tests.support.command_line import invoke


def books(*arguments: str | Path) -> Result:
    """Run a verb of the books."""
    return invoke("books", *arguments)


def document(*arguments: str | Path) -> Any:
    """JSON that a verb prints with `--json`; no amount in it is a float."""
    result = books(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout, parse_float=lambda text: pytest.fail(f"a float: {text}"))
