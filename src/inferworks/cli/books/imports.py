"""`inferworks books imports`: list imports, and void one."""

from __future__ import annotations

from pathlib import Path

import click

from inferworks.books.calendar.moments import utc_text
from inferworks.books.deliveries.record import Import, State
from inferworks.books.deliveries.saying import amounts, plain
from inferworks.cli.books.opening import workspace_of
from inferworks.cli.options import config_option, data_option, json_option
from inferworks.cli.show import counted, print_json, print_table, say


@click.group("imports")
def imports() -> None:
    """List imports, and void one."""


@imports.command("list")
@click.option(
    "--all", "every", is_flag=True, help="Include imports no longer in force, and copies."
)
@config_option
@data_option
@json_option
def list_imports(
    every: bool, config_path: Path | None, data_path: Path | None, as_json: bool
) -> None:
    """List the imports in force: each file by account and month.

    \b
    Examples:
      inferworks books imports list
      inferworks books imports list --all --json
    """
    found = workspace_of(config_path, data_path).imports(every=every)
    if as_json:
        print_json({"imports": list(map(_as_json, found))})
        return
    if not found:
        say("Nothing was imported." if every else "No import is in force.")
        return
    columns = ("NUMBER", "DELIVERY", "FILE", "STATE", "LINES", "AMOUNT")
    rows = [
        (
            *(str(one.number), str(one.delivery), one.file, one.state),
            *(str(one.lines), amounts(one.totals)),
        )
        for one in found
    ]
    print_table(columns, rows, right="NUMBER LINES AMOUNT")


@imports.command("show")
@click.argument("number", type=int)
@config_option
@data_option
@json_option
def show_import(
    number: int, config_path: Path | None, data_path: Path | None, as_json: bool
) -> None:
    """Show the import NUMBER: its file, its delivery, and its status.

    \b
    Example:
      inferworks books imports show 12
    """
    one = workspace_of(config_path, data_path).import_of(number)
    if as_json:
        print_json(_as_json(one))
        return
    rows = [
        ("Import", str(one.number)),
        ("Delivery", str(one.delivery)),
        ("Kind", one.delivery.kind),
        ("File", one.file),
        ("SHA-256", one.file_sha256),
        ("Revision", str(one.revision)),
        ("State", one.state + (f": {one.reason}" if one.reason else "")),
        ("Lines", str(one.lines)),
        ("Exact total", amounts(one.totals)),
        ("Time", f"{utc_text(one.start_ns)} to {utc_text(one.end_ns)}"),
        (
            "Imported",
            f"{utc_text(one.at_ns)} by {one.by}" if one.at_ns else "by an older version",
        ),
    ]
    print_table(("", ""), rows)


@imports.command("void")
@click.argument("number", type=int)
@click.option("--reason", required=True, metavar="TEXT", help="Reason; it stays on record.")
@config_option
@data_option
@json_option
def void_import(
    number: int, reason: str, config_path: Path | None, data_path: Path | None, as_json: bool
) -> None:
    """Void the import NUMBER: its lines count no more, as if it had never come.

    In a closed period they stay as they were closed, and an exact reversal corrects the open period. The
    import stays on record with the voiding, its author and reason; its file may be imported again.

    \b
    Example:
      inferworks books imports void 12 --reason "the bill of another company"
    """
    one, gone, late = workspace_of(config_path, data_path).void_import(number, reason)
    if as_json:
        print_json({**_as_json(one), "state": State.VOID, "gone": gone, "notes": late})
        return
    say(
        f"Voided import {one.number} of {one.file}: {counted(gone, 'line')} of {one.delivery}, "
        f"{amounts(one.totals)}."
    )
    for text in late:
        say(f"Note: {text}", err=True)


def _as_json(one: Import) -> dict[str, object]:
    return {
        "number": one.number,
        "kind": one.delivery.kind,
        "issuer": one.delivery.issuer,
        "account": one.delivery.account,
        "period": one.delivery.period,
        "file": one.file,
        "sha256": one.file_sha256,
        "revision": one.revision,
        "state": one.state,
        "lines": one.lines,
        "totals": {currency: plain(total.exact) for currency, total in one.totals.items()},
        "start_ns": one.start_ns,
        "end_ns": one.end_ns,
        "imported_ns": one.at_ns,
        "by": one.by,
        "reason": one.reason,
    }
