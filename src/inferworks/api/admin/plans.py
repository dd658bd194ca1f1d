"""Routes of price plans."""

from __future__ import annotations

import datetime as dt

import msgspec

from inferworks.accounts.customer import currency_at
from inferworks.accounts.plan import PricePlan, Terms
from inferworks.accounts.plan_file import WrittenTerms, terms_of
from inferworks.accounts.roles import Action
from inferworks.api.admin.errors import not_found
from inferworks.api.admin.request import (
    Nothing,
    Paging,
    Request,
    Route,
    Sent,
    at,
    customer_in_path,
    moment_ns,
    paged,
)
from inferworks.errors import UserError


class PlanAnswer(msgspec.Struct, frozen=True):
    """Terms of a customer from a moment on; amounts in picounits, 10^-12 of the currency."""

    id: str
    """The moment from which it holds, in nanoseconds since 1970."""
    customer: str
    effective: dt.datetime
    terms_sha256: str
    terms: Terms


class PlanList(msgspec.Struct, frozen=True):
    """Some price plans, by moment, and the id after which the rest follows."""

    data: list[PlanAnswer]
    next: str | None


class NewPlan(Sent, frozen=True):
    """A price plan, with the fields of a plan file (docs/prices.md)."""

    terms: WrittenTerms
    effective: dt.datetime | None = None
    """Moment from which it holds, not before now; without one: now."""


def list_plans(request: Request[None, Paging]) -> PlanList:
    """List the price plans of a customer."""
    customer = request.customer(request.path["customer"]).id
    plans = request.accounts.plans(customer)
    found, rest = paged(plans, _id, request.query)
    return PlanList([_answer(one) for one in found], rest)


def create_plan(request: Request[NewPlan, Nothing]) -> PlanAnswer:
    """Set the prices of a customer from a moment on; calls before it keep theirs."""
    customer, body = request.customer(request.path["customer"]).id, request.body
    effective_ns = request.now_ns
    if body.effective is not None:
        effective_ns = moment_ns(body.effective, "effective")
        if effective_ns < request.now_ns:
            raise UserError(
                "a plan set here begins now or later; prices of the past are set where the books are: "
                "inferworks customers price"
            )
    plan = PricePlan(customer, effective_ns, terms_of(body.terms))
    paid_in = currency_at(
        request.accounts.facts(customer), customer, effective_ns, request.services.currency
    )
    if plan.currency != paid_in:
        raise UserError(f"{customer} pays in {paid_in}, and the plan is in {plan.currency}")
    request.accounts.add_plan(plan)
    return _answer(plan)


def withdraw_plan(request: Request[None, Nothing]) -> PlanAnswer:
    """Withdraw a price plan that has not begun; the one before it goes on."""
    customer, name = request.customer(request.path["customer"]).id, request.path["plan"]
    for plan in request.accounts.plans(customer):
        if _id(plan) == name:
            if plan.effective_ns <= request.now_ns:
                raise UserError(
                    "a plan that has begun is withdrawn where the books are: inferworks customers withdraw"
                )
            request.accounts.withdraw_plan(customer, plan.effective_ns, request.now_ns)
            return _answer(plan)
    raise not_found(f"plan {name}")


def _id(plan: PricePlan) -> str:
    return f"{plan.effective_ns:020d}"


def _answer(plan: PricePlan) -> PlanAnswer:
    effective = at(plan.effective_ns)
    return PlanAnswer(_id(plan), plan.customer, effective, plan.terms.sha256, plan.terms)


_ALL = "/admin/v1/customers/{customer}/plans"
ROUTES = (
    Route(
        "GET", _ALL, Action.READ_PLANS, list_plans, PlanList, query=Paging,
        subject=customer_in_path,
    ),
    Route(
        "POST", _ALL, Action.CHANGE_PLANS, create_plan, PlanAnswer, body=NewPlan,
        subject=customer_in_path, status=201,
    ),
    Route(
        "POST", f"{_ALL}/{{plan}}/withdraw", Action.CHANGE_PLANS, withdraw_plan, PlanAnswer,
        subject=customer_in_path,
    ),
)  # fmt: skip
