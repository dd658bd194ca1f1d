"""Drivers of the providers: the table, and each driver's arguments from an account."""

from __future__ import annotations

from dataclasses import replace

from inferworks.catalog.providers import ProviderRow
from inferworks.cloud.credentials.base import Credential
from inferworks.cloud.credentials.key import KeyCredential, NoCredential
from inferworks.cloud.providers.anthropic import ANTHROPIC
from inferworks.cloud.providers.base import Provider
from inferworks.cloud.providers.openai import openai_operations
from inferworks.cloud.providers.passthrough import PassthroughProvider, Profile
from inferworks.cloud.providers.stability import STABILITY
from inferworks.cloud.serving.translating import TranslatingProvider
from inferworks.cloud.translate.table import TRANSLATIONS
from inferworks.dialects.token_conventions import Counting
from inferworks.errors import ConfigError
from inferworks.http.client import HttpClient
from inferworks.wiring.clouds import (
    amazon_operations,
    azure_operations,
    cloud_credential,
    vertex_operations,
)
from inferworks.wiring.upstreams import Account

DRIVERS = ("openai", "anthropic", "azure", "bedrock", "stability", "vertex")
_PROFILES = {"anthropic": ANTHROPIC, "stability": STABILITY}
"""Profiles of the drivers that serve one vendor's API, all of it."""


def check_driver(account: Account) -> None:
    """Raise ConfigError when no driver fits `account`."""
    if account.row.driver not in DRIVERS:
        known = ", ".join(DRIVERS)
        raise ConfigError(
            f"upstream {account.name}: provider {account.row.id} needs the driver {account.row.driver}, "
            f"which is not there yet; there are: {known}"
        )


def open_provider(client: HttpClient, account: Account) -> Provider:
    """Return a provider for `account` over `client`, with its own operations and translated ones."""
    row = account.row
    openai = openai_operations(
        running_usage=row.running_usage,
        stream_usage=row.stream_usage,
        counting=counting_of(row),
    )
    match row.driver:
        case "azure":
            operations = azure_operations(account, openai)
        case "bedrock":
            operations = amazon_operations()
        case "vertex":
            operations = vertex_operations(openai)
        case _:
            operations = openai
    own = {operation: how for operation, how in operations.items() if operation in row.operations}
    profile = replace(
        _PROFILES.get(row.driver) or Profile(account.name, own),
        name=account.name,
        between_bytes_s=account.timeouts.between_bytes_s,
    )
    return translated(PassthroughProvider(client, profile, credential_of(account)))


def translated(provider: Provider) -> Provider:
    """Return `provider` with the operations that translation adds."""
    return TranslatingProvider(provider, TRANSLATIONS)


def counting_of(row: ProviderRow) -> Counting:
    """Token conventions of a provider, as its row says."""
    return Counting(
        cache=row.cache,
        reasoning=row.reasoning,
        cost_field=row.cost_field,
        cost_pico=row.cost_pico,
    )


def credential_of(account: Account) -> Credential:
    """Return the credential: the key in the header that its row names, or a cloud identity."""
    own = cloud_credential(account)
    if own is not None:
        return own
    if account.secret is None:
        return NoCredential()
    key = account.secret.reveal()
    header = account.row.header
    return KeyCredential(header.encode(), key) if header else KeyCredential.bearer(key)
