"""Route of usage: what `GET /v1/usage` tells a customer, for the members who see that customer."""

from __future__ import annotations

import threading
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from inferworks.accounts.roles import Action, Scope
from inferworks.api.admin.errors import AdminError, invalid
from inferworks.api.admin.request import Id, Request, Route, Sent
from inferworks.api.usage import Seconds, UsagePage, UsageQuery, answer, span_of
from inferworks.ids import CustomerId
from inferworks.units import NS_PER_SECOND

_LISTS: Final = ("group_by", "models", "project_ids", "api_key_ids")
_turn: Final = threading.Lock()
"""Lock of whoever reads usage: the other thread is for other requests."""

Listed = Annotated[str, Meta(max_length=4000)]


class CustomerUsage(Sent, frozen=True):
    """Parameters of the usage of a customer; in lists, the names stand between commas."""

    start_time: Seconds
    end_time: Seconds | None = None
    customer: Id | None = None
    """Customer; that of the member, if it is limited to one."""
    bucket_width: Literal["1h", "1d"] = "1d"
    group_by: Listed = ""
    models: Listed = ""
    project_ids: Listed = ""
    api_key_ids: Listed = ""
    limit: Annotated[int, Meta(ge=1, le=168)] | None = None
    page: Annotated[str, Meta(max_length=40)] | None = None


def get_usage(request: Request[None, CustomerUsage]) -> UsagePage:
    """Get what a customer has used and what it pays for that, by hour or day."""
    sent = msgspec.structs.asdict(request.query)
    del sent["customer"]
    sent |= {name: [one for one in sent[name].split(",") if one] for name in _LISTS}
    try:
        query = msgspec.convert(sent, UsageQuery)
    except msgspec.ValidationError as error:
        raise invalid(f"parameters: {error}") from error
    span = span_of(query, request.now_ns // NS_PER_SECOND)
    customer, usage = _customer(request), request.services.usage
    if not _turn.acquire(timeout=0):
        raise AdminError(503, "unavailable", "usage is being read for somebody else; try again",
                         ((b"retry-after", b"1"),))  # fmt: skip
    try:
        return answer(usage, usage.plans_of(customer), customer, query, span)
    finally:
        _turn.release()


def _customer(request: Request[object, CustomerUsage]) -> CustomerId:
    """Return the customer that is meant; AdminError 400 when none is, 404 when it is not there."""
    named = request.query.customer or request.member.scope.customer
    if named is None:
        raise invalid("parameters: name a customer")
    return request.customer(named).id


def _subject(request: Request[object, CustomerUsage]) -> Scope:
    return request.scope_of(_customer(request))


ROUTES = (
    Route(
        "GET", "/admin/v1/usage", Action.READ_USAGE, get_usage, UsagePage, query=CustomerUsage,
        subject=_subject,
    ),
)  # fmt: skip
