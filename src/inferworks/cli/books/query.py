"""The span and the rules that a command of the books is asked for, and what is drawn up from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click
import msgspec

from inferworks.books.accounting.policy import Policy
from inferworks.books.allocation.pools import DriverKind
from inferworks.books.closing.inputs import Inputs
from inferworks.books.closing.prior_period import Adjustment, LaterCorrection
from inferworks.books.closing.seal import Close
from inferworks.books.statement.computation import Computation
from inferworks.books.statement.statement import Dimension, Statement
from inferworks.books.workspace.default_period import period_meant
from inferworks.books.workspace.engine_choice import (
    WHY_NOT_SEALED,
    chosen,
    facts_recorded,
    open_span,
    why_unable,
)
from inferworks.books.workspace.gathering import (
    drawn_up,
    papers_asked,
    rules_of,
    wanted_span,
    worked_out_of,
)
from inferworks.books.workspace.recorded import (
    adjustments_of_period,
    close_of_period,
    later_corrections,
    paper_of_period,
    papers_of_period,
    statement_of_period,
)
from inferworks.books.workspace.settings import EngineName, Settings
from inferworks.cli.books.dates import moments
from inferworks.cli.books.opening import read_settings
from inferworks.cli.options import config_option, data_option, json_option
from inferworks.cli.show import say

if TYPE_CHECKING:  # Ibis takes its time to load
    from inferworks.books.engines.customer_statement import CustomerStatement

Command = TypeVar("Command", bound=Callable[..., Any])
Drawn = TypeVar("Drawn", Statement, "CustomerStatement")


class Asked(NamedTuple):
    """What the command line asks for; the fields are those of its options."""

    settings: Settings
    period: str | None
    from_text: str | None
    to_text: str | None
    policy: str | None
    pools_path: Path | None
    provisional: str = ""
    """Why the figures are not final: the period is not over."""

    def statement(self, engine: str | None = None, by: Dimension | None = None) -> Statement:
        """The statement: of a closed period as it was sealed, else as everything stands now.

        `engine` draws it up, or the configured one; where that cannot yet do what is asked, or cut it
        `by` that, the definition does, and a note on the standard error says why.
        """
        ends = self._open_ends()
        name = self._engine(engine, by, ends)
        if name is not EngineName.REFERENCE and ends is not None:
            from inferworks.books.workspace.on_engine import drawn_on

            return self._noted(drawn_on(name, self.settings, self._policy, self.pools_path, *ends))
        return self._noted(self._defined(ends))

    def by_customer(self, engine: str | None = None) -> Statement | CustomerStatement:
        """The same figures for a cut by customer, of which an engine draws up nothing else.

        Where support pools step down to every target, it draws up the whole.
        """
        ends = self._open_ends()
        pools = rules_of(self.settings, self.pools_path).pools
        stepped = any(pool.driver is DriverKind.POOLS for pool in pools)
        if ends is None or stepped:
            return self.statement(engine, Dimension.CUSTOMER)
        name = self._engine(engine, Dimension.CUSTOMER, ends)
        if name is EngineName.REFERENCE:
            return self._noted(self._defined(ends))
        from inferworks.books.workspace.on_engine import customers_on

        return self._noted(customers_on(name, self.settings, self._policy, self.pools_path, *ends))

    def marked(self, figures: dict[str, object]) -> dict[str, object]:
        """`figures` as JSON values, and whether they are provisional."""
        return figures | {"provisional": bool(self.provisional)}

    def _noted(self, drawn: Drawn) -> Drawn:
        """`drawn`, which says so where it is provisional."""
        if not self.provisional:
            return drawn
        return msgspec.structs.replace(drawn, notes=(self.provisional, *drawn.notes))

    def _open_ends(self) -> tuple[int | None, int | None] | None:
        """From when until when facts are asked for; None where a seal may have a say in it."""
        if self.period is not None:
            return open_span(self.settings, self.period)
        return moments(self.from_text, self.to_text)

    def _defined(self, ends: tuple[int | None, int | None] | None) -> Statement:
        """The statement by definition, or from the seal of a closed period."""
        if self.period is not None and ends is None:
            return statement_of_period(self.settings, self.period, self.policy, self.pools_path)
        span = ends or moments(self.from_text, self.to_text)
        return drawn_up(self.settings, self._policy, self.pools_path, *span)

    def _engine(
        self,
        asked_for: str | None,
        by: Dimension | None,
        ends: tuple[int | None, int | None] | None,
    ) -> EngineName:
        """Who draws it up; a note is printed where that is not who was asked for."""
        unable = (
            why_unable(rules_of(self.settings, self.pools_path), by) if ends else WHY_NOT_SEALED
        )
        span = wanted_span(*(ends or (None, None)))
        wanted = EngineName(asked_for or self.settings.engine)
        choice = chosen(wanted, lambda: facts_recorded(self.settings, span) if ends else 0, unable)
        if choice.note:
            say(f"Note: {choice.note}", err=True)
        return choice.engine

    def paper(self) -> bytes | None:
        """The JSON of the statement as it was sealed; None unless it is of a closed period."""
        if self.period is None:
            return None
        return paper_of_period(self.settings, self.period, self.policy)

    def workings(self) -> Computation:
        """The validated workings: of a closed period from what was sealed, corrections left out."""
        return worked_out_of(self.papers())

    def papers(self) -> Inputs:
        """What they are drawn from, all its facts at hand."""
        if self.period is None:
            span = moments(self.from_text, self.to_text)
            return papers_asked(self.settings, self._policy, self.pools_path, *span)
        return papers_of_period(self.settings, self.period, self.policy, self.pools_path)

    def later(self) -> tuple[LaterCorrection, ...]:
        """What later periods book for the one asked for; nothing unless that is closed."""
        return () if self.period is None else later_corrections(self.settings, self.period)

    def adjustments(self, policy: Policy) -> tuple[Adjustment, ...]:
        """The corrections beside the period asked for: its own for earlier ones, later ones for it."""
        if self.period is None:
            return ()
        return adjustments_of_period(self.settings, self.period, policy)

    def closed(self) -> tuple[Close, str] | None:
        """The close of the period asked for, and its SHA-256; None while it is open, and of dates."""
        return None if self.period is None else close_of_period(self.settings, self.period)

    @property
    def _policy(self) -> str:
        return self.policy or self.settings.policy


def asking(command: Command) -> Command:
    """The options `--period`, `--from`, `--to`, `--policy`, `--pools`, `--settings`, `--data`, `--json`."""
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
    """What the options say, or the newest period; BadParameter when one is named beside dates."""
    if period is not None and (from_text is not None or to_text is not None):
        raise click.BadParameter("name a period or dates, not both", param_hint="--period")
    settings = read_settings(config_path, data_path)
    meant = period_meant(settings, period, *moments(from_text, to_text))
    print_notes(meant.notes)
    return Asked(settings, meant.name, from_text, to_text, policy, pools_path, meant.provisional)


def print_notes(notes: Iterable[str]) -> None:
    """Print each of `notes` on standard error."""
    for note in notes:
        say(f"Note: {note}", err=True)


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
    type=click.Path(path_type=Path),
    help="Rules for cost pools, instead of the shipped ones.",
)
