"""Conformance suite of organisations, projects, members and the audit log: part of the accounts seam."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar

import pytest
from msgspec.structs import replace

from inferworks.accounts.audit import EMPTY, verify
from inferworks.accounts.author import Author, process_author
from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import Customer, CustomerFact
from inferworks.accounts.key import Grant, mint
from inferworks.accounts.limit import Limit, Measure, ScopeKind, Window
from inferworks.accounts.limit import Scope as LimitScope
from inferworks.accounts.member import Member, MemberToken, mint_token
from inferworks.accounts.organisation import Organisation, Project
from inferworks.accounts.plan import PricePlan
from inferworks.accounts.roles import (
    WHOLE,
    WHOLE_ONLY,
    Action,
    OutsideError,
    Role,
    RoleError,
    Scope,
    may,
)
from inferworks.accounts.stores.base import Accounts, KeptAnswer, Page
from inferworks.errors import UserError
from inferworks.ids import CustomerId, MemberId, OrganisationId, ProjectId
from inferworks.testing.facts import A_PEPPER

T = TypeVar("T")

GROUP, OTHER_GROUP = OrganisationId("group"), OrganisationId("other-group")
INSIDE, OUTSIDE = CustomerId("inside"), CustomerId("outside")
_ANN = Member(id=MemberId("member_a"), role=Role.OWNER, created_ns=1, email="ann@example.com")


def check_registry(accounts: Accounts) -> None:
    """Check `accounts` without organisations, projects and members against the contract of the seam."""
    assert accounts.organisations() == []
    assert accounts.projects() == []
    assert accounts.members() == []
    for name in (INSIDE, OUTSIDE):
        accounts.add_customer(Customer(name, 1))
    _check_organisations(accounts)
    _check_projects(accounts)
    _check_limits(accounts)
    _check_members(accounts)
    _check_pages(accounts)
    _check_answers(accounts)
    _check_audit(accounts)
    check_roles(accounts)
    assert verify(accounts.audit(), accounts.audit_head()) == len(accounts.audit()) > 0


def _check_organisations(accounts: Accounts) -> None:
    group, other = Organisation(GROUP, 5, "The Group"), Organisation(OTHER_GROUP, 6)
    for one in (other, group):
        accounts.add_organisation(one)
    assert accounts.organisations() == [group, other]
    with pytest.raises(UserError, match="organisation group exists already"):
        accounts.add_organisation(Organisation(GROUP, 7))
    accounts.place_customer(INSIDE, GROUP)
    assert (accounts.organisation_of(INSIDE), accounts.organisation_of(OUTSIDE)) == (GROUP, None)
    with pytest.raises(UserError, match=r"group has customers \(1\)"):
        accounts.change_organisation(replace(group, closed_ns=9))
    assert accounts.organisations() == [group, other]
    accounts.change_organisation(replace(other, closed_ns=9))
    with pytest.raises(UserError, match="other-group is closed"):
        accounts.place_customer(INSIDE, OTHER_GROUP)
    assert accounts.organisation_of(INSIDE) == GROUP, "a refusal changes nothing"
    accounts.change_organisation(other)
    accounts.place_customer(OUTSIDE, OTHER_GROUP)
    accounts.place_customer(OUTSIDE, None)
    assert accounts.organisation_of(OUTSIDE) is None
    nobody, nothing = CustomerId("nobody-here"), OrganisationId("nothing")
    with pytest.raises(UserError, match="no customer nobody-here"):
        accounts.place_customer(nobody, GROUP)
    with pytest.raises(UserError, match="no organisation nothing"):
        accounts.place_customer(INSIDE, nothing)
    with pytest.raises(UserError, match="no organisation nothing"):
        accounts.change_organisation(Organisation(nothing, 1))


def _check_limits(accounts: Accounts) -> None:
    """Limits are kept by revision, of what there is, and counted as prices are."""
    limit = Limit(
        id="limit_a",
        scope=LimitScope(ScopeKind.CUSTOMER, INSIDE),
        measure=Measure.MONEY,
        window=Window.MONTH,
        amount=10**20,
        currency="EUR",
        created_ns=5,
    )
    before = accounts.prices_version()
    accounts.add_limit(limit)
    assert accounts.limits() == [limit]
    assert accounts.prices_version() != before
    assert accounts.placed_customers() == {INSIDE: GROUP}
    for scope, said in (
        (LimitScope(ScopeKind.KEY, "key_none"), "no key key_none"),
        (LimitScope(ScopeKind.PROJECT, "nobody-here/x"), "no customer nobody-here"),
        (LimitScope(ScopeKind.CUSTOMER, "nobody-here"), "no customer nobody-here"),
        (LimitScope(ScopeKind.ORGANISATION, "nothing"), "no organisation nothing"),
    ):
        with pytest.raises(UserError, match=said):
            accounts.add_limit(replace(limit, id="limit_b", scope=scope))
    raised = replace(limit, amount=2 * 10**20, revision=2)
    accounts.change_limit(raised)
    assert accounts.limits() == [raised]
    for wrong, said in (
        (raised, "was changed meanwhile"),
        (replace(limit, id="limit_b", revision=2), "no limit limit_b is in force"),
        (replace(raised, revision=3, zone="Europe/Berlin"), "cannot become another"),
    ):
        with pytest.raises(UserError, match=said):
            accounts.change_limit(wrong)
    accounts.change_limit(replace(raised, revision=3, withdrawn_ns=9))
    with pytest.raises(UserError, match="no limit limit_a is in force"):
        accounts.change_limit(replace(raised, revision=4))


def _check_projects(accounts: Accounts) -> None:
    """Recorded projects bind new keys, and leave the names that are in use."""
    used = mint(INSIDE, 5, project=ProjectId("as before"), pepper=A_PEPPER)[0]
    accounts.add_key(used)
    project = Project(INSIDE, ProjectId("search"), 6, "Search")
    accounts.add_project(project)
    accounts.add_project(Project(OUTSIDE, ProjectId("search"), 7))
    assert accounts.projects(INSIDE) == [project]
    assert [one.customer for one in accounts.projects()] == [INSIDE, OUTSIDE]
    with pytest.raises(UserError, match="inside has a project search already"):
        accounts.add_project(project)
    with pytest.raises(UserError, match="no customer nobody-here"):
        accounts.add_project(replace(project, customer=CustomerId("nobody-here")))
    key = mint(INSIDE, 8, project=project.id, pepper=A_PEPPER)[0]
    again = mint(INSIDE, 9, project=ProjectId("as before"), pepper=A_PEPPER)[0]
    for one in (key, again, mint(INSIDE, 9, pepper=A_PEPPER)[0]):
        accounts.add_key(one)
    with pytest.raises(UserError, match="inside has no project serach; create it with"):
        accounts.add_key(mint(INSIDE, 10, project=ProjectId("serach"), pepper=A_PEPPER)[0])
    with pytest.raises(UserError, match=r"has keys that are valid \(1\)"):
        accounts.close_project(INSIDE, project.id, 11)
    accounts.revoke_key(key.id, 11)
    closed = accounts.close_project(INSIDE, project.id, 12)
    assert closed == replace(project, closed_ns=12)
    assert accounts.close_project(INSIDE, project.id, 13) == closed
    assert accounts.projects(INSIDE) == [closed]
    with pytest.raises(UserError, match="search of inside is closed"):
        accounts.add_key(mint(INSIDE, 14, project=project.id, pepper=A_PEPPER)[0])
    with pytest.raises(UserError, match="has no project nothing on record"):
        accounts.close_project(INSIDE, ProjectId("nothing"), 15)


def _check_members(accounts: Accounts) -> None:
    accounts.add_member(_ANN)
    limited = Member(id=MemberId("member_b"), role=Role.VIEWER, created_ns=2, name="bot",
                     organisation=GROUP)  # fmt: skip
    accounts.add_member(limited)
    assert accounts.members() == [_ANN, limited]
    with pytest.raises(UserError, match=r"Ann@example\.com is a member already, as member_a"):
        accounts.add_member(replace(_ANN, id=MemberId("member_c"), email="Ann@example.com"))
    for field, value in (("organisation", "nothing"), ("customer", "nobody-here")):
        limits = {"organisation": None, "customer": None, field: value}
        with pytest.raises(UserError, match=f"no {field} {value}"):
            accounts.change_member(replace(limited, **limits))
    assert accounts.members() == [_ANN, limited]
    with pytest.raises(UserError, match="no member member_x"):
        accounts.change_member(replace(_ANN, id=MemberId("member_x")))
    token, secret = mint_token(_ANN.id, 3)
    accounts.add_member_token(token)
    assert accounts.member_tokens(_ANN.id) == [token]
    assert accounts.find_member(token.secret_sha256) == (_ANN, token)
    assert accounts.find_member(b"\0" * 32) is None
    assert secret not in repr(accounts.audit())
    revoked = accounts.revoke_member_token(token.id, 4)
    assert revoked == replace(token, revoked_ns=4)
    assert accounts.revoke_member_token(token.id, 5) == revoked
    assert accounts.find_member(token.secret_sha256) == (_ANN, revoked)
    with pytest.raises(UserError, match="no token nothing"):
        accounts.revoke_member_token("nothing", 6)
    gone = replace(limited, withdrawn_ns=7)
    accounts.change_member(gone)
    for member in (gone.id, MemberId("member_x")):
        with pytest.raises(UserError, match=f"no member {member}"):
            accounts.add_member_token(mint_token(member, 8)[0])
    accounts.change_member(limited)


def _check_pages(accounts: Accounts) -> None:
    """A list that is read page by page, by its own order, has each record of a scope once."""
    for number, (kind, name) in enumerate(
        (
            (ScopeKind.KEY, accounts.keys()[0].id),
            (ScopeKind.PROJECT, f"{OUTSIDE}/search"),
            (ScopeKind.CUSTOMER, INSIDE),
            (ScopeKind.ORGANISATION, GROUP),
        )
    ):
        of = LimitScope(kind, name)
        accounts.add_limit(replace(accounts.limits()[0], id=f"limit_p{number}", scope=of,
                                   revision=1, withdrawn_ns=None))  # fmt: skip
    for scope, within in (
        (WHOLE, {INSIDE, OUTSIDE}),
        (Scope(organisation=GROUP), {INSIDE}),
        (Scope(customer=OUTSIDE), {OUTSIDE}),
    ):
        customers = [one.id for one in _all(partial(accounts.customers_page, scope), 1)]
        assert customers == sorted(customers)
        assert within == (set(customers) if scope != WHOLE else within & set(customers))
        keys = _all(partial(accounts.keys_page, scope), 2)
        wanted = [key for key in accounts.keys() if scope == WHOLE or key.customer in within]
        assert keys == sorted(wanted, key=lambda key: key.id)
        groups = _all(partial(accounts.organisations_page, scope), 1)
        assert [one.id for one in groups] == {
            WHOLE: [one.id for one in accounts.organisations()], Scope(organisation=GROUP): [GROUP],
        }.get(scope, [])  # fmt: skip
        members = _all(partial(accounts.members_page, scope), 1)
        assert members == [
            one for one in accounts.members() if scope.holds(accounts.scope_of(one.scope))
        ]
        limits = _all(partial(accounts.limits_page, scope), 1)
        assert limits == [
            one for one in accounts.limits() if scope.holds(accounts.limited(one.scope))
        ]
    for limit in accounts.limits():
        assert accounts.limit(limit.id) == limit
    for member in accounts.members():
        assert accounts.member(member.id) == member
    for group in accounts.organisations():
        assert accounts.organisation(group.id) == group
    assert accounts.limit("limit_x") is None
    assert accounts.member(MemberId("member_x")) is None
    assert accounts.organisation(OrganisationId("nowhere")) is None
    key = accounts.keys()[0]
    assert accounts.key(key.id) == key
    assert accounts.customer(INSIDE) == Customer(INSIDE, 1)
    assert accounts.customer(CustomerId("nobody-here")) is None


def _all(page_of: Callable[[str, int], Page[T]], limit: int) -> list[T]:
    """Return a list that is read page by page."""
    found: list[T] = []
    after: str | None = ""
    while after is not None:
        page = page_of(after, limit)
        assert len(page.items) <= limit
        found += page.items
        after = page.after
    return found


def _check_answers(accounts: Accounts) -> None:
    answers = [KeptAnswer("t", f"k{n}", b"\1" * 32, 201, b"\xff%d" % n, n) for n in range(4)]
    for answer in answers:
        accounts.keep_answer(answer, expired_ns=0, most=3)
    found = [accounts.kept_answer("t", f"k{n}") for n in range(4)]
    assert found == [None, *answers[1:]], "the oldest beyond the third is forgotten"
    accounts.keep_answer(KeptAnswer("u", "k1", b"", 200, b"", 9), expired_ns=3, most=3)
    assert [accounts.kept_answer("t", f"k{n}") for n in range(4)] == [None, None, None, answers[3]]
    assert accounts.kept_answer("u", "k3") is None, "the key of another token is another"


def _check_audit(accounts: Accounts) -> None:
    """Changes have one row each, and what is refused or rolled back has none."""
    head, rows = accounts.audit_head(), accounts.audit()
    assert (len(rows), rows[-1].sha256) == head
    assert head != EMPTY
    before = accounts.author
    accounts.author = Author("ann", "a test")
    name = CustomerId("audited")
    accounts.add_customer(Customer(name, 3))
    accounts.author = before
    [row] = accounts.audit(head.rows)
    assert (row.who, row.origin, row.action) == ("ann", "a test", "customers create")
    assert (row.customer, row.before) == (name, "")
    assert row.after == '{"created_ns":3,"id":"audited"}'
    assert accounts.audit(head.rows, 0) == []
    head = accounts.audit_head()
    with pytest.raises(UserError):
        accounts.add_customer(Customer(name, 4))
    with suppress(ZeroDivisionError), accounts.transaction():
        accounts.add_credit(Credit("rolled-back", name, 1, 1, "USD"))
        raise ZeroDivisionError
    assert accounts.audit_head() == head
    assert "rolled-back" not in {one.id for one in accounts.credits()}


def changes(accounts: Accounts, number: int) -> Mapping[Action, Callable[[CustomerId], object]]:
    """Return for each action that changes accounts a change of a customer; `number` makes it a new one."""
    token: list[MemberToken] = []

    def member(customer: CustomerId) -> None:
        made = Member(id=MemberId(f"member_{number}"), role=Role.VIEWER, created_ns=1, name="n",
                      customer=customer)  # fmt: skip
        accounts.add_member(made)
        token.append(mint_token(made.id, number)[0])
        accounts.add_member_token(token[0])
        accounts.revoke_member_token(token[0].id, number)
        accounts.change_member(replace(made, withdrawn_ns=number))

    def plan(customer: CustomerId) -> None:
        accounts.add_plan(PricePlan.per_token(customer, number, "USD", 1, 1))
        accounts.withdraw_plan(customer, number, number)

    def credit(customer: CustomerId) -> None:
        accounts.add_credit(Credit(f"credit_{number}", customer, 1, 1, "USD"))
        accounts.void_credit(f"credit_{number}", number, "a slip")

    def key(customer: CustomerId) -> None:
        made = mint(customer, number, pepper=A_PEPPER)[0]
        accounts.add_key(made)
        accounts.revoke_key(made.id, number)

    def fact(customer: CustomerId) -> None:
        accounts.add_fact(
            CustomerFact(customer=customer, effective_ns=1, recorded_ns=number, by="n")
        )

    return {
        Action.CHANGE_ORGANISATIONS: lambda _: accounts.add_organisation(
            Organisation(OrganisationId(f"group-{number}"), 1)
        ),
        Action.CREATE_CUSTOMERS: lambda _: accounts.add_customer(
            Customer(CustomerId(f"made-{number}"), 1)
        ),
        Action.CHANGE_CUSTOMERS: fact,
        Action.CHANGE_PROJECTS: lambda customer: accounts.add_project(
            Project(customer, ProjectId(f"project-{number}"), 1)
        ),
        Action.CHANGE_KEYS: key,
        Action.GRANT_KEYS: lambda customer: accounts.add_key(
            mint(customer, number, Grant(monitor=True), pepper=A_PEPPER)[0]
        ),
        Action.CHANGE_PLANS: plan,
        Action.CHANGE_CREDITS: credit,
        Action.CHANGE_MEMBERS: member,
    }


@contextmanager
def acting(accounts: Accounts, member: Member) -> Iterator[None]:
    """Have `member` make the changes in the block."""
    before = accounts.author
    accounts.author = Author(member.id, "a test", member)
    try:
        yield
    finally:
        accounts.author = before


def check_roles(accounts: Accounts) -> None:
    """Check each cell of the table of roles: what it allows is done and on record, and nothing else is."""
    number = 100
    scopes = (WHOLE, Scope(organisation=GROUP), Scope(customer=INSIDE))
    for role in Role:
        for scope in scopes:
            member = Member(id=MemberId("member_z"), role=role, created_ns=1, name="z",
                            organisation=scope.organisation, customer=scope.customer)  # fmt: skip
            for action in changes(accounts, 0):
                number += 1
                change, head = changes(accounts, number)[action], accounts.audit_head()
                with acting(accounts, member):
                    if may(role, scope, action):
                        change(INSIDE)
                        assert {row.who for row in accounts.audit(head.rows)} == {member.id}
                    else:
                        with pytest.raises((RoleError, OutsideError)):
                            change(INSIDE)
                        assert accounts.audit_head() == head
                if scope != WHOLE and action not in WHOLE_ONLY:
                    head = accounts.audit_head()
                    with acting(accounts, member), pytest.raises(OutsideError):
                        changes(accounts, number + 10_000)[action](OUTSIDE)
                    assert accounts.audit_head() == head
    accounts.author = process_author()
