"""Drivers of the providers: the table, and each driver's arguments from an account."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

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
    Operations,
    amazon_operations,
    azure_operations,
    cloud_credential,
    vertex_operations,
)
from inferworks.wiring.upstreams import Account

Factory = Callable[[HttpClient, Account], Provider]


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
    return translated(DRIVERS[account.row.driver](client, account))


def translated(provider: Provider) -> Provider:
    """Return `provider` with the operations that translation adds."""
    return TranslatingProvider(provider, TRANSLATIONS)


def _anthropic(client: HttpClient, account: Account) -> Provider:
    return _passing(client, account, ANTHROPIC)


def _azure(client: HttpClient, account: Account) -> Provider:
    return _speaking(client, account, azure_operations(account, _openai_operations(account)))


def _bedrock(client: HttpClient, account: Account) -> Provider:
    return _speaking(client, account, amazon_operations())


def _openai(client: HttpClient, account: Account) -> Provider:
    return _speaking(client, account, _openai_operations(account))


def _stability(client: HttpClient, account: Account) -> Provider:
    return _passing(client, account, STABILITY)


def _vertex(client: HttpClient, account: Account) -> Provider:
    return _speaking(client, account, vertex_operations(_openai_operations(account)))


def _speaking(client: HttpClient, account: Account, specs: Operations) -> PassthroughProvider:
    """Return a provider for `account` with those of the operations `specs` that its row names."""
    named = account.row.operations
    own = {operation: how for operation, how in specs.items() if operation in named}
    return _passing(client, account, Profile(account.name, own))


def _passing(client: HttpClient, account: Account, profile: Profile) -> PassthroughProvider:
    """Return a provider for `account` by `profile`, with the account's name and timeout."""
    between_bytes_s = account.timeouts.between_bytes_s
    own = replace(profile, name=account.name, between_bytes_s=between_bytes_s)
    return PassthroughProvider(client, own, credential_of(account))


def _openai_operations(account: Account) -> Operations:
    """OpenAI's operations, asked for and counted as the row of `account` says."""
    row = account.row
    return openai_operations(
        running_usage=row.running_usage,
        stream_usage=row.stream_usage,
        counting=counting_of(row),
    )


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


DRIVERS: Mapping[str, Factory] = MappingProxyType(
    {
        "openai": _openai,
        "anthropic": _anthropic,
        "azure": _azure,
        "bedrock": _bedrock,
        "stability": _stability,
        "vertex": _vertex,
    }
)
"""Driver of a row -> factory of its provider."""
