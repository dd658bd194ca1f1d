"""`inferworks members`: people and services that may use the admin API."""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec

from inferworks.accounts.customer import customer_id
from inferworks.accounts.member import (
    DEFAULT_DAYS,
    MOST_DAYS,
    Member,
    MemberKind,
    mint_token,
)
from inferworks.accounts.organisation import organisation_id
from inferworks.accounts.roles import Role
from inferworks.cli.options import config_option, data_folder, data_option, json_option, read_config
from inferworks.cli.show import iso, print_json, print_table, say
from inferworks.clock import SystemClock
from inferworks.ids import MemberId, new_id
from inferworks.wiring.accounts import change_accounts, member_named, read_accounts

_role = click.Choice([str(role) for role in Role])


@click.group()
def members() -> None:
    """Create members with roles, and make tokens for the admin API."""


@members.command()
@click.argument("name")
@click.option("--role", required=True, type=_role, help="Role; docs/accounts.md has the table.")
@click.option("--email", default="", metavar="ADDRESS", help="Email address of a person.")
@click.option("--service", is_flag=True, help="It is a service, and no person.")
@click.option("--organisation", metavar="ID", help="Organisation that it is limited to.")
@click.option("--customer", metavar="ID", help="Customer that it is limited to.")
@config_option
@data_option
@json_option
def create(
    name: str,
    role: str,
    email: str,
    service: bool,
    organisation: str | None,
    customer: str | None,
    config_path: Path | None,
    data_path: Path | None,
    as_json: bool,
) -> None:
    """Create a member: of the whole installation, of an organisation, or of a customer.

    \b
    Examples:
      inferworks members create Ann --email ann@example.com --role owner
      inferworks members create deploy --service --role developer --customer acme
    """
    config, now_ns = read_config(config_path, data_path), SystemClock().now_ns()
    data_folder(config_path, data_path).create()
    made = Member(
        id=MemberId(new_id("member", now_ns)),
        role=Role(role),
        created_ns=now_ns,
        kind=MemberKind.SERVICE if service else MemberKind.PERSON,
        name=name,
        email=email,
        organisation=None if organisation is None else organisation_id(organisation),
        customer=None if customer is None else customer_id(customer),
    )
    with change_accounts(config, os.environ) as accounts:
        accounts.add_member(made)
    if as_json:
        print_json(_as_json(made))
        return
    say(f"{name} is {made.id}. Make a token with: inferworks members token {made.id}")


@members.command("list")
@config_option
@data_option
@json_option
def list_members(config_path: Path | None, data_path: Path | None, as_json: bool) -> None:
    """List members."""
    with read_accounts(read_config(config_path, data_path)) as accounts:
        found = accounts.members()
    if as_json:
        print_json([_as_json(one) for one in found])
        return
    rows = [
        (
            *(one.id, one.email or one.name, one.role),
            one.organisation or one.customer or "everything",
            "active" if one.withdrawn_ns is None else "withdrawn",
        )
        for one in found
    ]
    print_table(("ID", "MEMBER", "ROLE", "SEES", "STATE"), rows)


@members.command()
@click.argument("member")
@config_option
@data_option
@json_option
def show(member: str, config_path: Path | None, data_path: Path | None, as_json: bool) -> None:
    """Show a member and its tokens, by id or email address; secrets are not kept.

    \b
    Example:
      inferworks members show ann@example.com
    """
    with read_accounts(read_config(config_path, data_path)) as accounts:
        found = member_named(accounts, member)
        tokens = accounts.member_tokens(found.id)
    now_ns = SystemClock().now_ns()
    if as_json:
        listed = [
            {
                "id": one.id,
                "hint": one.hint,
                "created": iso(one.created_ns),
                "expires": iso(one.expires_ns),
                "revoked": None if one.revoked_ns is None else iso(one.revoked_ns),
            }
            for one in tokens
        ]
        print_json({**_as_json(found), "tokens": listed})
        return
    sees = found.organisation or found.customer or "everything"
    say(f"{found.id}: {found.name} {found.email}".rstrip(), f"{found.role}, sees {sees}", "")
    rows = [
        (
            one.id,
            f"…{one.hint}",
            iso(one.expires_ns)[:10],
            "valid" if one.is_valid(now_ns) else "over",
        )
        for one in tokens
    ]
    print_table(("TOKEN", "ENDS IN", "EXPIRES", "STATE"), rows)


@members.command()
@click.argument("member")
@click.option("--role", type=_role, help="Role from now on.")
@click.option("--name", help="Name.")
@click.option("--email", metavar="ADDRESS", help="Email address.")
@config_option
@data_option
def change(
    member: str, role: str | None, name: str | None, email: str | None, config_path: Path | None,
    data_path: Path | None,
) -> None:  # fmt: skip
    """Change the role, name or address of a member.

    \b
    Example:
      inferworks members change ann@example.com --role finance
    """
    given = {"role": role and Role(role), "name": name, "email": email}
    changes = {field: value for field, value in given.items() if value is not None}
    if not changes:
        raise click.UsageError("give --role, --name or --email")
    with change_accounts(read_config(config_path, data_path), os.environ) as accounts:
        changed = msgspec.structs.replace(member_named(accounts, member), **changes)
        accounts.change_member(changed)
    say(f"{changed.id} changed.")


@members.command()
@click.argument("member")
@config_option
@data_option
def withdraw(member: str, config_path: Path | None, data_path: Path | None) -> None:
    """Withdraw a member: its tokens are refused from now on. It stays on record.

    \b
    Example:
      inferworks members withdraw ann@example.com
    """
    with change_accounts(read_config(config_path, data_path), os.environ) as accounts:
        found = member_named(accounts, member)
        if found.withdrawn_ns is None:
            now_ns = SystemClock().now_ns()
            accounts.change_member(msgspec.structs.replace(found, withdrawn_ns=now_ns))
    say(f"{found.id} is withdrawn.")


@members.command()
@click.argument("member")
@click.option(
    "--days", default=DEFAULT_DAYS, show_default=True, type=click.IntRange(1, MOST_DAYS),
    help="Days for which it is valid.",
)  # fmt: skip
@config_option
@data_option
@json_option
def token(
    member: str, days: int, config_path: Path | None, data_path: Path | None, as_json: bool
) -> None:
    """Make a token for a member, for the admin API, and show it once.

    \b
    Examples:
      inferworks members token ann@example.com
      inferworks members token member_019a2f... --days 7
    """
    with change_accounts(read_config(config_path, data_path), os.environ) as accounts:
        found = member_named(accounts, member)
        made, secret = mint_token(found.id, SystemClock().now_ns(), days)
        accounts.add_member_token(made)
    if as_json:
        print_json({"id": made.id, "token": secret, "expires": iso(made.expires_ns)})
        return
    say(secret, "")
    say(
        f"This is the only time it is shown. Its id is {made.id}; it ends on {iso(made.expires_ns)[:10]}."
    )


@members.command()
@click.argument("token_id", metavar="TOKEN")
@config_option
@data_option
def revoke(token_id: str, config_path: Path | None, data_path: Path | None) -> None:
    """Revoke a token; the next request with it is refused.

    \b
    Example:
      inferworks members revoke token_019a2f...
    """
    with change_accounts(read_config(config_path, data_path), os.environ) as accounts:
        revoked = accounts.revoke_member_token(token_id, SystemClock().now_ns())
    say(f"{revoked.id} of {revoked.member} is revoked.")


def _as_json(one: Member) -> dict[str, object]:
    return {
        "id": one.id,
        "kind": one.kind,
        "name": one.name,
        "email": one.email,
        "role": one.role,
        "organisation": one.organisation,
        "customer": one.customer,
        "created": iso(one.created_ns),
        "withdrawn": None if one.withdrawn_ns is None else iso(one.withdrawn_ns),
    }
