"""`inferworks config`: check it, show it, import another program's."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from inferworks.cli.config_text import config_toml
from inferworks.cli.litellm.config import read_litellm
from inferworks.cli.options import Command, FilePath, json_option, read_config
from inferworks.cli.show import counted, print_json, print_table, say
from inferworks.config import FILE_NAME, shown
from inferworks.errors import UserError
from inferworks.wiring.check import checked
from inferworks.wiring.plan import Plan
from inferworks.wiring.probe import Probed, probe_all

_NO_FILE = f"There is no {FILE_NAME} here: the defaults hold, and what the environment sets."


def _file_option(command: Command) -> Command:
    return click.option(
        "--file", "--config", "config_path",
        type=FilePath(folders=False),
        help="Configuration file.  [default: inferworks.toml, if there]",
    )(command)  # fmt: skip


@click.group()
def config() -> None:
    """Check the configuration, show it, import one."""


@config.command()
@_file_option
@click.option("--probe", "wants_probe", is_flag=True, help="Ask each upstream for its models.")
@json_option
def check(config_path: Path | None, wants_probe: bool, as_json: bool) -> None:
    """Check the whole configuration as a start and the books would; find its keys, and show none.

    The exit status is 1 when a probed upstream fails.

    \b
    Examples:
      inferworks config check
      inferworks config check --file production.toml --probe
    """
    held = read_config(config_path)
    plan = checked(held, os.environ)
    probed = asyncio.run(probe_all(plan)) if wants_probe else []
    if as_json:
        upstreams = [
            {
                "name": account.name,
                "provider": account.row.id,
                "url": account.origin.url,
                "key": str(account.secret.reference) if account.secret else None,
            }
            for account in plan.accounts
        ]
        print_json(
            {
                "file": _read_from(config_path),
                "upstreams": upstreams,
                "models": sorted(plan.places),
                "warnings": list(plan.warnings),
                "probed": msgspec.to_builtins(probed),
            }
        )
    else:
        _print(plan, probed, _read_from(config_path))
    if any(not result.ok for result in probed):
        sys.exit(1)


@config.command()
@_file_option
@json_option
def show(config_path: Path | None, as_json: bool) -> None:
    """Show the effective configuration: file, environment and defaults.

    Keys are shown by their location; any other text that looks like a secret is shown as ***.

    \b
    Examples:
      inferworks config show
      INFERWORKS_GATEWAY_PORT=9000 inferworks config show --json
    """
    held = shown(read_config(config_path))
    if as_json:
        print_json(held)
    else:
        say(*config_toml(held, everything=True).splitlines())
    if _read_from(config_path) is None:
        say(f"Note: {_NO_FILE}", err=True)


def _read_from(config_path: Path | None) -> str | None:
    """The file that the configuration was read from; None where there is none."""
    path = config_path or Path(FILE_NAME)
    return str(path) if path.exists() else None


@config.group("import")
def import_config() -> None:
    """Make an inferworks.toml from another program's configuration."""


@import_config.command()
@click.argument("source", metavar="CONFIG.YAML", type=FilePath(folders=False))
@click.option(
    "--out", type=FilePath(folders=False), metavar="FILE",
    help="New file to write.  [default: standard output]",
)  # fmt: skip
def litellm(source: Path, out: Path | None) -> None:
    """Make an inferworks.toml from a LiteLLM proxy's config.yaml.

    Models, addresses, references to keys, weights, regions, prices, fallbacks, retries and time limits
    are taken over. Every setting without a counterpart is named, on standard error. A key that stands
    in the file itself is not copied.

    \b
    Examples:
      inferworks config import litellm config.yaml
      inferworks config import litellm config.yaml --out inferworks.toml
    """
    made = read_litellm(source, os.environ)
    text = f"# Made from LiteLLM's {source.name}\n\n{config_toml(made.config)}"
    if out is None:
        say(*text.splitlines())
    else:
        write_new(out, text)
        upstreams = counted(len(made.config.upstream), "upstream")
        models = counted(len(made.config.model), "model table")
        say(f"{out}: {upstreams}, {models}")
        say(f"Check it with: inferworks config check --file {out}")
    if made.notes:
        say("", "Not taken over, or not in quite the same sense:", err=True)
    for note in made.notes:
        text = click.wrap_text(note, 80, initial_indent="  ", subsequent_indent="      ")
        say(*text.split("\n"), err=True)


def _print(plan: Plan, probed: Sequence[Probed], name: str | None) -> None:
    keys = sum(account.secret is not None for account in plan.accounts)
    counts = (
        counted(len(plan.accounts), "upstream"),
        counted(len(plan.places), "model"),
        counted(keys, "key"),
    )
    found = ", ".join(counts)
    if name is None:
        say(_NO_FILE)
    say(f"{name or 'This'} is good: {found} found")
    for warning in plan.warnings:
        say(f"warning: {warning}", err=True)
    if probed:
        rows = [
            (result.upstream, "ok" if result.ok else "failed", result.what) for result in probed
        ]
        print_table(("UPSTREAM", "STATE", "WHAT IT SAID"), rows)


def write_new(path: Path, text: str, option: str = "--out") -> None:
    """Write a file that is not there yet; UserError when it is, or cannot be written.

    `option` is the one that named it.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UserError(f"{path} is there already; name another file with {option}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
