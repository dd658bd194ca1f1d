"""The table of roles: each cell as it is written down, and nothing outside of a scope."""

from __future__ import annotations

import pytest

from inferworks.accounts.roles import (
    ROLES,
    WHOLE,
    WHOLE_ONLY,
    Action,
    OutsideError,
    Role,
    RoleError,
    Scope,
    check_change,
    may,
)
from inferworks.ids import CustomerId, OrganisationId

GROUP, OTHER = OrganisationId("group"), OrganisationId("other")
INSIDE, OUTSIDE = CustomerId("inside"), CustomerId("outside")

TABLE = """
                       owner  operator  finance  developer  viewer
organisations:read     yes    yes       yes      yes        yes
organisations:change   whole  whole     -        -          -
customers:read         yes    yes       yes      yes        yes
customers:create       whole  whole     -        -          -
customers:change       whole  whole     -        -          -
projects:read          yes    yes       yes      yes        yes
projects:change        yes    yes       -        yes        -
keys:read              yes    yes       -        yes        yes
keys:change            yes    yes       -        yes        -
keys:grant             whole  whole     -        -          -
plans:read             yes    yes       yes      -          -
plans:change           whole  -         whole    -          -
credits:read           yes    -         yes      -          -
credits:change         whole  -         whole    -          -
members:read           yes    yes       -        -          -
members:change         yes    -         -        -          -
limits:read            yes    yes       yes      yes        yes
limits:change          whole  whole     -        -          -
usage:read             yes    yes       yes      yes        yes
books:read             whole  -         whole    -          -
audit:read             whole  whole     whole    -          -
"""
"""The same table as in docs/accounts.md; `whole`: members of the whole installation alone."""

_HEAD, *_ROWS = TABLE.strip().splitlines()
CELLS = [
    (Role(role), Action(action), cell)
    for action, *cells in map(str.split, _ROWS)
    for role, cell in zip(_HEAD.split(), cells, strict=True)
]


def test_the_table_is_whole() -> None:
    """Each role and each action has its cell."""
    assert {(role, action) for role, action, _ in CELLS} == {(r, a) for r in Role for a in Action}
    assert set(ROLES) == set(Role)


@pytest.mark.parametrize(("role", "action", "cell"), CELLS)
def test_a_cell_is_as_it_is_written(role: Role, action: Action, cell: str) -> None:
    """A role may do what its cell says, in the whole installation and within a part of it."""
    assert may(role, WHOLE, action) is (cell != "-")
    for scope in (Scope(organisation=GROUP), Scope(customer=INSIDE)):
        assert may(role, scope, action) is (cell == "yes")
    if cell != "-":
        assert (action in WHOLE_ONLY) is (cell == "whole")


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("action", Action)
def test_nothing_outside_of_a_scope_is_there(role: Role, action: Action) -> None:
    """A neighbour's thing is said not to exist, whether or not the role allows the action."""
    within = Scope(GROUP, INSIDE)
    for scope, outside in (
        (Scope(organisation=GROUP), Scope(OTHER, OUTSIDE)),
        (Scope(organisation=GROUP), Scope(None, OUTSIDE)),
        (Scope(organisation=GROUP), WHOLE),
        (Scope(customer=INSIDE), Scope(GROUP, OUTSIDE)),
        (Scope(customer=INSIDE), Scope(organisation=GROUP)),
        (Scope(customer=INSIDE), WHOLE),
    ):
        assert scope.holds(within)
        with pytest.raises(OutsideError, match="there is no key k"):
            check_change(role, scope, action, outside, "key k")
    if not may(role, WHOLE, action):
        with pytest.raises(RoleError, match=f"the role {role} does not allow {action}"):
            check_change(role, WHOLE, action, within, "key k")
    else:
        check_change(role, WHOLE, action, within, "key k")
