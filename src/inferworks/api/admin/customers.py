"""Routes of customers."""

from __future__ import annotations

import datetime as dt

import msgspec
from msgspec import UNSET, UnsetType

from inferworks.accounts.customer import Customer, CustomerFact, customer_id, written_name
from inferworks.accounts.directory import directory_of
from inferworks.accounts.organisation import organisation_id
from inferworks.accounts.roles import Action
from inferworks.api.admin.request import (
    Id,
    Name,
    Nothing,
    Paging,
    Request,
    Route,
    Sent,
    at,
    customer_in_path,
)
from inferworks.ids import CustomerId


class CustomerAnswer(msgspec.Struct, frozen=True):
    """A customer as it is now."""

    id: str
    created: dt.datetime
    name: str
    """Display name; empty for none."""
    legal_name: str
    organisation: str | None
    zone: str
    """Time zone; empty for UTC."""
    currency: str
    """Currency of its prices; empty for that of the books."""
    counts_as: str | None
    """Customer that it was merged with; itself when with none, null where the member may not see it."""


class CustomerList(msgspec.Struct, frozen=True):
    """Some customers, and the id after which the rest follows."""

    data: list[CustomerAnswer]
    next: str | None


class NewCustomer(Sent, frozen=True):
    """A customer to create."""

    id: Id
    name: Name = ""
    legal_name: Name = ""
    organisation: Id | None = None
    reason: Name = ""


class CustomerChange(Sent, frozen=True):
    """Changes of a customer from now on; a field that is left out stays."""

    name: Name | UnsetType = UNSET
    legal_name: Name | UnsetType = UNSET
    organisation: Id | UnsetType | None = UNSET
    reason: Name = ""


def list_customers(request: Request[None, Paging]) -> CustomerList:
    """List customers."""
    page = request.accounts.customers_page(
        request.member.scope, request.query.after, request.query.limit
    )
    return CustomerList([_answer(request, one) for one in page.items], page.after)


def create_customer(request: Request[NewCustomer, Nothing]) -> CustomerAnswer:
    """Create a customer."""
    body, made = request.body, Customer(customer_id(request.body.id), request.now_ns)
    with request.accounts.transaction():
        request.accounts.add_customer(made)
        if body.name or body.legal_name:
            _rename(request, made.id, body.name or None, body.legal_name or None, body.reason)
        if body.organisation is not None:
            request.accounts.place_customer(made.id, organisation_id(body.organisation))
    return _answer(request, made)


def get_customer(request: Request[None, Nothing]) -> CustomerAnswer:
    """Get a customer."""
    return _answer(request, request.customer(request.path["customer"]))


def change_customer(request: Request[CustomerChange, Nothing]) -> CustomerAnswer:
    """Rename a customer from now on, or put it into an organisation or out of one."""
    body, customer = request.body, request.customer(request.path["customer"])
    with request.accounts.transaction():
        if body.name is not UNSET or body.legal_name is not UNSET:
            name, legal_name = (
                None if one is UNSET else one for one in (body.name, body.legal_name)
            )
            _rename(request, customer.id, name, legal_name, body.reason)
        if body.organisation is not UNSET:
            named = None if body.organisation is None else organisation_id(body.organisation)
            request.accounts.place_customer(customer.id, named)
    return _answer(request, customer)


def _rename(
    request: Request[object, object],
    customer: CustomerId,
    name: str | None,
    legal_name: str | None,
    reason: str,
) -> None:
    request.accounts.add_fact(
        CustomerFact(
            customer=customer,
            effective_ns=request.now_ns,
            recorded_ns=request.now_ns,
            by=request.member.id,
            reason=" ".join(reason.split()),
            display_name=None if name is None else written_name(name),
            legal_name=None if legal_name is None else written_name(legal_name),
        )
    )


def _answer(request: Request[object, object], customer: Customer) -> CustomerAnswer:
    facts = [
        fact for fact in request.accounts.facts(customer.id) if fact.effective_ns <= request.now_ns
    ]
    last: dict[str, str] = {}
    for fact in sorted(facts, key=lambda fact: fact.effective_ns):
        said = {name: getattr(fact, name) for name in _SAID}
        last |= {name: text for name, text in said.items() if text is not None}
    counts_as = directory_of(facts).into(customer.id, request.now_ns)
    return CustomerAnswer(
        id=customer.id,
        created=at(customer.created_ns),
        name=last.get("display_name", ""),
        legal_name=last.get("legal_name", ""),
        organisation=request.accounts.organisation_of(customer.id),
        zone=last.get("zone", ""),
        currency=last.get("currency", ""),
        counts_as=counts_as if request.sees(counts_as) else None,
    )


_SAID = ("display_name", "legal_name", "zone", "currency")
_ONE = "/admin/v1/customers/{customer}"
ROUTES = (
    Route(
        "GET", "/admin/v1/customers", Action.READ_CUSTOMERS, list_customers, CustomerList,
        query=Paging,
    ),
    Route(
        "POST", "/admin/v1/customers", Action.CREATE_CUSTOMERS, create_customer, CustomerAnswer,
        body=NewCustomer, status=201,
    ),
    Route(
        "GET", _ONE, Action.READ_CUSTOMERS, get_customer, CustomerAnswer, subject=customer_in_path
    ),
    Route(
        "PATCH", _ONE, Action.CHANGE_CUSTOMERS, change_customer, CustomerAnswer,
        body=CustomerChange, subject=customer_in_path,
    ),
)  # fmt: skip
