"""Scopes: names whole or by their beginning, addresses of either version, and no entry in vain."""

from __future__ import annotations

import pytest

from inferworks.accounts.key import Grant, mint
from inferworks.accounts.scopes import Scopes, check_scopes
from inferworks.errors import UserError
from inferworks.ids import CustomerId
from inferworks.testing.facts import A_PEPPER


def test_models_are_named_whole_or_by_their_beginning() -> None:
    """Without any, every model may be called."""
    assert Scopes().may_call("anything")
    scoped = Scopes(models=("gpt-5", "claude-*"))
    for model, may in (("gpt-5", True), ("gpt-5-mini", False), ("claude-4", True), ("a", False)):
        assert scoped.may_call(model) == may
    assert Scopes(models=("*",)).may_call("anything")


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("192.0.2.7", True),
        ("::ffff:192.0.2.7", True),
        ("2001:db8::1", True),
        ("fe80::1%eth0", True),
        ("192.0.3.7", False),
        ("2001:db9::1", False),
        ("", False),
        ("host.example", False),
        ("192.0.2.7, 10.0.0.1", False),
    ],
)
def test_networks_are_of_either_version(address: str, inside: bool) -> None:
    """An address of version 4 written as one of 6 is the same, and what is no address lies nowhere."""
    assert Scopes().may_come_from(address)
    scoped = Scopes(networks=("192.0.2.0/24", "2001:db8::/32", "fe80::/10"))
    assert scoped.may_come_from(address) == inside


@pytest.mark.parametrize(
    "network", ["::ffff:192.0.2.0/120", "::ffff:192.0.2.7/128", "::ffff:c000:200/120"]
)
def test_a_network_of_ipv4_may_be_written_as_one_of_ipv6(network: str) -> None:
    """As a system that listens on both writes addresses."""
    scoped = Scopes(networks=(network,))
    check_scopes(scoped)
    for address in ("192.0.2.7", "::ffff:192.0.2.7"):
        assert scoped.may_come_from(address)
    assert not scoped.may_come_from("192.0.3.7")


@pytest.mark.parametrize(
    ("scopes", "refusal"),
    [
        (Scopes(models=("gpt-*-mini",)), "stands at the end"),
        (Scopes(models=("",)), "'' cannot be one of the models of a key"),
        (Scopes(models=("a\nb",)), "cannot be one of the models"),
        (Scopes(regions=("x" * 257,)), "cannot be one of the regions"),
        (Scopes(operations=tuple(map(str, range(65)))), "at most 64 operations"),
        (Scopes(networks=("192.0.2.1/24",)), "has host bits set; write 192.0.2.0/24"),
        (Scopes(networks=("anywhere",)), "network 'anywhere'"),
    ],
)
def test_entries_that_mean_nothing_are_refused(scopes: Scopes, refusal: str) -> None:
    """No key is made with them, by whatever way."""
    with pytest.raises(UserError, match=refusal):
        check_scopes(scopes)
    grant = Grant(**{name: getattr(scopes, name) for name in scopes.__struct_fields__})
    with pytest.raises(UserError, match=refusal):
        mint(CustomerId("acme"), 1, grant, pepper=A_PEPPER)
