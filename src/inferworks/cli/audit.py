"""`inferworks audit`: the log of every change of accounts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from inferworks.accounts.audit import AuditEntry, parse_head, verify
from inferworks.accounts.stores.base import Registry
from inferworks.cli.options import config_option, data_option, json_option, moment_ns, read_config
from inferworks.cli.show import iso, print_json, print_table, say
from inferworks.errors import UserError
from inferworks.visible import quoted
from inferworks.wiring.accounts import read_accounts


@click.group()
def audit() -> None:
    """Show who changed which account, and check that the log is whole."""


@audit.command()
@click.option("--since", metavar="MOMENT", help="Changes from then on.")
@click.option(
    "--who",
    metavar="TEXT",
    help="Changes by a member, by part of its name, address or id, or by a user of a machine.",
)
@click.option("--subject", metavar="TEXT", help="Changes of what has this in its name.")
@config_option
@data_option
@json_option
def log(
    since: str | None,
    who: str | None,
    subject: str | None,
    config_path: Path | None,
    data_path: Path | None,
    as_json: bool,
) -> None:
    """List the changes of accounts: when, who, from where, what, and the thing before and after (--json).

    \b
    Examples:
      inferworks audit log
      inferworks audit log --since 2026-12-01 --who ann --json
      inferworks audit log --subject "customer acme"
    """
    since_ns = 0 if since is None else moment_ns(since, "--since")
    with read_accounts(read_config(config_path, data_path)) as accounts:
        rows = accounts.audit()
        authors = None if who is None else _authors(who, rows, accounts)
        found = [
            row
            for row in rows
            if row.at_ns >= since_ns
            and (authors is None or row.who in authors)
            and (subject is None or subject in row.subject or subject in f"customer {row.customer}")
        ]
    if as_json:
        print_json([_as_json(row) for row in found])
        return
    if not found:
        say("There is no such change.")
        return
    print_table(
        ("ROW", "AT", "WHO", "ACTION", "SUBJECT"),
        [(str(row.number), iso(row.at_ns)[:19], row.who, row.action, row.subject) for row in found],
        right="ROW",
    )


@audit.command("verify")
@click.option("--head", metavar="HEAD", help="A head that was printed before and noted elsewhere.")
@config_option
@data_option
@json_option
def verify_log(
    head: str | None, config_path: Path | None, data_path: Path | None, as_json: bool
) -> None:
    """Check that each row of the log is as it was written and none is missing; name the first that is not.

    The head that it prints is worth noting elsewhere: who can write the file can also write the whole log
    anew, and only a head from before shows that.

    \b
    Examples:
      inferworks audit verify
      inferworks audit verify --head "$(cat /mnt/elsewhere/audit-head)"
    """
    noted = None if head is None else parse_head(head)
    with read_accounts(read_config(config_path, data_path)) as accounts:
        found = accounts.audit_head()
        count = verify(accounts.audit(), found, noted)
    if as_json:
        print_json({"rows": count, "head": str(found)})
        return
    say(f"{count} rows are as they were written. Head: {found}")


def _authors(who: str, rows: Iterable[AuditEntry], accounts: Registry) -> set[str]:
    """Return the authors that `who` may mean, as rows name them; UserError when nobody is called so."""
    wanted = who.casefold()
    members = {
        str(one.id)
        for one in accounts.members()
        if any(wanted in text.casefold() for text in (one.id, one.name, one.email))
    }
    found = members | {row.who for row in rows if wanted in row.who.casefold()}
    if not found:
        raise UserError(
            f"nobody called {quoted(who)} is a member or has changed accounts; see: inferworks members list"
        )
    return found


def _as_json(row: AuditEntry) -> dict[str, object]:
    return {**row._asdict(), "at": iso(row.at_ns)}
