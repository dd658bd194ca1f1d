"""Routes of projects."""

from __future__ import annotations

import datetime as dt

import msgspec

from inferworks.accounts.organisation import Project, project_id
from inferworks.accounts.roles import Action
from inferworks.api.admin.errors import not_found
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
    customer_in_path,
    paged,
)


class ProjectAnswer(msgspec.Struct, frozen=True):
    """A project of a customer."""

    id: str
    customer: str
    name: str
    created: dt.datetime
    closed: dt.datetime | None


class ProjectList(msgspec.Struct, frozen=True):
    """Some projects, and the id after which the rest follows."""

    data: list[ProjectAnswer]
    next: str | None


class NewProject(Sent, frozen=True):
    """A project to create."""

    id: Id
    name: Name = ""


def list_projects(request: Request[None, Paging]) -> ProjectList:
    """List the projects of a customer that are on record."""
    customer = request.customer(request.path["customer"]).id
    found, rest = paged(request.accounts.projects(customer), lambda one: one.id, request.query)
    return ProjectList([_answer(one) for one in found], rest)


def create_project(request: Request[NewProject, Nothing]) -> ProjectAnswer:
    """Create a project; new keys of the customer then name projects on record, or in use."""
    customer, body = request.customer(request.path["customer"]).id, request.body
    made = Project(customer, project_id(body.id), request.now_ns, body.name)
    request.accounts.add_project(made)
    return _answer(made)


def get_project(request: Request[None, Nothing]) -> ProjectAnswer:
    """Get a project."""
    return _answer(_named(request))


def close_project(request: Request[None, Nothing]) -> ProjectAnswer:
    """Close a project: no new key may name it; one that valid keys name cannot be closed."""
    project = _named(request)
    return _answer(request.accounts.close_project(project.customer, project.id, request.now_ns))


def _named(request: Request[object, object]) -> Project:
    customer, name = request.customer(request.path["customer"]).id, request.path["project"]
    for found in request.accounts.projects(customer):
        if found.id == name:
            return found
    raise not_found(f"project {name}")


def _answer(one: Project) -> ProjectAnswer:
    return ProjectAnswer(
        one.id, one.customer, one.name, at(one.created_ns), at_or_none(one.closed_ns)
    )


_ALL = "/admin/v1/customers/{customer}/projects"
ROUTES = (
    Route(
        "GET", _ALL, Action.READ_PROJECTS, list_projects, ProjectList, query=Paging,
        subject=customer_in_path,
    ),
    Route(
        "POST", _ALL, Action.CHANGE_PROJECTS, create_project, ProjectAnswer, body=NewProject,
        subject=customer_in_path, status=201,
    ),
    Route(
        "GET", f"{_ALL}/{{project}}", Action.READ_PROJECTS, get_project, ProjectAnswer,
        subject=customer_in_path,
    ),
    Route(
        "POST", f"{_ALL}/{{project}}/close", Action.CHANGE_PROJECTS, close_project, ProjectAnswer,
        subject=customer_in_path,
    ),
)  # fmt: skip
