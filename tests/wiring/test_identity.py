"""An upstream's cloud identity: which settings make one, and which are refused."""

from __future__ import annotations

import datetime as dt

import pytest

from inferworks.catalog.providers import ProviderRow, provider_catalog
from inferworks.config import Upstream
from inferworks.errors import ConfigError
from inferworks.secrets import Secret, SecretReference
from inferworks.wiring.identity import NO_IDENTITY, Identity, identity_of

APPLICATION = {"tenant": "t", "client": "c", "client_secret": "env:SECRET"}


def row_of(provider: str) -> ProviderRow:
    """The newest row of `provider`."""
    return provider_catalog().row(provider, dt.date(2027, 1, 1))


def identity(
    provider: str, environment: dict[str, str] | None = None, /, **settings: str
) -> Identity:
    """The identity of an upstream at `provider` with `settings`."""
    upstream = Upstream(name="u", models=("m",), provider=provider, **settings)  # type: ignore[arg-type]
    return identity_of(upstream, row_of(provider), environment)


@pytest.mark.parametrize("provider", ["openai", "azure", "vertex", "openai-compatible"])
def test_none_is_set(provider: str) -> None:
    """Without settings there is none, and a key is needed."""
    assert identity(provider) == NO_IDENTITY
    assert not NO_IDENTITY.replaces_key


@pytest.mark.parametrize(
    ("provider", "settings"),
    [
        ("bedrock", {"region": "r", "profile": "p"}),
        ("vertex", {"credentials": "key.json"}),
        ("azure", {"auth": "entra"}),
        ("azure", APPLICATION),
    ],
)
def test_an_identity_stands_in_for_a_key(provider: str, settings: dict[str, str]) -> None:
    """Each cloud has its own; a key beside it is refused, for one of them would be unused."""
    assert identity(provider, **settings).replaces_key
    told = {"bedrock": "profile", "vertex": "credentials", "azure": "auth"}[provider]
    for key in ({"key": "env:KEY"}, {"key_variable": "KEY"}):
        with pytest.raises(ConfigError) as refused:
            identity(provider, **settings, **key)
        assert str(refused.value) == f"it has both a key and {told}; leave one of them away"


def test_a_key_alone_is_no_mistake() -> None:
    """An upstream without an identity may have a key."""
    assert identity("azure", key="env:KEY") == NO_IDENTITY


def test_an_application_is_entra_and_its_secret_is_looked_up() -> None:
    """The secret comes from the environment, and is left out where there is none to look in."""
    found = identity("azure", {"SECRET": "s3"}, **APPLICATION)
    secret = Secret(SecretReference("env", "SECRET"), "s3")
    assert found == Identity(is_entra=True, tenant="t", client="c", client_secret=secret)
    assert "s3" not in repr(found)
    assert identity("azure", **APPLICATION).client_secret is None


def test_identities_of_two_secrets_differ() -> None:
    """A renewed secret makes another account, whose connections are opened anew."""
    old, new = ({"SECRET": value} for value in ("a", "b"))
    assert identity("azure", old, **APPLICATION) == identity("azure", dict(old), **APPLICATION)
    assert identity("azure", old, **APPLICATION) != identity("azure", new, **APPLICATION)


def test_a_secret_that_is_not_there_is_refused() -> None:
    """The variable is named."""
    with pytest.raises(ConfigError, match="SECRET"):
        identity("azure", {}, **APPLICATION)


def test_signed_requests_need_a_region() -> None:
    """Amazon's signature holds for one region; a key of Bedrock's does not change that."""
    for settings in ({}, {"profile": "p"}, {"key": "env:KEY"}):
        with pytest.raises(ConfigError) as refused:
            identity("bedrock", **settings)
        assert str(refused.value) == "set region: requests are signed for one"
    assert identity("bedrock", region="eu-central-1") == NO_IDENTITY


@pytest.mark.parametrize(
    ("provider", "setting"),
    [
        (provider, setting)
        for setting, owner in {
            "profile": "bedrock",
            "credentials": "vertex",
            "tenant": "azure",
            "client": "azure",
            "client_secret": "azure",
        }.items()
        for provider in ("openai", "bedrock", "vertex", "azure")
        if provider != owner
    ],
)
def test_a_setting_of_another_cloud_is_refused(provider: str, setting: str) -> None:
    """Its author believes that it protects something."""
    with pytest.raises(ConfigError) as refused:
        identity(provider, region="r", **{setting: "env:X"})
    assert str(refused.value) == f"{setting} has no meaning for provider {provider}; remove it"


@pytest.mark.parametrize("provider", ["openai", "bedrock", "vertex"])
def test_entra_is_azures(provider: str) -> None:
    """A token of Entra ID means nothing elsewhere."""
    with pytest.raises(ConfigError) as refused:
        identity(provider, region="r", auth="entra")
    assert str(refused.value) == (
        f"auth = 'entra' has no meaning for provider {provider}; remove it"
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("tenant",), "tenant needs client and client_secret too"),
        (("client",), "client needs tenant and client_secret too"),
        (("client_secret",), "client_secret needs tenant and client too"),
        (("client", "tenant"), "tenant and client needs client_secret too"),
        (("client_secret", "tenant"), "tenant and client_secret needs client too"),
    ],
)
def test_an_application_is_whole_or_refused(given: tuple[str, ...], told: str) -> None:
    """Given and missing settings are told in one order, whatever theirs was."""
    with pytest.raises(ConfigError) as refused:
        identity("azure", auth="entra", **{name: APPLICATION[name] for name in given})
    assert str(refused.value) == told
