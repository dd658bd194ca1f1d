"""`inferworks customers credit|credits|void`: purchases, refunds and voids of prepaid credit."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click

from inferworks.accounts.customer import customer_id
from inferworks.books.calendar.calendars import calendars_of
from inferworks.books.calendar.span import utc_day
from inferworks.cli.books.opening import print_note, workspace_of
from inferworks.cli.options import config_option, data_option, json_option, moment_ns
from inferworks.cli.show import print_json, print_table, say
from inferworks.money import entered_pico, format_pico


@click.command()
@click.argument("name")
@click.option(
    "--amount", required=True, metavar="AMOUNT", help="Amount paid ahead; negative: paid back."
)
@click.option("--at", metavar="MOMENT", help="Day or moment of the payment.  [default: now]")
@click.option(
    "--expires",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Day, in the customer's time zone, from which it can no longer be used.",
)
@click.option("--reason", default="", metavar="TEXT", help="Reason of a refund.")
@config_option
@data_option
def credit(
    name: str,
    amount: str,
    at: str | None,
    expires: dt.datetime | None,
    reason: str,
    config_path: Path | None,
    data_path: Path | None,
) -> None:
    """Sell a customer credit, or pay back what is left of it.

    Credit is a liability until it is used, paid back, or expires. A refund cannot exceed the remaining
    credit, and a closed period accepts no entries.

    \b
    Examples:
      inferworks customers credit acme --amount 100.00 --expires 2027-11-01
      inferworks customers credit acme --amount 40.00 --at 2026-11-28
      inferworks customers credit acme --amount=-50.00 --reason "contract ended"
    """
    paid_ns = None if at is None else moment_ns(at, "--at")
    day = None if expires is None else expires.date()
    workspace = workspace_of(config_path, data_path)
    paid, excess_pico, counts_for = workspace.enter_credit(
        name, entered_pico(amount), paid_ns, day, reason
    )
    if counts_for != paid.customer:
        print_note(f"{paid.customer} counts as {counts_for} then; it is the other's credit")
    if not paid.is_refund:
        say(f"Added {format_pico(paid.amount_pico)} {paid.currency} of credit to {name}.")
        return
    say(f"Paid back {format_pico(-paid.amount_pico)} {paid.currency} of credit to {name}.")
    if excess_pico:
        print_note(
            f"that is all that was left; {format_pico(excess_pico)} beyond it is no credit, and not "
            "entered."
        )


@click.command("credits")
@click.argument("name")
@config_option
@data_option
@json_option
def list_credits(
    name: str, config_path: Path | None, data_path: Path | None, as_json: bool
) -> None:
    """List a customer's purchases and refunds of prepaid credit, voided ones too.

    \b
    Example:
      inferworks customers credits acme
    """
    workspace = workspace_of(config_path, data_path)
    own = workspace.credits(name)
    calendar = calendars_of(workspace.customers()).of(customer_id(name))
    if as_json:
        print_json(
            [
                {
                    "id": one.id,
                    "customer": one.customer,
                    "paid_ns": one.bought_ns,
                    "amount": format_pico(one.amount_pico),
                    "currency": one.currency,
                    "expires_ns": one.expires_ns,
                    "voided_ns": one.voided_ns,
                    "reason": one.reason,
                }
                for one in own
            ]
        )
        return
    if not own:
        say(f"{name} has no prepaid credit.")
        return
    rows = []
    for one in own:
        until = "-" if one.expires_ns is None else calendar.date(one.expires_ns).isoformat()
        ends = until if one.voided_ns is None else "voided"
        rows.append((one.id, utc_day(one.bought_ns), format_pico(one.amount_pico), ends))
    print_table(("CREDIT", "PAID", "AMOUNT", "EXPIRES"), rows, right="AMOUNT")
    say("", f"Amounts in {', '.join(sorted({one.currency for one in own}))}.")


@click.command()
@click.argument("credit_id", metavar="CREDIT")
@click.option("--reason", required=True, metavar="TEXT", help="Reason, for the record.")
@config_option
@data_option
def void(credit_id: str, reason: str, config_path: Path | None, data_path: Path | None) -> None:
    """Void a purchase or refund of credit that was a mistake: it counts as if it had never been.

    The entry stays on record. One in a closed period cannot be voided; pay the credit back instead.

    \b
    Example:
      inferworks customers void credit_01hx3 --reason "entered twice"
    """
    voided = workspace_of(config_path, data_path).void_credit(credit_id, reason)
    amount = f"{format_pico(voided.amount_pico)} {voided.currency}"
    say(f"The credit of {amount} to {voided.customer} is void.")
