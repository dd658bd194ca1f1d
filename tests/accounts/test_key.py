"""Keys: the secret is never kept, and a key always allows its own purpose."""

from __future__ import annotations

import re

import msgspec
import pytest

from inferworks.accounts.key import DEFAULT_PROJECT, Grant, fingerprint, is_old, mint, public_id
from inferworks.ids import CustomerId, ProjectId
from inferworks.purpose import Purpose
from inferworks.testing.facts import A_PEPPER

ACME = CustomerId("acme")


def test_secret_is_random_and_recognisable():
    """A key has its prefix, a public id and 256 random bits, so no two are alike."""
    secrets = {mint(ACME, 1, pepper=A_PEPPER)[1] for _ in range(100)}
    assert len({secret[19:] for secret in secrets}) == 100
    assert all(re.fullmatch(r"iw_[a-z2-7]{16}_[A-Za-z0-9_-]{43}", secret) for secret in secrets)


def test_the_public_id_is_that_of_the_record():
    """The id stands in the key itself, and two keys made at one moment for one customer share nothing."""
    (key, secret), (other, _) = (mint(ACME, 1, pepper=A_PEPPER) for _ in range(2))
    assert public_id(secret) == key.id == f"key_{secret[3:19]}" != other.id


@pytest.mark.parametrize(
    "text",
    ["", "iw_", "iw_" + "a" * 43, "sk_" + "a" * 16 + "_" + "b" * 43, "iw_" + "a" * 60, "x" * 10**6],
)
def test_what_has_not_the_form_has_no_id(text):
    """A key of before there were public ids is one of these, and known by its length."""
    assert public_id(text) is None
    assert is_old(text) == (text == "iw_" + "a" * 43)


def test_key_does_not_hold_its_secret():
    """Nothing that is kept of a key gives its secret away; its last characters tell it apart."""
    key, secret = mint(ACME, 1, name="ci", pepper=A_PEPPER)
    kept = repr(key) + msgspec.json.encode(key).decode()
    assert secret not in kept
    assert secret[20:] not in kept
    assert key.hint == secret[-4:]
    assert key.secret_hash == A_PEPPER.hash(secret) != fingerprint(secret)


def test_defaults():
    """A key is for paid calls of the default project, and in force, unless it is said otherwise."""
    key, _ = mint(ACME, 17, pepper=A_PEPPER)
    assert (key.customer, key.project, key.created_ns) == (ACME, DEFAULT_PROJECT, 17)
    assert (key.purpose, key.allowed) == (Purpose.SERVE_PAID, (Purpose.SERVE_PAID,))
    assert key.revoked_ns is None
    assert key.id.startswith("key_")


def test_allowed_always_holds_the_purpose():
    """The purposes a call may name hold the key's own, each once, in one order."""
    key, _ = mint(
        ACME,
        1,
        Grant(
            purpose=Purpose.TRAIN_INFERENCE,
            allowed=(Purpose.SERVE_INTERNAL, Purpose.EVALUATE, Purpose.EVALUATE),
        ),
        project=ProjectId("rollouts"),
        pepper=A_PEPPER,
    )
    assert key.allowed == (Purpose.EVALUATE, Purpose.SERVE_INTERNAL, Purpose.TRAIN_INFERENCE)


def test_key_is_frozen():
    """A key's permissions cannot be changed in passing."""
    key, _ = mint(ACME, 1, pepper=A_PEPPER)
    with pytest.raises(AttributeError):
        key.purpose = Purpose.SUPPORT


@pytest.mark.parametrize("secret", ["", "iw_é", "\udcff", "x" * 100_000])
def test_any_text_has_a_fingerprint(secret):
    """Any text that a client sends as its key has a fingerprint; it is merely unknown."""
    assert len(fingerprint(secret)) == 32


def test_different_secrets_have_different_fingerprints():
    """Texts that differ only in what cannot be encoded are still told apart."""
    assert len({fingerprint(secret) for secret in ["a", "A", "a ", "\udcff", "\udcfe", "é"]}) == 6
