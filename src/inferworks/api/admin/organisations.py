"""Routes of organisations."""

from __future__ import annotations

import datetime as dt

import msgspec
from msgspec import UNSET, UnsetType

from inferworks.accounts.organisation import Organisation, organisation_id
from inferworks.accounts.roles import Action, Scope
from inferworks.api.admin.request import (
    Id,
    Name,
    Nothing,
    Paging,
    Request,
    Route,
    Sent,
    at,
    at_or_none,
)


class OrganisationAnswer(msgspec.Struct, frozen=True):
    """An organisation."""

    id: str
    name: str
    created: dt.datetime
    closed: dt.datetime | None


class OrganisationList(msgspec.Struct, frozen=True):
    """Some organisations, and the id after which the rest follows."""

    data: list[OrganisationAnswer]
    next: str | None


class NewOrganisation(Sent, frozen=True):
    """An organisation to create."""

    id: Id
    name: Name = ""


class OrganisationChange(Sent, frozen=True):
    """Changes of an organisation; a field that is left out stays."""

    name: Name | UnsetType = UNSET
    closed: bool | UnsetType = UNSET


def list_organisations(request: Request[None, Paging]) -> OrganisationList:
    """List organisations."""
    query = request.query
    page = request.accounts.organisations_page(request.member.scope, query.after, query.limit)
    return OrganisationList([_answer(one) for one in page.items], page.after)


def create_organisation(request: Request[NewOrganisation, Nothing]) -> OrganisationAnswer:
    """Create an organisation."""
    body = request.body
    made = Organisation(organisation_id(body.id), request.now_ns, body.name)
    request.accounts.add_organisation(made)
    return _answer(made)


def get_organisation(request: Request[None, Nothing]) -> OrganisationAnswer:
    """Get an organisation."""
    return _answer(_named(request))


def change_organisation(request: Request[OrganisationChange, Nothing]) -> OrganisationAnswer:
    """Rename an organisation, close it or open it again; one that has customers cannot be closed."""
    old, body = _named(request), request.body
    closed_ns = old.closed_ns
    if body.closed is not UNSET:
        closed_ns = (old.closed_ns or request.now_ns) if body.closed else None
    changed = msgspec.structs.replace(
        old, name=old.name if body.name is UNSET else body.name, closed_ns=closed_ns
    )
    request.accounts.change_organisation(changed)
    return _answer(changed)


def _in_path(request: Request[object, object]) -> Scope:
    return Scope(organisation=_named(request).id)


def _named(request: Request[object, object]) -> Organisation:
    """Return the organisation in the path; AdminError 404 when there is none within the scope."""
    return request.organisation(request.path["organisation"])


def _answer(one: Organisation) -> OrganisationAnswer:
    return OrganisationAnswer(one.id, one.name, at(one.created_ns), at_or_none(one.closed_ns))


_ONE = "/admin/v1/organisations/{organisation}"
ROUTES = (
    Route(
        "GET", "/admin/v1/organisations", Action.READ_ORGANISATIONS, list_organisations,
        OrganisationList, query=Paging,
    ),
    Route(
        "POST", "/admin/v1/organisations", Action.CHANGE_ORGANISATIONS, create_organisation,
        OrganisationAnswer, body=NewOrganisation, status=201,
    ),
    Route(
        "GET", _ONE, Action.READ_ORGANISATIONS, get_organisation, OrganisationAnswer,
        subject=_in_path,
    ),
    Route(
        "PATCH", _ONE, Action.CHANGE_ORGANISATIONS, change_organisation, OrganisationAnswer,
        body=OrganisationChange, subject=_in_path,
    ),
)  # fmt: skip
