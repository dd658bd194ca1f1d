"""Routes of prepaid credit."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import msgspec
from msgspec import Meta

from inferworks.accounts.credit import Credit
from inferworks.accounts.roles import Action
from inferworks.api.admin.errors import not_found
from inferworks.api.admin.request import (
    Name,
    Nothing,
    Paging,
    Request,
    Route,
    Sent,
    at,
    at_or_none,
    customer_in_path,
    paged,
)
from inferworks.errors import UserError
from inferworks.money import entered_pico, format_pico


class CreditAnswer(msgspec.Struct, frozen=True):
    """A purchase or a refund of prepaid credit."""

    id: str
    customer: str
    amount: str
    """Exact decimal number; negative for a refund."""
    currency: str
    paid: dt.datetime
    expires: dt.datetime | None
    voided: dt.datetime | None
    reason: str


class CreditList(msgspec.Struct, frozen=True):
    """Some purchases and refunds, voided ones too, and the id after which the rest follows."""

    data: list[CreditAnswer]
    next: str | None


class NewCredit(Sent, frozen=True):
    """A purchase of credit, paid now."""

    amount: Annotated[str, Meta(max_length=40)]
    """Exact decimal number, above zero."""
    expires: dt.date | None = None
    """First day, by the customer's clock, on which it can no longer be used."""
    reason: Name = ""


class Voiding(Sent, frozen=True):
    """The reason why a purchase is void, for the record."""

    reason: Annotated[str, Meta(min_length=1, max_length=200)]


def list_credits(request: Request[None, Paging]) -> CreditList:
    """List the purchases and refunds of a customer."""
    found, rest = paged(_all(request), lambda one: one.id, request.query)
    return CreditList([_answer(one) for one in found], rest)


def create_credit(request: Request[NewCredit, Nothing]) -> CreditAnswer:
    """Enter a purchase of credit by a customer."""
    customer, body = request.customer(request.path["customer"]).id, request.body
    amount_pico = entered_pico(body.amount)
    if amount_pico <= 0:
        raise UserError(
            "an amount bought is above zero; credit is paid back with: inferworks customers credit"
        )
    add = request.services.credit.add
    return _answer(add(request.accounts, customer, amount_pico, body.expires, body.reason))


def void_credit(request: Request[Voiding, Nothing]) -> CreditAnswer:
    """Void a purchase that was a mistake: it counts as if it had never been."""
    name = request.path["credit"]
    if name not in {one.id for one in _all(request)}:
        raise not_found(f"credit {name}")
    return _answer(request.services.credit.void(request.accounts, name, request.body.reason))


def _all(request: Request[object, object]) -> list[Credit]:
    customer = request.customer(request.path["customer"]).id
    own = (*request.accounts.credits(customer), *request.accounts.voided_credits(customer))
    return sorted(own, key=lambda one: one.id)


def _answer(one: Credit) -> CreditAnswer:
    return CreditAnswer(
        id=one.id,
        customer=one.customer,
        amount=format_pico(one.amount_pico),
        currency=one.currency,
        paid=at(one.bought_ns),
        expires=at_or_none(one.expires_ns),
        voided=at_or_none(one.voided_ns),
        reason=one.reason,
    )


_ALL = "/admin/v1/customers/{customer}/credits"
ROUTES = (
    Route(
        "GET", _ALL, Action.READ_CREDITS, list_credits, CreditList, query=Paging,
        subject=customer_in_path,
    ),
    Route(
        "POST", _ALL, Action.CHANGE_CREDITS, create_credit, CreditAnswer, body=NewCredit,
        subject=customer_in_path, status=201,
    ),
    Route(
        "POST", f"{_ALL}/{{credit}}/void", Action.CHANGE_CREDITS, void_credit, CreditAnswer,
        body=Voiding, subject=customer_in_path,
    ),
)  # fmt: skip
