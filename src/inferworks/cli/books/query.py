"""Options of a command of the books for its period, its rules and its data folder."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click

from inferworks.books.workspace.query import Query
from inferworks.books.workspace.workspace import Workspace
from inferworks.cli.books.dates import moments
from inferworks.cli.books.opening import workspace_of
from inferworks.cli.options import FilePath, config_option, data_option, json_option


class QueryOptions(NamedTuple):
    """Values of the options."""

    period: str | None
    from_text: str | None
    to_text: str | None
    config_path: Path | None
    data_path: Path | None
    policy: str | None = None
    pools_path: Path | None = None

    def open(self, *, whole: bool = False) -> tuple[Workspace, Query]:
        """Open the books; the query is for the newest period where neither it nor dates are named.

        With `whole` a running period is meant to its end. BadParameter when a period is named beside dates.
        """
        workspace = workspace_of(self.config_path, self.data_path)
        if self.period is not None and (self.from_text, self.to_text) != (None, None):
            raise click.BadParameter("name a period or dates, not both", param_hint="--period")
        start_ns, end_ns = moments(self.from_text, self.to_text)
        return workspace, workspace.query(
            self.period, start_ns, end_ns, self.policy, self.pools_path, whole=whole
        )


def query_options(
    *, policy: bool = True, json: bool = True
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options to a command, which gets them as `options`, and `--json` as `as_json`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def with_options(*arguments: Any, **values: Any) -> Any:
            options = {name: values.pop(name) for name in QueryOptions._fields if name in values}
            return command(*arguments, options=QueryOptions(**options), **values)

        decorated: Callable[..., Any] = with_options
        for option in reversed(
            [
                *_SPAN,
                *([_POLICY] if policy else []),
                _POOLS,
                config_option,
                data_option,
                *([json_option] if json else []),
            ]
        ):
            decorated = option(decorated)
        return decorated

    return decorate


_SPAN = (
    click.option(
        "--period",
        metavar="PERIOD",
        help="A month (2026-11), or START..END.  [default: the newest]",
    ),
    click.option("--from", "from_text", metavar="DATE", help="First day or moment (UTC)."),
    click.option("--to", "to_text", metavar="DATE", help="Day or moment to stop before (UTC)."),
)
_POLICY = click.option(
    "--policy", metavar="NAME", help="gaap, marginal, full, or a TOML file.  [default: gaap]"
)
_POOLS = click.option(
    "--pools",
    "pools_path",
    type=FilePath(),
    help="Rules for cost pools, instead of the shipped ones.",
)
