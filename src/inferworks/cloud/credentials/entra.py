"""Access tokens of Microsoft Entra ID: of an application, or whatever this machine is logged in as.

azure-identity fetches them. An application shows a secret; otherwise its `DefaultAzureCredential` looks in
the environment, at the workload's and the machine's managed identities, and at developers' logins.

Source: https://learn.microsoft.com/azure/ai-foundry/openai/how-to/managed-identity
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from inferworks.clock import Clock
from inferworks.cloud.credentials.extra import library
from inferworks.cloud.credentials.renewed import Lease, Renewed
from inferworks.cloud.credentials.token import TokenCredential

SCOPE: Final = "https://cognitiveservices.azure.com/.default"


def client_credential(
    tenant: str, client: str, secret: str, *, clock: Clock | None = None, transport: Any = None
) -> TokenCredential:
    """The application `client` of `tenant`. `transport` carries the requests, if not the library's own."""
    make = library("azure.identity", "azure").ClientSecretCredential
    given = {} if transport is None else {"transport": transport}
    credential = make(tenant, client, secret, **given)
    return _credential(lambda: credential, f"an Entra token for {client}", clock)


def default_credential(*, clock: Clock | None = None) -> TokenCredential:
    """Return the machine's own Entra credential, which is looked for when the first call is made."""
    made: list[Any] = []
    make = library("azure.identity", "azure").DefaultAzureCredential

    def find() -> Any:
        if not made:
            made.append(make())
        return made[0]

    return _credential(find, "an Entra token", clock)


def _credential(find: Callable[[], Any], what: str, clock: Clock | None) -> TokenCredential:
    def fetch() -> Lease[str]:
        token = find().get_token(SCOPE)
        return Lease(token.token, token.expires_on * 1_000_000_000)

    return TokenCredential(Renewed(fetch, what=what, clock=clock))
