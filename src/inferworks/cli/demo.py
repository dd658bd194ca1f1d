"""`inferworks demo`: the main job in one command, and its output."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from textwrap import wrap

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.books.bills.base import no_progress, open_bill
from inferworks.books.bills.detect import reader_for
from inferworks.books.repository.store import BookStore
from inferworks.books.workspace.importing import readers
from inferworks.cli.options import DEFAULT_REPORT, FilePath, free_place
from inferworks.cli.show import print_json, print_table, print_title, progress_bar, say
from inferworks.clock import SystemClock
from inferworks.demo.run import Settings, prepare, run
from inferworks.demo.scenario import FEWEST_CALLS
from inferworks.demo.show import as_json, page, sections
from inferworks.errors import InferworksError, UserError
from inferworks.extras import check_installed
from inferworks.folder import DataFolder


@click.command(short_help="Run calls, training, bills and books once, with a report.")
@click.option("--seconds", type=click.IntRange(2, 3600), default=20, show_default=True,
              help="Seconds of traffic.")  # fmt: skip
@click.option("--calls", type=click.IntRange(FEWEST_CALLS, 100_000),
              help="Number of calls.  [default: 20 a second]")  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True,
              help="Seed of the calls and their order.")  # fmt: skip
@click.option("--trace", type=FilePath(folders=False),
              help="Take arrivals and lengths from a request trace (Azure's CSV).")  # fmt: skip
@click.option("--report", "report_path", type=FilePath(folders=False),
              help="Path of the HTML report; the default overwrites nothing.  "
              "[default: inferworks-report.html]")  # fmt: skip
@click.option("--keep", is_flag=True, help="Keep the data folder, to look into it afterwards.")
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
def demo(
    seconds: int,
    calls: int | None,
    seed: int,
    trace: Path | None,
    report_path: Path | None,
    keep: bool,
    json_wanted: bool,
) -> None:
    """Run everything once: calls, training, bills, statement, report.

    Starts the platform on a free port and a throw-away data folder. Calls, tokens, engine steps and
    gradient descent are real; the bills and the prices are synthetic, and labelled so.

    \b
    Examples:
      inferworks demo
      inferworks demo --seconds 60 --keep
      inferworks demo --trace AzureLLMInferenceTrace_conv.csv --json
    """
    check_installed("onnxruntime", "embedded", "the demo")
    settings = Settings(seconds, calls, seed, trace)
    report_path = (report_path or free_place(DEFAULT_REPORT)).resolve()
    # found before the work and not after it; nothing is written yet
    if not os.access(report_path if report_path.exists() else report_path.parent, os.W_OK):
        raise UserError(f"{report_path}: cannot be written; choose another place with --report")
    plan = prepare(settings)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("calls"), TimeElapsedColumn())
    try:
        with (
            _data_folder(keep=keep) as folder,
            closing(SqliteAccounts(folder.accounts)) as accounts,
            progress_bar(*columns) as progress,
        ):
            result = run(settings, plan, folder, accounts, _take_in, _Watched(progress))
    except asyncio.CancelledError:  # SIGTERM; Ctrl-C arrives as KeyboardInterrupt
        raise click.Abort from None
    except UserError:
        raise
    except InferworksError as error:
        raise UserError(f"demo: {error}") from error
    report_path.write_text(page(result), encoding="utf-8")
    if json_wanted:
        print_json(as_json(result, report_path))
    else:
        for section in sections(result):
            print_title(section.title)
            if section.rows:
                print_table(section.columns, section.rows, right=section.right)
            for line in section.lines:
                say(*wrap(line, 80))
            say()
        say(f"Report: {report_path}")
    if keep:
        say(f"Data kept in {folder.path}", err=True)


def _take_in(path: Path, store: BookStore) -> None:
    """Import a bill file, as `inferworks books import` does."""
    bill = open_bill(path)
    reader = reader_for(bill, readers())
    charges = reader.read(bill, store.currency, no_progress)
    store.add(bill, reader.kind, charges, SystemClock().now_ns())


@contextmanager
def _data_folder(*, keep: bool) -> Iterator[DataFolder]:
    """A fresh data folder; removed afterwards, however the run ended, unless `keep`."""
    folder = DataFolder(Path(tempfile.mkdtemp(prefix="inferworks-demo-")))
    try:
        folder.create()
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder.path)


class _Watched:
    """Progress of the run on standard error: a bar in a terminal, else a line a stage."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def stage(self, text: str) -> None:
        """Show what happens now."""
        self._progress.update(self._task, description=text)
        if self._progress.disable:
            say(f"{text} ...", err=True)

    def expect(self, calls: int) -> None:
        """Begin to count calls."""
        self._progress.update(self._task, total=calls, completed=0)

    def sent(self) -> None:
        """Count one."""
        self._progress.advance(self._task)
