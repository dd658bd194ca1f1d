"""Routes of API keys."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import msgspec
from msgspec import Meta

from inferworks.accounts.key import DEFAULT_PROJECT, Grant, Key, mint
from inferworks.accounts.roles import Action, Scope
from inferworks.accounts.scopes import check_scopes
from inferworks.api.admin.request import (
    Id,
    Name,
    Nothing,
    OfCustomer,
    Request,
    Route,
    Sent,
    at,
    at_or_none,
    customer_in_body,
    customer_in_query,
    moment_ns,
)
from inferworks.errors import UserError
from inferworks.ids import ProjectId
from inferworks.purpose import Purpose
from inferworks.units import NS_PER_SECOND

Texts = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...], Meta(max_length=100)
]
_OVERLAP_MOST_S = 90 * 86_400


class KeyAnswer(msgspec.Struct, frozen=True):
    """A key, without its secret."""

    id: str
    hint: str
    """The secret's last four characters."""
    customer: str
    project: str
    name: str
    purpose: Purpose
    allowed: tuple[Purpose, ...]
    models: tuple[str, ...]
    operations: tuple[str, ...]
    regions: tuple[str, ...]
    networks: tuple[str, ...]
    reporter: bool
    sources: tuple[str, ...]
    ours: bool
    tells_cost: bool
    monitor: bool
    log_content: bool
    created: dt.datetime
    expires: dt.datetime | None
    revoked: dt.datetime | None


class KeyList(msgspec.Struct, frozen=True):
    """Some keys, and the id after which the rest follows."""

    data: list[KeyAnswer]
    next: str | None


class KeyMade(msgspec.Struct, frozen=True):
    """A new key with its secret, which is shown this once."""

    id: str
    key: str
    customer: str
    expires: dt.datetime | None


class NewKey(Sent, frozen=True):
    """A key to make; rights beyond calls that are paid for take the action `keys:grant`."""

    customer: Id
    project: Id = DEFAULT_PROJECT
    name: Name = ""
    purpose: Purpose = Purpose.SERVE_PAID
    allowed: tuple[Purpose, ...] = ()
    models: Texts = ()
    operations: Texts = ()
    regions: Texts = ()
    networks: Texts = ()
    reporter: bool = False
    sources: Texts = ()
    ours: bool = False
    tells_cost: bool = False
    monitor: bool = False
    log_content: bool = False
    expires: dt.datetime | None = None


class Rotation(Sent, frozen=True):
    """The replacement of a key."""

    overlap_s: Annotated[int, Meta(ge=0, le=_OVERLAP_MOST_S)] = 0
    """Seconds for which the old key stays valid."""


def list_keys(request: Request[None, OfCustomer]) -> KeyList:
    """List keys, of one customer or of all that the member sees."""
    query = request.query
    scope = request.narrowed(query.customer)
    page = request.accounts.keys_page(scope, query.after, query.limit)
    return KeyList([_answer(one) for one in page.items], page.after)


def create_key(request: Request[NewKey, Nothing]) -> KeyMade:
    """Make a key, and show its secret this once."""
    body, rights = request.body, Grant.__struct_fields__
    sent = {name: getattr(body, name) for name in rights if name in body.__struct_fields__}
    grant = Grant(**sent)
    check_scopes(grant)
    expires_ns = None if body.expires is None else moment_ns(body.expires, "expires")
    if expires_ns is not None and expires_ns <= request.now_ns:
        raise UserError("a key expires later than now")
    key, secret = mint(
        request.customer(body.customer).id,
        request.now_ns,
        grant,
        pepper=request.services.pepper,
        name=body.name,
        project=ProjectId(body.project),
    )
    key = msgspec.structs.replace(key, expires_ns=expires_ns)
    request.accounts.add_key(key)
    return KeyMade(key.id, secret, key.customer, at_or_none(key.expires_ns))


def get_key(request: Request[None, Nothing]) -> KeyAnswer:
    """Get a key."""
    return _answer(request.key(request.path["key"]))


def revoke_key(request: Request[None, Nothing]) -> KeyAnswer:
    """Revoke a key: every gateway refuses it within a second."""
    return _answer(request.accounts.revoke_key(_valid(request).id, request.now_ns))


def rotate_key(request: Request[Rotation, Nothing]) -> KeyMade:
    """Replace a key by a new one of the same rights; the old one ends now, or after an overlap."""
    old = _valid(request)
    fresh, secret = mint(old.customer, request.now_ns, pepper=request.services.pepper)
    key = msgspec.structs.replace(
        old, id=fresh.id, secret_hash=fresh.secret_hash, hint=fresh.hint, created_ns=request.now_ns
    )
    if old.revoked_ns is not None:
        raise UserError(f"{old.id} is revoked already; make another key")
    with request.accounts.transaction():
        request.accounts.add_key(key)
        if request.body.overlap_s:
            ends_ns = request.now_ns + request.body.overlap_s * NS_PER_SECOND
            request.accounts.expire_key(old.id, ends_ns)
        else:
            request.accounts.revoke_key(old.id, request.now_ns)
    return KeyMade(key.id, secret, key.customer, at_or_none(key.expires_ns))


def _valid(request: Request[object, object]) -> Key:
    return request.key(request.path["key"])


def _in_path(request: Request[object, object]) -> Scope:
    return request.scope_of(request.key(request.path["key"]).customer)


def _answer(key: Key) -> KeyAnswer:
    same = {
        name: getattr(key, name)
        for name in KeyAnswer.__struct_fields__
        if name in key.__struct_fields__
    }
    return KeyAnswer(
        **same,
        created=at(key.created_ns),
        expires=at_or_none(key.expires_ns),
        revoked=at_or_none(key.revoked_ns),
    )


_ONE = "/admin/v1/keys/{key}"
ROUTES = (
    Route(
        "GET", "/admin/v1/keys", Action.READ_KEYS, list_keys, KeyList, query=OfCustomer,
        subject=customer_in_query,
    ),
    Route(
        "POST", "/admin/v1/keys", Action.CHANGE_KEYS, create_key, KeyMade, body=NewKey,
        subject=customer_in_body, status=201,
    ),
    Route("GET", _ONE, Action.READ_KEYS, get_key, KeyAnswer, subject=_in_path),
    Route(
        "POST", f"{_ONE}/revoke", Action.CHANGE_KEYS, revoke_key, KeyAnswer, subject=_in_path
    ),
    Route(
        "POST", f"{_ONE}/rotate", Action.CHANGE_KEYS, rotate_key, KeyMade, body=Rotation,
        subject=_in_path, status=201,
    ),
)  # fmt: skip
