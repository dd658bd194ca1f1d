"""Route of the audit log."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import msgspec
from msgspec import Meta

from inferworks.accounts.audit import AuditEntry
from inferworks.accounts.roles import Action
from inferworks.api.admin.request import PageLimit, Request, Route, Sent, at


class AuditRow(msgspec.Struct, frozen=True):
    """One change of accounts."""

    number: int
    at: dt.datetime
    who: str
    origin: str
    action: str
    subject: str
    customer: str | None
    before: msgspec.Raw
    after: msgspec.Raw
    sha256: str


class AuditList(msgspec.Struct, frozen=True):
    """Some rows, and the number after which the rest follows."""

    data: list[AuditRow]
    next: int | None


class AuditQuery(Sent, frozen=True):
    """Parameters of the log."""

    limit: PageLimit = 50
    after: Annotated[int, Meta(ge=0, le=2**62)] = 0


def list_audit(request: Request[None, AuditQuery]) -> AuditList:
    """List the changes of accounts in their order, each with its author, and the thing before and after."""
    after, limit = request.query.after, request.query.limit
    rows = request.accounts.audit(after, limit + 1)
    rest = rows[limit - 1].number if len(rows) > limit else None
    return AuditList([_answer(row) for row in rows[:limit]], rest)


def _answer(row: AuditEntry) -> AuditRow:
    before, after = (msgspec.Raw(text.encode() or b"null") for text in (row.before, row.after))
    return AuditRow(
        row.number, at(row.at_ns), row.who, row.origin, row.action, row.subject,
        row.customer or None, before, after, row.sha256,
    )  # fmt: skip


ROUTES = (
    Route(
        "GET", "/admin/v1/audit", Action.READ_AUDIT, list_audit, AuditList, query=AuditQuery
    ),
)  # fmt: skip
