"""Limits of a key, from all that there are."""

from __future__ import annotations

from msgspec.structs import replace

from inferworks.accounts.key import mint
from inferworks.accounts.limit import Limit, Measure, Scope, ScopeKind, Window
from inferworks.accounts.limit_index import LimitIndex
from inferworks.ids import CustomerId, ProjectId
from inferworks.testing.facts import A_PEPPER


def limit(name: str, kind: ScopeKind, of: str) -> Limit:
    """Return a limit on `of`."""
    scope = Scope(kind, of)
    return Limit(id=name, scope=scope, measure=Measure.REQUESTS, window=Window.TOTAL, amount=1)


def test_a_call_counts_for_its_key_project_customer_and_organisation() -> None:
    """Limits of others, withdrawn ones and older revisions are left out; the narrowest come first."""
    key, _ = mint(CustomerId("acme"), 1, project=ProjectId("search"), pepper=A_PEPPER)
    of_key = limit("a", ScopeKind.KEY, key.id)
    of_project = limit("b", ScopeKind.PROJECT, "acme/search")
    of_customer = limit("c", ScopeKind.CUSTOMER, "acme")
    of_group = limit("d", ScopeKind.ORGANISATION, "group")
    raised = replace(of_customer, amount=5, revision=2)
    index = LimitIndex(
        [
            raised,
            of_group,
            of_customer,
            of_project,
            of_key,
            limit("e", ScopeKind.PROJECT, "other/search"),
            limit("f", ScopeKind.CUSTOMER, "search"),
            replace(limit("g", ScopeKind.CUSTOMER, "acme"), withdrawn_ns=3),
        ]
    )
    assert index.of(key, "group") == (of_key, of_project, raised, of_group)
    assert index.of(key) == (of_key, of_project, raised)
    assert index.of(key, "group") is index.of(key, "group"), "found once"
    other, _ = mint(CustomerId("burns"), 1, pepper=A_PEPPER)
    assert index.of(other) == ()
    assert index
    assert not LimitIndex([])
