"""A request of the admin API as the functions of its routes see it, and the table's own types."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, Protocol, TypeVar

import msgspec
from msgspec import Meta

from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import Customer, customer_id
from inferworks.accounts.key import Key
from inferworks.accounts.limit import Limit
from inferworks.accounts.member import Member, MemberToken
from inferworks.accounts.organisation import Organisation
from inferworks.accounts.pepper import Pepper
from inferworks.accounts.plan import PricePlan
from inferworks.accounts.roles import Action, Scope, check_change
from inferworks.accounts.stores.base import Accounts
from inferworks.api.admin.errors import invalid, not_found
from inferworks.api.questions import UsageReads
from inferworks.errors import UserError
from inferworks.ids import CustomerId, KeyId, MemberId, OrganisationId
from inferworks.units import NS_PER_SECOND

Body_co = TypeVar("Body_co", covariant=True)
Query_co = TypeVar("Query_co", covariant=True)
T = TypeVar("T")

MOST_PER_PAGE: Final = 200
_END_YEAR: Final = 2200
"""Year from which on a moment is a slip, and soon outgrows 64 bits of nanoseconds."""
PageLimit = Annotated[int, Meta(ge=1, le=MOST_PER_PAGE)]
Name = Annotated[str, Meta(max_length=100)]
Id = Annotated[str, Meta(min_length=1, max_length=100)]


class Sent(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Something that a client sends: a field that is not known is refused, never passed over."""


class Nothing(Sent, frozen=True):
    """No parameters."""


class Paging(Sent, frozen=True):
    """Parameters of a list: at most `limit` records from the first after `after`."""

    limit: PageLimit = 50
    after: Annotated[str, Meta(max_length=200)] = ""


class OfCustomer(Paging, frozen=True):
    """Parameters of a list of one customer's records."""

    customer: Id | None = None


class CreditBooks(Protocol):
    """Entry of prepaid credit by the rules of the books."""

    def add(
        self, accounts: Accounts, customer: CustomerId, amount_pico: int, expires: dt.date | None,
        reason: str,
    ) -> Credit:  # fmt: skip
        """Enter a purchase, paid now; UserError when the books do not allow it."""
        ...

    def void(self, accounts: Accounts, credit_id: str, reason: str) -> Credit:
        """Void a purchase that was a mistake, in the same way."""
        ...


class LimitsUse(Protocol):
    """Source of what is used of limits."""

    def in_use(self, limits: Sequence[Limit], at_ns: int) -> Mapping[str, int]:
        """Return what is taken of `limits` in the windows of `at_ns`, by id: used, or held by gateways.

        LimitsError when it cannot be had.
        """
        ...


class UsageOfCustomers(UsageReads, Protocol):
    """Source of what customers have used, and of their prices."""

    def plans_of(self, customer: CustomerId) -> Sequence[PricePlan]:
        """Return the price plans of a customer's calls: after a merger, those of who it counts as."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """Services that the admin API needs beside the accounts."""

    pepper: Pepper
    currency: str
    """Currency of the books."""
    credit: CreditBooks
    limits: LimitsUse
    usage: UsageOfCustomers


@dataclass(frozen=True, slots=True)
class Request(Generic[Body_co, Query_co]):
    """A request of a member, read and checked."""

    accounts: Accounts
    member: Member
    path: Mapping[str, str]
    query: Query_co
    body: Body_co
    now_ns: int
    services: Services

    def customer(self, name: str) -> Customer:
        """Return a customer within the scope of the member; AdminError 404 when there is none."""
        try:
            found = self.accounts.customer(customer_id(name))
        except UserError:
            found = None
        if found is None or not self.member.scope.holds(self.scope_of(found.id)):
            raise not_found(f"customer {name}")
        return found

    def key(self, name: str) -> Key:
        """Return a key in the same way."""
        found = self.accounts.key(KeyId(name))
        if found is None or not self.member.scope.holds(self.scope_of(found.customer)):
            raise not_found(f"key {name}")
        return found

    def member_named(self, name: str) -> Member:
        """Return a member in the same way."""
        found = self.accounts.member(MemberId(name))
        if found is None or not self.member.scope.holds(self.accounts.scope_of(found.scope)):
            raise not_found(f"member {name}")
        return found

    def organisation(self, name: str) -> Organisation:
        """Return an organisation in the same way."""
        found = self.accounts.organisation(OrganisationId(name))
        if found is None or not self.member.scope.holds(Scope(organisation=found.id)):
            raise not_found(f"organisation {name}")
        return found

    def limit(self, name: str) -> Limit:
        """Return a limit in the same way."""
        found = self.accounts.limit(name)
        if found is None or not self.member.scope.holds(self.accounts.limited(found.scope)):
            raise not_found(f"limit {name}")
        return found

    def token(self, member: MemberId, name: str) -> MemberToken:
        """Return a token of a member."""
        for found in self.accounts.member_tokens(member):
            if found.id == name:
                return found
        raise not_found(f"token {name}")

    def scope_of(self, customer: CustomerId) -> Scope:
        """Return the scope of a customer, with its organisation."""
        return self.accounts.scope_of(Scope(customer=customer))

    def sees(self, customer: CustomerId) -> bool:
        """Return whether a customer lies within the scope of the member."""
        return self.member.scope.holds(self.scope_of(customer))

    def check(self, action: Action, subject: Scope, what: str) -> None:
        """Check that the member may do `action` to `what`, which lies in `subject`; see `check_change`."""
        check_change(self.member.role, self.member.scope, action, subject, what)

    def narrowed(self, customer: str | None) -> Scope:
        """Return the scope of a list: that of the member, or one customer within it."""
        if customer is None:
            return self.member.scope
        return Scope(customer=self.customer(customer).id)


Subject = Callable[[Request[Any, Any]], Scope]
"""Function that finds what a request is about, and returns where that lies; AdminError 404 for nothing."""


@dataclass(frozen=True, slots=True)
class Route:
    """One thing that can be done at a path."""

    method: str
    path: str
    """Template: `{name}` stands for one segment."""
    action: Action | None
    """Action that the member's role must allow; None: any member may."""
    act: Callable[[Request[Any, Any]], object]
    """Function that does it; the first line of its docstring is the summary."""
    answer: Any
    """Type of the answer's body."""
    body: Any = None
    """Type of the request's body; None: it has none."""
    query: type[Sent] = Nothing
    subject: Subject | None = None
    status: int = 200


def customer_in_path(request: Request[Any, Any]) -> Scope:
    """Return the scope of the customer in the path."""
    return request.scope_of(request.customer(request.path["customer"]).id)


def customer_in_body(request: Request[Any, Any]) -> Scope:
    """Return the scope of the customer in the body."""
    return request.scope_of(request.customer(request.body.customer).id)


def customer_in_query(request: Request[Any, OfCustomer]) -> Scope:
    """Return the scope of the customer in the query; without one that of the member itself."""
    return request.accounts.scope_of(request.narrowed(request.query.customer))


def moment_ns(moment: dt.datetime, field: str) -> int:
    """Return a moment that was sent in nanoseconds; AdminError 400 without an offset or out of bounds."""
    if moment.tzinfo is None or not 2000 <= moment.year < _END_YEAR:
        raise invalid(f"{field}: write a moment before {_END_YEAR} as 2027-01-01T00:00:00Z")
    return round(moment.timestamp()) * NS_PER_SECOND


def at(at_ns: int) -> dt.datetime:
    """Return a moment as JSON has it, to the microsecond."""
    seconds, rest_ns = divmod(at_ns, NS_PER_SECOND)
    return dt.datetime.fromtimestamp(seconds, dt.UTC).replace(microsecond=rest_ns // 1000)


def at_or_none(at_ns: int | None) -> dt.datetime | None:
    """Return the same of a moment that may not have come."""
    return None if at_ns is None else at(at_ns)


def paged(
    items: Sequence[T], id_of: Callable[[T], str], query: Paging
) -> tuple[list[T], str | None]:
    """Return the page of `items`, in the order of their ids, and the id after which more follow."""
    rest = [one for one in items if id_of(one) > query.after]
    page = rest[: query.limit]
    return page, id_of(page[-1]) if len(rest) > len(page) else None
