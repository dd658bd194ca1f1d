"""`inferworks books forecast`: the expected figures of the running month."""

from __future__ import annotations

from pathlib import Path

import click

from inferworks.books.analysis.comparatives import CAPTIONS
from inferworks.books.analysis.forecast import METHODS, Forecast
from inferworks.books.calendar.moments import utc_text
from inferworks.books.period import Period
from inferworks.cli.books.dates import moments
from inferworks.cli.books.formatting import amount, places_for, print_figures
from inferworks.cli.books.opening import workspace_of
from inferworks.cli.options import FilePath, config_option, data_option, json_option
from inferworks.cli.show import print_json, say


@click.command("forecast")
@click.option(
    "--period", metavar="PERIOD", help="A month that is not over.  [default: the running one]"
)
@click.option(
    "--until",
    metavar="MOMENT",
    help="End of complete records (UTC); the rate is taken from the time before.  [default: now]",
)
@click.option(
    "--policy", metavar="NAME", help="gaap, marginal, full, or a TOML file.  [default: gaap]"
)
@click.option(
    "--pools",
    "pools_path",
    type=FilePath(),
    help="Rules for cost pools, instead of the shipped ones.",
)
@config_option
@data_option
@json_option
def show_forecast(
    period: str | None,
    until: str | None,
    policy: str | None,
    pools_path: Path | None,
    config_path: Path | None,
    data_path: Path | None,
    as_json: bool,
) -> None:
    """Forecast the running month: PROVISIONAL, and never booked or kept.

    Each line is the actual amount so far, amounts known in advance (pay, assets, commitments,
    subscriptions, accruals), and the rest at the rate so far. The method is printed below.

    \b
    Examples:
      inferworks books forecast
      inferworks books forecast --until 2026-11-16
      inferworks books forecast --period 2026-11 --policy marginal --json
    """
    workspace, until_ns = workspace_of(config_path, data_path), moments(None, until)[1]
    found = workspace.forecast(period, until_ns, policy, pools_path)
    if as_json:
        notes = ["Provisional: a forecast.", *found.notes, *found.statement.notes]
        print_json({"period": found.period.name, **found.forecast.to_json(), "notes": notes})
    else:
        _print(found.forecast, found.period)
        for note in found.notes:
            say(f"Note: {note}")
        for note in found.statement.notes:
            say(f"Note, so far: {note}")


def _print(found: Forecast, whole: Period) -> None:
    say(f"PROVISIONAL: forecast of {whole.name} in {found.currency}, policy {found.policy}")
    say(f"From what happened until {utc_text(found.at_ns)}", "")
    shown = [line for line in found.lines if line.so_far_pico or line.known_pico or line.rate_pico]
    places = places_for(*(line.total_pico for line in shown))
    rows = [
        (
            CAPTIONS[line.name],
            *(
                amount(pico, places)
                for pico in (line.so_far_pico, line.known_pico, line.rate_pico, line.total_pico)
            ),
        )
        for line in shown
    ]
    print_figures(("PROVISIONAL", "SO FAR", "KNOWN", "AT THE RATE", "FORECAST"), rows)
    for method in METHODS:
        say(method)
