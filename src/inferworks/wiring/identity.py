"""Validate an upstream's cloud identity (AWS, Entra, Google).

A setting that its provider has no use for is refused, since its author believes that it protects
something.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from inferworks.catalog.providers import ProviderRow
from inferworks.config import Upstream
from inferworks.errors import ConfigError
from inferworks.secrets import Secret, parse_reference, resolve

_DRIVER_OF = {
    "profile": "bedrock",
    "credentials": "vertex",
    "tenant": "azure",
    "client": "azure",
    "client_secret": "azure",
}
"""Setting -> the driver that has a use for it."""
_APPLICATION = ("tenant", "client", "client_secret")


@dataclass(frozen=True, slots=True)
class Identity:
    """Cloud identity, beside or in place of a key. Two are equal when all fields are."""

    profile: str = ""
    """The AWS profile whose keys sign; empty: as Amazon's tools find them."""
    credentials: str = ""
    """The key file of a Google service account; empty: as Google's tools find one."""
    is_entra: bool = False
    """A token of Entra ID is shown, and no key."""
    tenant: str = ""
    client: str = ""
    """Application in `tenant`; empty: this machine's own login."""
    client_secret: Secret | None = None

    @property
    def replaces_key(self) -> bool:
        """True if no key is needed."""
        return self.is_entra or bool(self.profile or self.credentials)


NO_IDENTITY = Identity()


def identity_of(
    upstream: Upstream, row: ProviderRow, environment: Mapping[str, str] | None
) -> Identity:
    """Return the identity of `upstream`, without secrets if no `environment`; ConfigError if wrong."""
    _refuse_strangers(upstream, row)
    client_secret: Secret | None = None
    if upstream.client_secret and environment is not None:
        client_secret = resolve(parse_reference(upstream.client_secret), environment)
    identity = Identity(
        profile=upstream.profile,
        credentials=upstream.credentials,
        is_entra=upstream.auth == "entra" or bool(upstream.client),
        tenant=upstream.tenant,
        client=upstream.client,
        client_secret=client_secret,
    )
    if identity.replaces_key and (upstream.key or upstream.key_variable):
        other = "auth" if identity.is_entra else "profile" if upstream.profile else "credentials"
        raise ConfigError(f"it has both a key and {other}; leave one of them away")
    if row.auth == "aws" and not upstream.region:
        raise ConfigError("set region: requests are signed for one")
    return identity


def _refuse_strangers(upstream: Upstream, row: ProviderRow) -> None:
    """ConfigError for a setting that belongs to another cloud, or that lacks its companions."""
    for name, driver in _DRIVER_OF.items():
        if getattr(upstream, name) and row.driver != driver:
            raise ConfigError(f"{name} has no meaning for provider {row.id}; remove it")
    if upstream.auth and row.driver != "azure":
        raise ConfigError(
            f"auth = {upstream.auth!r} has no meaning for provider {row.id}; remove it"
        )
    given = [name for name in _APPLICATION if getattr(upstream, name)]
    missing = [name for name in _APPLICATION if name not in given]
    if given and missing:
        raise ConfigError(f"{' and '.join(given)} needs {' and '.join(missing)} too")
