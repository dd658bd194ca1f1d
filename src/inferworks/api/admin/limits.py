"""Routes of limits."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from inferworks.accounts.limit import FOR_EVER_NS, Limit, Measure, ScopeKind, Window
from inferworks.accounts.limit import Scope as LimitScope
from inferworks.accounts.organisation import organisation_id, project_id
from inferworks.accounts.prepaid_limit import credited
from inferworks.accounts.roles import Action, Scope
from inferworks.accounts.zone import zone_name
from inferworks.api.admin.errors import invalid
from inferworks.api.admin.request import (
    Id,
    Nothing,
    OfCustomer,
    Request,
    Route,
    Sent,
    at,
    at_or_none,
    customer_in_query,
)
from inferworks.errors import LimitsError, UserError
from inferworks.ids import CustomerId, new_id
from inferworks.money import entered_pico, format_pico

Count = Annotated[int, Meta(ge=0, le=10**18)]
Money = Annotated[str, Meta(max_length=40)]
Shares = Annotated[tuple[Annotated[int, Meta(ge=1, le=100)], ...], Meta(max_length=10)]
"""Percentages of the amount at which a warning is sent."""


class LimitAnswer(msgspec.Struct, frozen=True):
    """A limit, and what is left of it in the window of this moment."""

    id: str
    key: str | None
    project: str | None
    customer: str | None
    """Customer that is limited, or whose project is."""
    organisation: str | None
    measure: Measure
    currency: str | None
    """Currency of money, whose amounts are decimal text; all others are whole numbers."""
    window: Window
    zone: str
    """Time zone of days and months."""
    hard: bool
    prepaid: bool
    """True if the amount is the customer's credit, as it is bought and paid back."""
    warn: tuple[int, ...]
    """Percentages of the amount at which a warning is sent."""
    amount: str | int
    used: str | int | None
    """Amount that calls have used and gateways hold; null where the ledger cannot be reached."""
    left: str | int | None
    begins: dt.datetime | None
    """Start of the day or month."""
    ends: dt.datetime | None
    revision: int
    created: dt.datetime
    withdrawn: dt.datetime | None


class LimitList(msgspec.Struct, frozen=True):
    """Some limits, and the id after which the rest follows."""

    data: list[LimitAnswer]
    next: str | None


class NewLimit(Sent, frozen=True):
    """A limit to set: on a key, a project of a customer, a customer or an organisation."""

    measure: Measure
    amount: Money | Count
    """Decimal text for money, a whole number for all else."""
    window: Window = Window.TOTAL
    key: Id | None = None
    customer: Id | None = None
    project: Id | None = None
    organisation: Id | None = None
    currency: Annotated[str, Meta(max_length=3)] = ""
    """Currency of money; that of the books, if it is left out."""
    zone: Annotated[str, Meta(max_length=64)] = "UTC"
    hard: bool = True
    """False to count and warn, and refuse nothing."""
    warn: Shares | UnsetType = UNSET
    """Percentages at which a warning is sent; of a soft limit 100, if it is left out."""


class LimitChange(Sent, frozen=True):
    """Changes of a limit; a field that is left out stays."""

    amount: Money | Count | UnsetType = UNSET
    hard: bool | UnsetType = UNSET
    warn: Shares | UnsetType = UNSET


def list_limits(request: Request[None, OfCustomer]) -> LimitList:
    """List limits, on one customer and what is its, or on all that the member sees."""
    query = request.query
    scope = request.narrowed(query.customer)
    page = request.accounts.limits_page(scope, query.after, query.limit)
    return LimitList(_answers(request, page.items), page.after)


def create_limit(request: Request[NewLimit, Nothing]) -> LimitAnswer:
    """Set a limit; a running gateway keeps it within a second."""
    body = request.body
    is_money = body.measure is Measure.MONEY
    if body.currency and not is_money:
        raise invalid("body: a currency is of a limit on money")
    limit = Limit(
        id=new_id("limit", request.now_ns),
        scope=_limited(request),
        measure=body.measure,
        window=body.window,
        amount=_amount(body.measure, body.amount),
        currency=(body.currency or request.services.currency) if is_money else "",
        zone=zone_name(body.zone),
        is_hard=body.hard,
        warn_at=_shares(body.warn) if body.warn is not UNSET else () if body.hard else (100,),
        created_ns=request.now_ns,
    )
    request.accounts.add_limit(limit)
    return _one(request, limit)


def get_limit(request: Request[None, Nothing]) -> LimitAnswer:
    """Get a limit."""
    return _one(request, _named(request))


def change_limit(request: Request[LimitChange, Nothing]) -> LimitAnswer:
    """Change the amount of a limit, whether it refuses, and when it warns."""
    old, body = _named(request), request.body
    if old.spent_before is not None and (body.amount, body.hard) != (UNSET, UNSET):
        raise UserError("the amount of a prepaid limit is the customer's credit, and it is hard")
    amount = old.amount if body.amount is UNSET else _amount(old.measure, body.amount)
    hard = old.is_hard if body.hard is UNSET else body.hard
    warn_at = old.warn_at if body.warn is UNSET else _shares(body.warn)
    new = msgspec.structs.replace(
        old, amount=amount, is_hard=hard, warn_at=warn_at, revision=old.revision + 1
    )
    request.accounts.change_limit(new)
    return _one(request, new)


def withdraw_limit(request: Request[None, Nothing]) -> LimitAnswer:
    """Withdraw a limit: it stays on record and limits nothing from now on."""
    found = _named(request)
    if found.withdrawn_ns is None:
        found = msgspec.structs.replace(
            found, withdrawn_ns=request.now_ns, revision=found.revision + 1
        )
        request.accounts.change_limit(found)
    return _one(request, found)


def _limited(request: Request[NewLimit, object]) -> LimitScope:
    """Return what a new limit is on; AdminError 400 when that is not one thing, 404 for nothing."""
    body = request.body
    named = [name for name in (body.key, body.customer, body.organisation) if name is not None]
    if len(named) != 1 or (body.project is not None and body.customer is None):
        raise invalid("body: name one key, organisation or customer; a project with its customer")
    if body.key is not None:
        return LimitScope(ScopeKind.KEY, request.key(body.key).id)
    if body.organisation is not None:
        found = request.organisation(organisation_id(body.organisation))
        return LimitScope(ScopeKind.ORGANISATION, found.id)
    customer = request.customer(named[0]).id
    if body.project is None:
        return LimitScope(ScopeKind.CUSTOMER, customer)
    return LimitScope(ScopeKind.PROJECT, f"{customer}/{project_id(body.project)}")


def _in_body(request: Request[NewLimit, object]) -> Scope:
    return request.accounts.limited(_limited(request))


def _in_path(request: Request[object, object]) -> Scope:
    return request.accounts.limited(_named(request).scope)


def _named(request: Request[object, object]) -> Limit:
    return request.limit(request.path["limit"])


def _amount(measure: Measure, sent: str | int) -> int:
    if isinstance(sent, str) is not (measure is Measure.MONEY):
        raise invalid("body: an amount of money is decimal text, any other a whole number")
    return entered_pico(sent) if isinstance(sent, str) else sent


def _shares(sent: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(sent)))


def _one(request: Request[object, object], limit: Limit) -> LimitAnswer:
    return _answers(request, [limit])[0]


def _answers(request: Request[object, object], limits: list[Limit]) -> list[LimitAnswer]:
    limits = [_with_credit(request, limit) for limit in limits]
    try:
        used = request.services.limits.in_use(limits, request.now_ns) if limits else {}
    except (LimitsError, UserError):
        used = {}
    return [_answer(one, used.get(one.id), request.now_ns) for one in limits]


def _with_credit(request: Request[object, object], limit: Limit) -> Limit:
    """Return `limit`, a prepaid one with the amount that the customer's credit gives it."""
    if limit.spent_before is None:
        return limit
    customer, accounts = CustomerId(limit.scope.id), request.accounts
    [now] = credited([limit], accounts.credits(customer), accounts.voided_credits(customer)).limits
    return msgspec.structs.replace(now, revision=limit.revision)


def _answer(one: Limit, used: int | None, now_ns: int) -> LimitAnswer:
    kind, name = one.scope
    customer, _, project = name.partition("/")
    begins_ns, ends_ns = one.window_ns(now_ns)
    is_dated = ends_ns < FOR_EVER_NS

    def told(amount: int) -> str | int:
        return format_pico(amount) if one.measure is Measure.MONEY else amount

    return LimitAnswer(
        id=one.id,
        key=name if kind is ScopeKind.KEY else None,
        project=project if kind is ScopeKind.PROJECT else None,
        customer=customer if kind in (ScopeKind.PROJECT, ScopeKind.CUSTOMER) else None,
        organisation=name if kind is ScopeKind.ORGANISATION else None,
        measure=one.measure,
        currency=one.currency or None,
        window=one.window,
        zone=one.zone,
        hard=one.is_hard,
        prepaid=one.spent_before is not None,
        warn=one.warn_at,
        amount=told(one.amount),
        used=None if used is None else told(used),
        left=None if used is None else told(max(0, one.amount - used)),
        begins=at(begins_ns) if is_dated else None,
        ends=at(ends_ns) if is_dated else None,
        revision=one.revision,
        created=at(one.created_ns),
        withdrawn=at_or_none(one.withdrawn_ns),
    )


_ALL, _ONE = "/admin/v1/limits", "/admin/v1/limits/{limit}"
ROUTES = (
    Route(
        "GET", _ALL, Action.READ_LIMITS, list_limits, LimitList, query=OfCustomer,
        subject=customer_in_query,
    ),
    Route(
        "POST", _ALL, Action.CHANGE_LIMITS, create_limit, LimitAnswer, body=NewLimit,
        subject=_in_body, status=201,
    ),
    Route("GET", _ONE, Action.READ_LIMITS, get_limit, LimitAnswer, subject=_in_path),
    Route(
        "PATCH", _ONE, Action.CHANGE_LIMITS, change_limit, LimitAnswer, body=LimitChange,
        subject=_in_path,
    ),
    Route(
        "POST", f"{_ONE}/withdraw", Action.CHANGE_LIMITS, withdraw_limit, LimitAnswer,
        subject=_in_path,
    ),
)  # fmt: skip
