"""Scopes of a key: bounds of what its calls may use, and of where they may come from.

None of them widens another: a call has to be within all of them. Without a scope of a kind, nothing is
narrowed by it. A model outside is answered as one that does not exist, a region outside is no place to run.
The address of a call is that of its connection: what a header says of it, anybody can write.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

import msgspec

from inferworks.errors import UserError

_MOST: Final = 64
"""Most entries of a kind, and so the work that one call makes."""
_LONGEST: Final = 256
"""Most characters of an entry."""
_MAPPED_BITS: Final = 96
"""Bits before an IPv4 address within one of IPv6."""


class Scopes(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Bounds of what the calls of a key may use."""

    models: tuple[str, ...] = ()
    """Models that it may call: names, or their beginnings with `*` behind; none: every model."""
    operations: tuple[str, ...] = ()
    """Operations that it may call, by the `endpoint` of their records; none: every one."""
    regions: tuple[str, ...] = ()
    """Beginnings of the regions in which its calls may run; none: anywhere."""
    networks: tuple[str, ...] = ()
    """Networks (CIDR) from which it may be used; none: from anywhere."""

    def may_call(self, model: str) -> bool:
        """Return whether `model` is within the scope."""
        return not self.models or any(
            model.startswith(scope[:-1]) if scope.endswith("*") else model == scope
            for scope in self.models
        )

    def may_come_from(self, address: str) -> bool:
        """Return whether a call from `address` is within the scope."""
        return not self.networks or _is_within(address, self.networks)


def check_scopes(scopes: Scopes) -> None:
    """UserError when an entry of `scopes` means nothing, is too long, or is one of too many."""
    for kind in Scopes.__struct_fields__:
        entries: tuple[str, ...] = getattr(scopes, kind)
        if len(entries) > _MOST:
            raise UserError(f"a key has at most {_MOST} {kind}; give it a beginning of their names")
        for entry in entries:
            if not 0 < len(entry) <= _LONGEST or not entry.isprintable() or entry != entry.strip():
                raise UserError(f"{entry[:80]!r} cannot be one of the {kind} of a key")
    for model in scopes.models:
        if "*" in model[:-1]:
            raise UserError(f"model {model!r}: a * stands at the end, for any rest of the name")
    for network in scopes.networks:
        try:
            ip_network(network)
        except ValueError as error:
            raise UserError(f"network {network!r}: {error}; write 192.0.2.0/24") from None


@lru_cache(4096)
def _is_within(address: str, networks: tuple[str, ...]) -> bool:
    """Return whether an address lies in one of `networks`; what is no address lies nowhere."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return any((mapped or found) in _network(network) for network in networks)


def _network(text: str) -> IPv4Network | IPv6Network:
    """Return the network that `text` names: that of IPv4 where it is one of those as IPv6 has them."""
    found = ip_network(text)
    if isinstance(found, IPv6Network) and found.prefixlen >= _MAPPED_BITS:
        mapped = found.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, found.prefixlen - _MAPPED_BITS))
    return found
