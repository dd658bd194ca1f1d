"""Conversion of an `[[upstream]]` table to an account: address, credentials, time limits.

Two equal accounts may share their connections: that is how a reload keeps those of upstreams that did
not change. Addresses come from here alone; no request can name one.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from inferworks.catalog.providers import OPENAI_COMPATIBLE, ProviderRow
from inferworks.config import Upstream
from inferworks.errors import ConfigError
from inferworks.files import TEXT_BYTES, read_bytes
from inferworks.http.client import NEVER, Origin, Timeouts
from inferworks.secrets import Secret, parse_reference, resolve
from inferworks.wiring.identity import NO_IDENTITY, Identity, identity_of

_PRIVATE_ENDINGS = (".local", ".internal", ".lan", ".home.arpa", ".localhost", ".svc")


@dataclass(frozen=True, slots=True)
class Account:
    """Everything needed to call one upstream."""

    name: str
    row: ProviderRow
    origin: Origin
    secret: Secret | None
    """None where there is none, or the driver finds its own (`aws`, `google`)."""
    timeouts: Timeouts
    region: str = ""
    resource: str = ""
    project: str = ""
    identity: Identity = NO_IDENTITY
    authorities: str = field(default="", repr=False)
    """Trusted certificate authorities in PEM; empty for the system's."""

    @property
    def seller(self) -> str:
        """Seller to be paid, by the name of our records and of price lists."""
        return self.name if self.row.id == OPENAI_COMPATIBLE else self.row.seller


def account_of(
    upstream: Upstream, row: ProviderRow, environment: Mapping[str, str] | None
) -> Account:
    """The account that `upstream` describes; ConfigError, naming it, for what it lacks.

    Without an `environment` its key is not looked for.
    """
    try:
        identity = identity_of(upstream, row, environment)
        return Account(
            name=upstream.name,
            row=row,
            origin=Origin.parse(_url(upstream, row)),
            secret=None if identity.replaces_key else _secret(upstream, row, environment),
            timeouts=Timeouts(
                connect_s=upstream.connect_s,
                first_byte_s=upstream.first_byte_s,
                between_bytes_s=upstream.between_bytes_s,
                answer_s=upstream.answer_s or NEVER,
            ),
            region=upstream.region,
            resource=upstream.resource,
            project=upstream.project,
            identity=identity,
            authorities=_authorities(upstream.ca_file),
        )
    except ConfigError as error:
        raise ConfigError(f"upstream {upstream.name}: {error}") from None


def tls_of(account: Account) -> ssl.SSLContext | None:
    """Return the TLS context for its certificate; None for the system's authorities."""
    pem = account.authorities
    return ssl.create_default_context(cadata=pem) if pem else None


def is_exposed(origin: Origin) -> bool:
    """Return whether traffic to `origin` can be read on its way: no TLS, and beyond this network."""
    if origin.tls:
        return False
    try:
        address = ipaddress.ip_address(origin.host.strip("[]"))
    except ValueError:
        return "." in origin.host and not origin.host.endswith(_PRIVATE_ENDINGS)
    return not (address.is_private or address.is_loopback or address.is_link_local)


def _url(upstream: Upstream, row: ProviderRow) -> str:
    if upstream.url:
        return upstream.url
    if not row.url:
        raise ConfigError("set url, or name a provider (inferworks providers list)")
    if upstream.region == "global" and row.global_url:
        row = msgspec.structs.replace(row, url=row.global_url)
    places = {name: getattr(upstream, name) for name in row.placeholders}
    missing = [name for name, value in places.items() if not value]
    if missing:
        raise ConfigError(f"set {' and '.join(missing)}: its address is {row.url}")
    return row.url.format(**places)


def _authorities(ca_file: str) -> str:
    """The certificates in `ca_file`; ConfigError when there are none."""
    if not ca_file:
        return ""
    try:
        pem = read_bytes(Path(ca_file).expanduser(), TEXT_BYTES).decode("ascii", "ignore")
        ssl.create_default_context(cadata=pem)
    except OSError as error:  # an ssl.SSLError is one too
        why = (
            f"cannot be read: {error.strerror}"
            if error.filename
            else "holds no certificates in PEM"
        )
        raise ConfigError(f"ca_file {ca_file} {why}") from error
    return pem


def _secret(
    upstream: Upstream, row: ProviderRow, environment: Mapping[str, str] | None
) -> Secret | None:
    """Return the key of `upstream`; None where its provider needs none, or without an environment."""
    if environment is None:
        return None
    if upstream.key:
        return resolve(parse_reference(upstream.key), environment)
    if upstream.key_variable:
        return resolve(parse_reference(f"env:{upstream.key_variable}"), environment)
    if not row.key_variable:
        return None
    if row.key_variable in environment:
        return resolve(parse_reference(f"env:{row.key_variable}"), environment)
    if row.auth in {"bearer", "header"}:
        raise ConfigError(f"the environment variable {row.key_variable} is not set; set it, or key")
    return None
