"""Rules that every store of accounts keeps, and the errors of breaking them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from inferworks.accounts.audit import AuditEntry, AuditHead, Change, Event, entry_after
from inferworks.accounts.author import Author
from inferworks.accounts.key import Key
from inferworks.accounts.limit import Limit, ScopeKind
from inferworks.accounts.member import Member
from inferworks.accounts.organisation import Organisation, Project
from inferworks.accounts.roles import WHOLE, Action, Scope, check_change
from inferworks.errors import UserError
from inferworks.ids import CustomerId
from inferworks.purpose import Purpose


class Changes:
    """Changes of one transaction: each is checked against the rights of its author, and logged.

    A transaction that changes something and does not say what is a bug, and fails.
    """

    def __init__(
        self,
        author: Author,
        scope_of: Callable[[CustomerId], Scope],
        head: AuditHead,
        number: int,
        log: Callable[[AuditEntry], object],
        at_ns: int,
    ) -> None:
        self.head = head
        """End of the audit log, with what was logged so far."""
        self.number = number
        """Number of the transaction."""
        self._author = author
        self._scope_of = scope_of
        self._log = log
        self._at_ns = at_ns
        self._last: tuple[Event, Change] | None = None

    def of(self, action: Action, event: Event, subject: Scope | None = None) -> Change:
        """Begin a change, whose before and after are filled in until the next one; see `check_change`.

        `subject` is where the thing lies; None: with the customer of `event`, or the whole installation.
        """
        self.check(action, event, subject)
        return self.note(event)

    def note(self, event: Event) -> Change:
        """Begin a change that is part of whatever its author may do."""
        self._flush()
        change = Change()
        self._last = event, change
        return change

    def add_key(self, key: Key) -> None:
        """Begin the change that adds `key`."""
        event = Event("keys create", f"key {key.id}", key.customer)
        for action in needed_for(key):
            self.check(action, event)
        self.of(Action.CHANGE_KEYS, event).after = key

    def check(self, action: Action, event: Event, subject: Scope | None = None) -> None:
        """Check that the author may do `action`."""
        member = self._author.member
        if member is not None:
            customer = CustomerId(event.customer)
            where = subject or (self._scope_of(customer) if customer else WHOLE)
            check_change(member.role, member.scope, action, where, event.subject)

    def end(self) -> None:
        """Log the last change."""
        assert self._last is not None, "a change says what it changes"
        self._flush()

    def _flush(self) -> None:
        if self._last is None or self._last[1].is_none:
            return
        entry = entry_after(self.head, self._author, self._at_ns, *self._last)
        self._log(entry)
        self.head = AuditHead(entry.number, entry.sha256)


def needed_for(key: Key) -> tuple[Action, ...]:
    """Return the actions beside `keys:change` that it takes to make `key`.

    A key without rights beyond calls that are paid for takes none.
    """
    rights = (key.reporter, key.monitor, key.log_content, key.sources, key.ours, key.tells_cost)
    is_plain = not any(rights) and {key.purpose, *key.allowed} == {Purpose.SERVE_PAID}
    return () if is_plain else (Action.GRANT_KEYS,)


def plan_event(verb: str, customer: CustomerId) -> Event:
    """Return the event of a change of a customer's price plans."""
    return Event(f"plans {verb}", f"plans of {customer}", customer)


def limit_event(verb: str, limit: Limit) -> Event:
    """Return the event of a change of a limit."""
    customer = ""
    if limit.scope.kind in (ScopeKind.CUSTOMER, ScopeKind.PROJECT):
        customer = limit.scope.id.partition("/")[0]
    return Event(f"limits {verb}", f"limit {limit.id}", customer)


def refuse_revision(old: Limit | None, new: Limit) -> None:
    """UserError when `new` is not the next revision of a limit in force, on the same."""
    if old is None or old.withdrawn_ns is not None:
        raise no_limit(new.id)
    if new.revision != old.revision + 1:
        raise UserError(f"limit {new.id} was changed meanwhile; look at it again and repeat")
    parts = ("scope", "measure", "window", "currency", "zone", "created_ns", "spent_before")
    if any(getattr(old, part) != getattr(new, part) for part in parts):
        raise UserError(f"limit {new.id} cannot become another; withdraw it and create one")


def no_limit(name: str) -> UserError:
    """The error of naming a limit that is not in force."""
    return UserError(f"no limit {name[:80]} is in force; list them with: inferworks limits list")


def refuse_taken_email(
    member: Member, members: Iterable[Member], sees: Callable[[Scope], bool]
) -> None:
    """UserError when another member has the address of `member`.

    Who that is, is told of members in a scope that the author of the change `sees`.
    """
    for other in members:
        if (
            member.email
            and other.id != member.id
            and other.withdrawn_ns is None
            and other.email.casefold() == member.email.casefold()
        ):
            if sees(other.scope):
                raise UserError(f"{member.email} is a member already, as {other.id}")
            raise UserError(f"{member.email} cannot be used; give another address")


def refuse_closed(organisation: Organisation) -> None:
    """UserError when an organisation takes no customers."""
    if organisation.closed_ns is not None:
        raise UserError(f"organisation {organisation.id} is closed")


def no_customer(name: str) -> UserError:
    """The error of naming a customer that is not there."""
    return UserError(f"no customer {name}; create it with: inferworks customers create {name}")


def no_key(key_id: str) -> UserError:
    """The error of naming a key that is not there."""
    return UserError(f"no key {key_id}; list them with: inferworks keys list")


def organisation_taken(organisation: Organisation) -> UserError:
    """The error of creating an organisation twice."""
    return UserError(f"organisation {organisation.id} exists already")


def organisation_in_use(organisation: Organisation, count: int) -> UserError:
    """The error of closing an organisation that has customers."""
    return UserError(
        f"organisation {organisation.id} has customers ({count}); take them out first, with: "
        "inferworks organisations take-out CUSTOMER"
    )


def no_organisation(name: str) -> UserError:
    """The error of naming an organisation that is not there."""
    return UserError(
        f"no organisation {name[:80]}; create it with: inferworks organisations create NAME"
    )


def project_taken(project: Project) -> UserError:
    """The error of creating a project twice."""
    return UserError(f"customer {project.customer} has a project {project.id} already")


def no_project(customer: CustomerId, name: str) -> UserError:
    """The error of naming a project that is not there."""
    return UserError(
        f"customer {customer} has no project {name[:80]} on record; list them with: "
        f"inferworks projects list --customer {customer}"
    )


def project_in_use(project: Project, count: int) -> UserError:
    """The error of closing a project that valid keys name."""
    return UserError(
        f"project {project.id} of {project.customer} has keys that are valid ({count}); revoke them first, "
        "with: inferworks keys revoke"
    )


def no_member(name: str) -> UserError:
    """The error of naming a member that is not there."""
    return UserError(f"no member {name[:80]}; list them with: inferworks members list")


def no_token(name: str) -> UserError:
    """The error of naming a token that is not there."""
    return UserError(f"no token {name[:80]}; list them with: inferworks members show MEMBER")
