"""`inferworks books map`: draft a mapping for a file with unknown columns."""

from __future__ import annotations

from pathlib import Path

import click

from inferworks.books.workspace.mapping_draft import draft_mapping
from inferworks.cli.config import write_new
from inferworks.cli.options import FilePath
from inferworks.cli.show import say, say_on


@click.command("map")
@click.argument("file", metavar="FILE", type=FilePath())
@click.option(
    "--output",
    metavar="FILE",
    type=FilePath(),
    help="File to write.  [default: standard output]",
)
def map_columns(file: Path, output: Path | None) -> None:
    """Draft a mapping for a file with unknown columns.

    The draft is made from the names of the columns and the first rows; comments name the columns found
    and those missing. For a known file (the export of a cloud, say) its own mapping is written, to be
    changed. docs/mappings.md explains every line.

    \b
    Examples:
      inferworks books map gpu-cloud.csv --output gpu-cloud.toml
      inferworks books import --mapping gpu-cloud.toml gpu-cloud.csv
    """
    text = draft_mapping(file)
    if output is None:
        say_on(text)
        return
    write_new(output, text, "--output")
    say(f"Wrote {output}.")
