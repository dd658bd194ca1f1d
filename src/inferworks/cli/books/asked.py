"""The span and the rules that a command of the books is asked for, and what is drawn up from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from inferworks.books.late import Adjustment, Later
from inferworks.books.policy import Policy
from inferworks.books.statement import Statement
from inferworks.books.workings import Workings
from inferworks.cli.books.engines import EngineName
from inferworks.cli.books.papers import drawn_up, moments, worked_out, worked_out_of
from inferworks.cli.books.sources import (
    adjustments_of_period,
    later_corrections,
    paper_of_period,
    papers_of_period,
    statement_of_period,
)
from inferworks.cli.options import config_option, data_option, json_option, read_config
from inferworks.config import Config

Command = TypeVar("Command", bound=Callable[..., Any])


class Asked(NamedTuple):
    """What the command line asks for; the fields are those of its options."""

    config: Config
    period: str | None
    from_text: str | None
    to_text: str | None
    policy: str | None
    pools_path: Path | None

    def statement(self, engine: str | None = None) -> Statement:
        """The statement: of a closed period as it was sealed, else as everything stands now.

        `engine` draws it up, or the configured one; a period, which may carry corrections, is drawn up
        by the definition. BadParameter when another is asked for.
        """
        if self.period is not None:
            if engine not in (None, EngineName.REFERENCE.value):
                raise click.BadParameter(
                    f"{engine} draws up dates, not periods: give --from and --to",
                    param_hint="--engine",
                )
            return statement_of_period(self.config, self.period, self.policy, self.pools_path)
        span = moments(self.from_text, self.to_text)
        name = EngineName(engine or self.config.books.engine)
        if name is EngineName.REFERENCE:
            return drawn_up(self.config, self._policy, self.pools_path, *span)
        from inferworks.cli.books.on_engine import drawn_on

        return drawn_on(name, self.config, self._policy, self.pools_path, *span)

    def paper(self) -> bytes | None:
        """The JSON of the statement as it was sealed; None unless it is of a closed period."""
        if self.period is None:
            return None
        return paper_of_period(self.config, self.period, self.policy)

    def workings(self) -> Workings:
        """The validated workings: of a closed period from what was sealed, corrections left out."""
        if self.period is None:
            span = moments(self.from_text, self.to_text)
            return worked_out(self.config, self._policy, self.pools_path, *span)
        papers = papers_of_period(self.config, self.period, self.policy, self.pools_path)
        return worked_out_of(papers)

    def later(self) -> tuple[Later, ...]:
        """What later periods book for the one asked for; nothing unless that is closed."""
        return () if self.period is None else later_corrections(self.config, self.period)

    def adjustments(self, policy: Policy) -> tuple[Adjustment, ...]:
        """The corrections beside the period asked for: its own for earlier ones, later ones for it."""
        if self.period is None:
            return ()
        return adjustments_of_period(self.config, self.period, policy)

    @property
    def _policy(self) -> str:
        return self.policy or self.config.books.policy


def asking(command: Command) -> Command:
    """The options `--period`, `--from`, `--to`, `--policy`, `--pools`, `--config`, `--data`, `--json`."""
    for option in reversed((*_SPAN, _POLICY, _POOLS, config_option, data_option, json_option)):
        command = option(command)
    return command


def asking_without_policy(command: Command) -> Command:
    """The same options without `--policy`."""
    for option in reversed((*_SPAN, _POOLS, config_option, data_option, json_option)):
        command = option(command)
    return command


def asked(
    period: str | None,
    from_text: str | None,
    to_text: str | None,
    policy: str | None,
    pools_path: Path | None,
    config_path: Path | None,
    data_path: Path | None,
) -> Asked:
    """What the options say; BadParameter when a period is named beside dates."""
    if period is not None and (from_text is not None or to_text is not None):
        raise click.BadParameter("name a period or dates, not both", param_hint="--period")
    config = read_config(config_path, data_path)
    return Asked(config, period, from_text, to_text, policy, pools_path)


_SPAN = (
    click.option("--period", metavar="PERIOD", help="A month (2026-11), or START..END."),
    click.option("--from", "from_text", metavar="DATE", help="First day or moment (UTC)."),
    click.option("--to", "to_text", metavar="DATE", help="Day or moment to stop before (UTC)."),
)
_POLICY = click.option(
    "--policy", metavar="NAME", help="gaap, marginal, full, or a TOML file.  [default: gaap]"
)
_POOLS = click.option(
    "--pools",
    "pools_path",
    type=click.Path(path_type=Path),
    help="Rules for cost pools, instead of the shipped ones.",
)
