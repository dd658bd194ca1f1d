"""`inferworks customers wallets`: what is left of what customers paid ahead."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import click

from inferworks.accounts.credit import Credit
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.books.months import month_of
from inferworks.books.rate import rate
from inferworks.books.span import Span, utc_day
from inferworks.books.wallet import Prepaid, Wallet, wallets
from inferworks.books.whose import counted_facts
from inferworks.cli.books.papers import customers_of, facts_of, plans_of
from inferworks.cli.options import config_option, data_option, json_option, read_config
from inferworks.cli.show import print_json, print_table, say
from inferworks.clock import SystemClock
from inferworks.config import Config
from inferworks.errors import DataFolderError, UserError
from inferworks.folder import DataFolder
from inferworks.ids import CustomerId
from inferworks.money import format_pico


class Balance(NamedTuple):
    """A customer's wallet as of now, and the first day on which something of what is left expires."""

    wallet: Wallet
    expires_ns: int | None


@click.command("wallets")
@click.argument("name", required=False)
@config_option
@data_option
@json_option
def list_wallets(
    name: str | None, config_path: Path | None, data_path: Path | None, as_json: bool
) -> None:
    """List prepaid credit: what was bought, used, and is left.

    What is left is owed to the customer: a liability. EXPIRES is the first day on which some of it does.

    \b
    Examples:
      inferworks customers wallets
      inferworks customers wallets acme --json
    """
    config = read_config(config_path, data_path)
    now_ns = SystemClock().now_ns()
    balances = [
        balance
        for balance in _balances(config, now_ns)
        if name in (None, str(balance.wallet.customer))
    ]
    if name is not None and not balances:
        raise UserError(f"customer {name!r} never bought credit; see: inferworks customers credit")
    if as_json:
        print_json([_as_json(balance, config.books.currency) for balance in balances])
    elif not balances:
        say("No customer has bought credit; see: inferworks customers credit --help")
    else:
        columns = ("CUSTOMER", "BOUGHT", "USED", "REFUNDED", "EXPIRED", "LEFT", "EXPIRES")
        print_table(columns, map(_row, balances), right="BOUGHT USED REFUNDED EXPIRED LEFT")
        say("", f"Amounts in {config.books.currency}.")


def left_pico(config: Config, customer: CustomerId, at_ns: int) -> int:
    """What is left of the credit of `customer` at a moment, in picounits."""
    found = (one.wallet for one in _balances(config, at_ns))
    return sum(wallet.closing_pico for wallet in found if wallet.customer == customer)


def _balances(config: Config, at_ns: int) -> list[Balance]:
    """Every customer who had bought credit by `at_ns`, as of then."""
    folder = DataFolder(Path(config.data.folder))
    if not folder.accounts.exists():
        raise DataFolderError(f"there are no customers in {folder.path}; name it with --data")
    with closing(SqliteAccounts(folder.accounts, read_only=True)) as accounts:
        bought = [credit for credit in accounts.credits() if credit.bought_ns <= at_ns]
    if not bought:
        return []
    first_ns = min(credit.bought_ns for credit in bought)
    span = Span(month_of(first_ns).start_ns, at_ns + 1)
    directory = customers_of(config)
    customers = {credit.customer for credit in bought} | {one.into for one in directory.moves()}
    plans = [plan for plan in directory.plans(plans_of(folder)) if plan.customer in customers]
    facts = counted_facts(facts_of(config, folder, span), directory)
    calls = (usage for usage in facts.usages if usage.customer in customers)
    revenue = rate(calls, plans, span, config.books.currency, ())
    found = wallets(revenue, Prepaid(tuple(bought), to_date=()), span, directory)
    return [Balance(wallet, _expires_ns(wallet, bought)) for wallet in found]


def _expires_ns(wallet: Wallet, bought: Sequence[Credit]) -> int | None:
    """When the first of the credits expires that something is left of; None when none does."""
    gone: dict[str, int] = defaultdict(int)
    for use in wallet.uses:
        gone[use.credit] += use.amount_pico
    for expiry in wallet.expiries:
        gone[expiry.credit] += expiry.amount_pico
    return min(
        (
            credit.expires_ns
            for credit in bought
            if credit.customer == wallet.customer
            and not credit.is_refund
            and credit.expires_ns is not None
            and gone[credit.id] < credit.amount_pico
        ),
        default=None,
    )


def _row(balance: Balance) -> tuple[str, ...]:
    wallet = balance.wallet
    amounts = (
        *(wallet.bought_pico, wallet.used_pico, wallet.refunded_pico),
        *(wallet.expired_pico, wallet.closing_pico),
    )
    expires = "-" if balance.expires_ns is None else utc_day(balance.expires_ns)
    return (wallet.customer, *map(format_pico, amounts), expires)


def _as_json(balance: Balance, currency: str) -> dict[str, object]:
    wallet = balance.wallet
    return {
        "customer": wallet.customer,
        "currency": currency,
        "bought": format_pico(wallet.bought_pico),
        "used": format_pico(wallet.used_pico),
        "refunded": format_pico(wallet.refunded_pico),
        "expired": format_pico(wallet.expired_pico),
        "left": format_pico(wallet.closing_pico),
        "expires_ns": balance.expires_ns,
    }
