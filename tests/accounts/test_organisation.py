"""Names of organisations and projects, and the rule by which a new key may name a project."""

from __future__ import annotations

import pytest

from inferworks.accounts.key import DEFAULT_PROJECT
from inferworks.accounts.organisation import Project, organisation_id, project_id, refuse_project
from inferworks.errors import UserError
from inferworks.ids import CustomerId, ProjectId

ACME = CustomerId("acme")
SEARCH, OLD = ProjectId("search"), ProjectId("an old name")


@pytest.mark.parametrize("name", ["", "A", "a b", "-a", "a" * 64, "a/b", "a\n", "é"])
def test_an_organisation_has_a_short_plain_name(name: str) -> None:
    """Names that would be awkward in paths and tables are refused."""
    with pytest.raises(UserError, match="organisation name"):
        organisation_id(name)
    assert organisation_id("the-group") == "the-group"


@pytest.mark.parametrize("name", ["", "a b", "-a", "a" * 64, "a/b", "..", "é"])
def test_a_recorded_project_has_a_short_plain_name(name: str) -> None:
    """So has a project that is recorded; capitals are usual there."""
    with pytest.raises(UserError, match="project name"):
        project_id(name)
    assert project_id("Search") == "Search"


def test_any_project_may_be_named_while_none_is_recorded() -> None:
    """Existing deployments go on as before."""
    for name in (DEFAULT_PROJECT, SEARCH, OLD):
        refuse_project(ACME, name, [], [])


def test_recorded_projects_bind_new_names_only() -> None:
    """Recorded and open, in use already, or the default: all else is a slip."""
    recorded = [Project(ACME, SEARCH, 1), Project(ACME, ProjectId("gone"), 1, closed_ns=2)]
    for name in (DEFAULT_PROJECT, SEARCH, OLD):
        refuse_project(ACME, name, recorded, [OLD])
    with pytest.raises(UserError, match="has no project serach; create it with: inferworks"):
        refuse_project(ACME, ProjectId("serach"), recorded, [OLD])
    with pytest.raises(UserError, match="project gone of acme is closed"):
        refuse_project(ACME, ProjectId("gone"), recorded, [ProjectId("gone")])
