"""Prepaid limits: a customer may spend the credit that it has bought, and no more.

Problem. Books say in the evening what is left of a customer's credit; a gateway must know before each call.
The two must not differ: what the gateway lets be spent is what the books take out of the wallet.

Decision. A prepaid limit is an ordinary limit on money in all, whose amount is not on record but follows
the credit:

    amount = purchases - refunds - spent before

*Spent before* is what the books had used and let expire when the limit was made; it is on record with the
limit, and everything since is in the ledger. So a purchase raises the amount as soon as a gateway has read
it, within a second, a refund lowers it, and a credit that is voided counts as if it had never been.

*Revisions.* The ledger takes the amount of the highest revision. It counts the changes of the limit and
those of the customer's credit, each of which only ever adds to the number, so that all gateways make the
same revision of the same state, and an older state never replaces a newer one.

*Expiry.* The credit that expires soonest is used first. So by the moment at which a credit has expired, at
least so much must be gone (spent or refunded) as all expired ones came to; what lacks is written off,
as if it had been spent. The rule holds at any later moment too, so it may be applied twice, and late. What
running calls hold at that moment they may still use.

Where the limit and the wallet differ: fees, minimums and tiers of a plan, which no single call costs, use
up the wallet alone; so do calls that ran while the limit was made. Credit that expires sooner than credit
that was bought and partly used before it is taken to have been used first: then the limit lets more be
spent than the wallet has, never more than was bought. Credit that moves in a merger moves no limit.

Rejected. An amount that commands rewrite with each purchase: one that fails in between is not raised. A
wallet that the gateway computes: it reads all calls since the first purchase. A limit for all who have
credit: a customer that is billed for what its credit does not cover would be refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from inferworks.accounts.credit import Credit
from inferworks.accounts.limit import Limit

_CHANGES: Final = 1 << 32
"""Changes of one customer's credit in one revision of its limit, at most."""


class Expiry(NamedTuple):
    """Moment from which at least `least` of a prepaid limit must be used."""

    at_ns: int
    limit: Limit
    least: int


class CreditedLimits(NamedTuple):
    """Limits with the amounts that credit gives to those that are prepaid."""

    limits: list[Limit]
    expiries: list[Expiry]
    """Expiries of credit since its limit was made, in order of time."""


def credited(
    limits: Iterable[Limit], credits_: Iterable[Credit], voided: Iterable[Credit]
) -> CreditedLimits:
    """Return `limits` as customers' credit has them; `voided` credit counts for nothing but revisions."""
    own: dict[str, list[Credit]] = defaultdict(list)
    changes: dict[str, int] = defaultdict(int)
    for credit in credits_:
        own[credit.customer].append(credit)
        changes[credit.customer] += 1
    for credit in voided:
        changes[credit.customer] += 2
    found, expiries = [], []
    for limit in limits:
        if limit.spent_before is not None:
            customer = limit.scope.id
            amount = sum(one.amount_pico for one in own[customer]) - limit.spent_before
            revision = limit.revision * _CHANGES + changes[customer]
            limit = msgspec.structs.replace(limit, amount=max(0, amount), revision=revision)
            expiries += _expiries(limit, own[customer])
        found.append(limit)
    return CreditedLimits(found, sorted(expiries, key=lambda one: one.at_ns))


def _expiries(limit: Limit, own: Sequence[Credit]) -> list[Expiry]:
    """Return the moments of credit that expires after the limit was made, with what is used by then."""
    refunded = -sum(one.amount_pico for one in own if one.is_refund)
    gone = refunded + (limit.spent_before or 0)
    found, expired = [], 0
    dated = [(one.expires_ns, one.amount_pico) for one in own if one.expires_ns is not None]
    for at_ns, amount_pico in sorted(dated):
        expired += amount_pico
        if at_ns > limit.created_ns and expired > gone:
            found.append(Expiry(at_ns, limit, expired - gone))
    return found
