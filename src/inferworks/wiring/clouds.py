"""Drivers of Bedrock, Vertex and Azure, and their credentials.

A configured key has precedence, in the header that its row names. Without one the vendors' own libraries
look where all their tools do; the libraries are extras, and a missing one is a ConfigError in one line.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from inferworks.cloud.credentials import aws, entra, google
from inferworks.cloud.credentials.base import Credential
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.azure import deployed
from inferworks.cloud.providers.bedrock import BEDROCK
from inferworks.cloud.providers.bedrock_messages import bedrock_messages
from inferworks.cloud.providers.passthrough import OperationSpec
from inferworks.cloud.providers.vertex import gemini_operations, vertex_messages
from inferworks.errors import ConfigError
from inferworks.wiring.upstreams import Account

Operations = Mapping[Operation, OperationSpec]


def cloud_credential(account: Account) -> Credential | None:
    """Return the cloud identity's credential; None where a key, or nothing, is used.

    ConfigError, naming the upstream, when its library or its file is not there.
    """
    identity = account.identity
    try:
        if identity.is_entra:
            if identity.client_secret is None:
                return entra.default_credential()
            secret = identity.client_secret.reveal()
            return entra.client_credential(identity.tenant, identity.client, secret)
        if account.secret is not None:
            return None
        match account.row.auth:
            case "aws":
                return aws.chain_credential(account.region, identity.profile)
            case "google":
                if identity.credentials:
                    return google.file_credential(Path(identity.credentials).expanduser())
                return google.default_credential()
    except ConfigError as error:
        raise ConfigError(f"upstream {account.name}: {error}") from None
    return None


def amazon_operations() -> Operations:
    """Converse, and Anthropic's operations as Bedrock wants them."""
    return {**BEDROCK.operations, **bedrock_messages()}


def azure_operations(account: Account, specs: Operations) -> Operations:
    """OpenAI's operations as `specs`, at Azure's addresses of the version that its row names, if any."""
    version = account.row.api_version
    return deployed(specs, version) if version else specs


def vertex_operations(specs: Operations) -> Operations:
    """OpenAI's operations as `specs`, and Anthropic's as Vertex wants them."""
    return {**gemini_operations(specs), **vertex_messages()}
