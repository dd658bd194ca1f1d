"""The admin API as a table, and the look-up of a request in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from inferworks.api.admin import (
    audit,
    customers,
    keys,
    limits,
    members,
    organisations,
    plans,
    prepaid,
    projects,
    usage,
)
from inferworks.api.admin.errors import AdminError, not_found
from inferworks.api.admin.request import Route

ROUTES: Final = (
    *organisations.ROUTES,
    *customers.ROUTES,
    *projects.ROUTES,
    *keys.ROUTES,
    *limits.ROUTES,
    *plans.ROUTES,
    *prepaid.ROUTES,
    *members.ROUTES,
    *usage.ROUTES,
    *audit.ROUTES,
)
_SEGMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""A name in a path as it is: nothing is unescaped, so nothing can be smuggled."""
_PATHS: Final[Mapping[tuple[str, ...], Mapping[str, Route]]] = {
    tuple(path.split("/")): {route.method: route for route in ROUTES if route.path == path}
    for path in dict.fromkeys(route.path for route in ROUTES)
}


def route_of(method: str, path: str) -> tuple[Route, Mapping[str, str]]:
    """Return the route of a request and the names in its path; AdminError 404 or 405 when there is none."""
    segments = path.split("/")
    for template, methods in _PATHS.items():
        names = _match(template, segments)
        if names is None:
            continue
        if method not in methods:
            allowed = ", ".join(methods)
            headers = ((b"allow", allowed.encode()),)
            raise AdminError(405, "method_not_allowed", f"use {allowed} here", headers)
        return methods[method], names
    raise not_found("such path; see /admin/v1/openapi.json")


def _match(template: tuple[str, ...], segments: list[str]) -> Mapping[str, str] | None:
    """Return the names that `segments` have where `template` has a parameter; None when they differ."""
    if len(template) != len(segments):
        return None
    names: dict[str, str] = {}
    for wanted, found in zip(template, segments, strict=True):
        if wanted.startswith("{"):
            if not _SEGMENT.fullmatch(found):
                return None
            names[wanted.strip("{}")] = found
        elif wanted != found:
            return None
    return names
