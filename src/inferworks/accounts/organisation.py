"""Organisations, which are groups of customers, and projects, which divide a customer.

A project was only a name on a key, and such names go on working. The rule, `refuse_project`: a new key of
a customer without recorded projects may name any project. Once the customer has a project on record, a
new key may name one that is recorded and open, one that a key of the customer names already, or
`default`. So recording a first project breaks nobody's deployment, and a name mistyped after that is
refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from inferworks.accounts.key import DEFAULT_PROJECT
from inferworks.errors import UserError
from inferworks.ids import CustomerId, OrganisationId, ProjectId

_ORGANISATION = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Organisation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A group of customers. `id` never changes."""

    id: OrganisationId
    created_ns: int
    name: str = ""
    """Name for people."""
    closed_ns: int | None = None
    """Moment from which it takes no customers."""


class Project(msgspec.Struct, frozen=True, omit_defaults=True):
    """A project of a customer. `id` is the name that its keys carry, and its calls were metered with."""

    customer: CustomerId
    id: ProjectId
    created_ns: int
    name: str = ""
    """Name for people."""
    closed_ns: int | None = None
    """Moment from which no new key may name it."""


def organisation_id(text: str) -> OrganisationId:
    """`text` as an organisation's id; refused unless it is a short lower-case name."""
    if not _ORGANISATION.fullmatch(text):
        raise UserError(
            f"organisation name {text[:80]!r} is not usable: use up to 63 of a-z 0-9 . _ -, "
            "starting with a letter or digit"
        )
    return OrganisationId(text)


def project_id(text: str) -> ProjectId:
    """`text` as the id of a project to record; refused unless it is a short plain name."""
    if not _PROJECT.fullmatch(text):
        raise UserError(
            f"project name {text[:80]!r} is not usable: use up to 63 of a-z A-Z 0-9 . _ -, "
            "starting with a letter or digit"
        )
    return ProjectId(text)


def refuse_project(
    customer: CustomerId, name: ProjectId, recorded: Iterable[Project], in_use: Iterable[ProjectId]
) -> None:
    """UserError when a new key of `customer` may not name the project `name`.

    `recorded` are the customer's projects, `in_use` those that its keys name.
    """
    projects = {project.id: project for project in recorded}
    found = projects.get(name)
    if found is not None and found.closed_ns is not None:
        raise UserError(f"project {name} of {customer} is closed; name another")
    if not projects or found is not None or name == DEFAULT_PROJECT or name in set(in_use):
        return
    raise UserError(
        f"customer {customer} has no project {name[:80]}; create it with: "
        f"inferworks projects create {customer} {name[:80]}"
    )
