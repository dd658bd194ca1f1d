"""Limits by what they are set on: those of a key in one look into four dictionaries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from inferworks.accounts.key import Key
from inferworks.accounts.limit import Limit, Scope, ScopeKind

_MOST_FOUND: Final = 16_384


class LimitIndex:
    """Limits in force. Made anew when one of them changes."""

    def __init__(self, limits: Iterable[Limit]) -> None:
        """Withdrawn limits are left out; of two values of one limit the newer counts."""
        newest: dict[str, Limit] = {}
        for limit in limits:
            known = newest.get(limit.id)
            if known is None or known.revision < limit.revision:
                newest[limit.id] = limit
        self._of: dict[Scope, list[Limit]] = defaultdict(list)
        self._found: dict[tuple[str, str, str, str], tuple[Limit, ...]] = {}
        """Limits of the keys that called lately."""
        self._counting: dict[tuple[tuple[Limit, ...], str], tuple[Limit, ...]] = {}
        in_force = [limit for limit in newest.values() if limit.withdrawn_ns is None]
        for limit in in_force:
            self._of[limit.scope].append(limit)
        self.ids: Final = frozenset(limit.id for limit in in_force)

    def __bool__(self) -> bool:
        """Return True if anything is limited."""
        return bool(self._of)

    def of(self, key: Key, organisation: str = "") -> tuple[Limit, ...]:
        """Return the limits of a call with `key`, the narrowest first: of most calls, the same object."""
        if not self._of:
            return ()
        whose = (key.id, key.project, key.customer, organisation)
        found = self._found.get(whose)
        if found is None:
            if len(self._found) >= _MOST_FOUND:
                self._found.clear()
            of = self._of
            scopes = scopes_of(key, organisation)
            found = tuple(one for scope in scopes if scope in of for one in of[scope])
            self._found[whose] = found
        return found

    def counting(self, limits: tuple[Limit, ...], currency: str) -> tuple[Limit, ...]:
        """Return those of `limits` that a call with a price in `currency` counts towards.

        `currency` is empty where it has no price. Of equal arguments, the same object.
        """
        found = self._counting.get((limits, currency))
        if found is None:
            if len(self._counting) >= _MOST_FOUND:
                self._counting.clear()
            found = tuple(one for one in limits if one.currency in ("", currency))
            self._counting[limits, currency] = found
        return found


def scopes_of(key: Key, organisation: str = "") -> tuple[Scope, ...]:
    """Return what a call with `key` counts for, the narrowest first."""
    scopes = (
        Scope(ScopeKind.KEY, key.id),
        Scope(ScopeKind.PROJECT, f"{key.customer}/{key.project}"),
        Scope(ScopeKind.CUSTOMER, key.customer),
    )
    return (*scopes, Scope(ScopeKind.ORGANISATION, organisation)) if organisation else scopes
