"""Roles of members: one table of role and action, for the admin API, the command line and the stores.

Problem. A right that is checked where it is thought of is forgotten somewhere: peers let users set their
own role, or mint a key of more rights than they have.

Decision. One pure table. Each change of accounts passes `check_change` in the store itself, within its
transaction, with the member who makes it; the admin API and the command line read by `may`. A member has
a role and a scope: the whole installation, an organisation or a customer. Some actions (prices, credit,
rights of a key beyond calls, the audit log) are for members of the whole installation alone, since who
pays must not set what is paid. Of what is outside its scope a member is told that it does not exist.

Rejected. Permissions on each member (no two alike, and none reviewed); roles that inherit (a new right then
reaches people nobody thought of).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from inferworks.errors import UserError
from inferworks.ids import CustomerId, OrganisationId


class Role(StrEnum):
    """Role of a member."""

    OWNER = "owner"
    """Everything, members included."""
    OPERATOR = "operator"
    """Running the service: organisations, customers, projects, keys and limits; no money."""
    FINANCE = "finance"
    """Prices, credit and the books; no keys."""
    DEVELOPER = "developer"
    """Keys and projects."""
    VIEWER = "viewer"
    """Reading what is no money."""


class Action(StrEnum):
    """One thing that a member may do or not."""

    READ_ORGANISATIONS = "organisations:read"
    CHANGE_ORGANISATIONS = "organisations:change"
    READ_CUSTOMERS = "customers:read"
    CREATE_CUSTOMERS = "customers:create"
    CHANGE_CUSTOMERS = "customers:change"
    READ_PROJECTS = "projects:read"
    CHANGE_PROJECTS = "projects:change"
    READ_KEYS = "keys:read"
    CHANGE_KEYS = "keys:change"
    GRANT_KEYS = "keys:grant"
    """Give a key rights beyond paid calls: reports, metrics, transcripts, other purposes."""
    READ_PLANS = "plans:read"
    CHANGE_PLANS = "plans:change"
    READ_CREDITS = "credits:read"
    CHANGE_CREDITS = "credits:change"
    READ_MEMBERS = "members:read"
    CHANGE_MEMBERS = "members:change"
    READ_LIMITS = "limits:read"
    CHANGE_LIMITS = "limits:change"
    READ_USAGE = "usage:read"
    READ_BOOKS = "books:read"
    READ_AUDIT = "audit:read"


_VIEWER: Final = frozenset(
    {
        Action.READ_ORGANISATIONS,
        Action.READ_CUSTOMERS,
        Action.READ_PROJECTS,
        Action.READ_KEYS,
        Action.READ_LIMITS,
        Action.READ_USAGE,
    }
)
ROLES: Final[Mapping[Role, frozenset[Action]]] = {
    Role.OWNER: frozenset(Action),
    Role.OPERATOR: _VIEWER
    | {
        Action.CHANGE_ORGANISATIONS,
        Action.CREATE_CUSTOMERS,
        Action.CHANGE_CUSTOMERS,
        Action.CHANGE_PROJECTS,
        Action.CHANGE_KEYS,
        Action.GRANT_KEYS,
        Action.READ_PLANS,
        Action.READ_MEMBERS,
        Action.CHANGE_LIMITS,
        Action.READ_AUDIT,
    },
    Role.FINANCE: frozenset(
        {
            Action.READ_ORGANISATIONS,
            Action.READ_CUSTOMERS,
            Action.READ_PROJECTS,
            Action.READ_PLANS,
            Action.CHANGE_PLANS,
            Action.READ_CREDITS,
            Action.CHANGE_CREDITS,
            Action.READ_LIMITS,
            Action.READ_USAGE,
            Action.READ_BOOKS,
            Action.READ_AUDIT,
        }
    ),
    Role.DEVELOPER: _VIEWER | {Action.CHANGE_PROJECTS, Action.CHANGE_KEYS},
    Role.VIEWER: _VIEWER,
}
"""Role -> the actions it may do."""

WHOLE_ONLY: Final = frozenset(
    {
        Action.CHANGE_ORGANISATIONS,
        Action.CREATE_CUSTOMERS,
        Action.CHANGE_CUSTOMERS,
        Action.GRANT_KEYS,
        Action.CHANGE_PLANS,
        Action.CHANGE_CREDITS,
        Action.CHANGE_LIMITS,
        Action.READ_BOOKS,
        Action.READ_AUDIT,
    }
)
"""Actions of members of the whole installation alone, whatever their role."""


class Scope(NamedTuple):
    """Part of the installation: an organisation, a customer, or with neither the whole of it."""

    organisation: OrganisationId | None = None
    customer: CustomerId | None = None

    @property
    def is_whole(self) -> bool:
        """True if it is the whole installation."""
        return self == WHOLE

    def holds(self, other: Scope) -> bool:
        """Return whether `other` lies within it; the organisation of a customer must be named."""
        if self.customer is not None:
            return other.customer == self.customer
        return self.organisation is None or other.organisation == self.organisation


WHOLE: Final = Scope()


class RoleError(UserError):
    """The role or scope of a member does not allow an action."""


class OutsideError(UserError):
    """The subject of an action is outside the scope of a member, who is told that it does not exist."""


def may(role: Role, scope: Scope, action: Action) -> bool:
    """Return whether a member of `role` and `scope` may do `action` at all."""
    return action in ROLES[role] and (scope.is_whole or action not in WHOLE_ONLY)


def check_change(role: Role, scope: Scope, action: Action, subject: Scope, what: str) -> None:
    """Check that a member of `role` and `scope` may do `action` to `what`, which lies in `subject`.

    OutsideError when it lies outside of `scope`, whatever the role; RoleError when the role forbids it.
    """
    if not scope.holds(subject):
        raise OutsideError(f"there is no {what}")
    if not may(role, scope, action):
        limited = "" if scope.is_whole else ", for a part of the installation"
        raise RoleError(f"the role {role}{limited} does not allow {action}")
