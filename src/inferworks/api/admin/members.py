"""Routes of members and their tokens."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from inferworks.accounts.member import (
    DEFAULT_DAYS,
    MOST_DAYS,
    Member,
    MemberKind,
    MemberToken,
    mint_token,
)
from inferworks.accounts.organisation import organisation_id
from inferworks.accounts.roles import WHOLE, Action, Role, RoleError, Scope
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
    paged,
)
from inferworks.ids import CustomerId, MemberId, new_id

Email = Annotated[str, Meta(max_length=254)]


class MemberAnswer(msgspec.Struct, frozen=True):
    """A member, and the part of the installation that it sees."""

    id: str
    kind: MemberKind
    role: Role
    name: str
    email: str
    organisation: str | None
    customer: str | None
    created: dt.datetime
    withdrawn: dt.datetime | None


class MemberList(msgspec.Struct, frozen=True):
    """Some members, and the id after which the rest follows."""

    data: list[MemberAnswer]
    next: str | None


class NewMember(Sent, frozen=True):
    """A member to create, of the whole installation, an organisation or a customer."""

    role: Role
    kind: MemberKind = MemberKind.PERSON
    name: Name = ""
    email: Email = ""
    organisation: Id | None = None
    customer: Id | None = None


class MemberChange(Sent, frozen=True):
    """Changes of a member; a field that is left out stays."""

    role: Role | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    email: Email | UnsetType = UNSET


class TokenAnswer(msgspec.Struct, frozen=True):
    """A token, without its secret."""

    id: str
    member: str
    hint: str
    """The secret's last four characters."""
    created: dt.datetime
    expires: dt.datetime
    revoked: dt.datetime | None


class TokenList(msgspec.Struct, frozen=True):
    """Some tokens, and the id after which the rest follows."""

    data: list[TokenAnswer]
    next: str | None


class NewToken(Sent, frozen=True):
    """A token to make."""

    days: Annotated[int, Meta(ge=1, le=MOST_DAYS)] = DEFAULT_DAYS
    """Days for which it is valid."""


class TokenMade(msgspec.Struct, frozen=True):
    """A new token with its secret, which is shown this once."""

    id: str
    token: str
    member: str
    expires: dt.datetime


def get_me(request: Request[None, Nothing]) -> MemberAnswer:
    """Get the member whose token this is."""
    return _answer(request.member)


def list_members(request: Request[None, Paging]) -> MemberList:
    """List members."""
    query = request.query
    page = request.accounts.members_page(request.member.scope, query.after, query.limit)
    return MemberList([_answer(one) for one in page.items], page.after)


def create_member(request: Request[NewMember, Nothing]) -> MemberAnswer:
    """Create a member, within the scope of who does it."""
    body = request.body
    made = Member(
        id=MemberId(new_id("member", request.now_ns)),
        role=body.role,
        created_ns=request.now_ns,
        kind=body.kind,
        name=body.name,
        email=body.email,
        organisation=None if body.organisation is None else organisation_id(body.organisation),
        customer=None if body.customer is None else CustomerId(body.customer),
    )
    request.accounts.add_member(made)
    return _answer(made)


def get_member(request: Request[None, Nothing]) -> MemberAnswer:
    """Get a member."""
    return _answer(_named(request))


def change_member(request: Request[MemberChange, Nothing]) -> MemberAnswer:
    """Change the role, name or address of a member."""
    sent = {
        name: value
        for name in ("role", "name", "email")
        if (value := getattr(request.body, name)) is not UNSET
    }
    changed = msgspec.structs.replace(_named(request), **sent)
    request.accounts.change_member(changed)
    return _answer(changed)


def withdraw_member(request: Request[None, Nothing]) -> MemberAnswer:
    """Withdraw a member: its tokens are refused from now on."""
    found = _named(request)
    if found.withdrawn_ns is None:
        found = msgspec.structs.replace(found, withdrawn_ns=request.now_ns)
        request.accounts.change_member(found)
    return _answer(found)


def list_tokens(request: Request[None, Paging]) -> TokenList:
    """List the tokens of a member."""
    tokens = request.accounts.member_tokens(_named(request).id)
    found, rest = paged(tokens, lambda one: one.id, request.query)
    return TokenList([_token_answer(one) for one in found], rest)


def create_token(request: Request[NewToken, Nothing]) -> TokenMade:
    """Make a token for a member, and show its secret this once."""
    token, secret = mint_token(_named(request).id, request.now_ns, request.body.days)
    request.accounts.add_member_token(token)
    return TokenMade(token.id, secret, token.member, at(token.expires_ns))


def revoke_token(request: Request[None, Nothing]) -> TokenAnswer:
    """Revoke a token."""
    found = request.token(_named(request).id, request.path["token"])
    return _token_answer(request.accounts.revoke_member_token(found.id, request.now_ns))


def _in_body(request: Request[NewMember, object]) -> Scope:
    """Return the scope of a member to be; AdminError 404 when that names a neighbour."""
    body = request.body
    if body.customer is not None:
        return request.scope_of(request.customer(body.customer).id)
    if body.organisation is not None:
        return Scope(organisation=organisation_id(body.organisation))
    if not request.member.scope.is_whole:
        raise RoleError("name the organisation or the customer that the new member is limited to")
    return WHOLE


def _in_path(request: Request[object, object]) -> Scope:
    return request.accounts.scope_of(_named(request).scope)


def _named(request: Request[object, object]) -> Member:
    return request.member_named(request.path["member"])


def _answer(one: Member) -> MemberAnswer:
    return MemberAnswer(
        id=one.id,
        kind=one.kind,
        role=one.role,
        name=one.name,
        email=one.email,
        organisation=one.organisation,
        customer=one.customer,
        created=at(one.created_ns),
        withdrawn=at_or_none(one.withdrawn_ns),
    )


def _token_answer(one: MemberToken) -> TokenAnswer:
    return TokenAnswer(
        id=one.id,
        member=one.member,
        hint=one.hint,
        created=at(one.created_ns),
        expires=at(one.expires_ns),
        revoked=at_or_none(one.revoked_ns),
    )


_ALL, _ONE = "/admin/v1/members", "/admin/v1/members/{member}"
ROUTES = (
    Route("GET", "/admin/v1/me", None, get_me, MemberAnswer),
    Route("GET", _ALL, Action.READ_MEMBERS, list_members, MemberList, query=Paging),
    Route(
        "POST", _ALL, Action.CHANGE_MEMBERS, create_member, MemberAnswer, body=NewMember,
        subject=_in_body, status=201,
    ),
    Route("GET", _ONE, Action.READ_MEMBERS, get_member, MemberAnswer, subject=_in_path),
    Route(
        "PATCH", _ONE, Action.CHANGE_MEMBERS, change_member, MemberAnswer, body=MemberChange,
        subject=_in_path,
    ),
    Route(
        "POST", f"{_ONE}/withdraw", Action.CHANGE_MEMBERS, withdraw_member, MemberAnswer,
        subject=_in_path,
    ),
    Route(
        "GET", f"{_ONE}/tokens", Action.READ_MEMBERS, list_tokens, TokenList, query=Paging,
        subject=_in_path,
    ),
    Route(
        "POST", f"{_ONE}/tokens", Action.CHANGE_MEMBERS, create_token, TokenMade, body=NewToken,
        subject=_in_path, status=201,
    ),
    Route(
        "POST", f"{_ONE}/tokens/{{token}}/revoke", Action.CHANGE_MEMBERS, revoke_token,
        TokenAnswer, subject=_in_path,
    ),
)  # fmt: skip
