"""Entra's tokens: azure-identity's own client against a token service that is not there but for a fake."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs

import azure.identity
import pytest
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import HttpRequest, HttpTransport

from inferworks.clock import SystemClock
from inferworks.cloud.credentials.entra import SCOPE, client_credential, default_credential
from inferworks.errors import UpstreamError

Run = Callable[[Coroutine[Any, Any, None]], None]
TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "66666666-7777-8888-9999-000000000000"
SECRET = "a~client~secret"
LOGIN = f"https://login.microsoftonline.com/{TENANT}"


class Answer:
    """A response, as far as azure-core reads one."""

    def __init__(self, request: HttpRequest, status: int, body: object) -> None:
        self.request = request
        self.status_code = status
        self.headers = {"content-type": "application/json"}
        self.content_type = "application/json"
        self.reason = "OK"
        self.internal_response = self
        self._text = json.dumps(body)

    def text(self, encoding: str | None = None) -> str:
        """The body."""
        return self._text

    def body(self) -> bytes:
        """The body as bytes."""
        return self._text.encode()


class Login(HttpTransport):  # type: ignore[misc]
    """Entra's endpoints without a network: numbered tokens for the right secret."""

    def __init__(self) -> None:
        self.tokens = 0

    def send(self, request: HttpRequest, **_: Any) -> Any:
        """Answer one request."""
        if request.method == "GET":
            return Answer(request, 200, self._about(request.url))
        asked = parse_qs(request.body if isinstance(request.body, str) else "")
        asked = asked or {name: [value] for name, value in dict(request.data or {}).items()}
        assert asked["client_id"] == [CLIENT]
        assert SCOPE in asked["scope"][0]
        if asked["client_secret"] != [SECRET]:
            why = "AADSTS7000215: Invalid client secret provided."
            return Answer(request, 401, {"error": "invalid_client", "error_description": why})
        self.tokens += 1
        token = f"eyJ.{self.tokens}"
        return Answer(
            request, 200, {"access_token": token, "expires_in": 3599, "token_type": "Bearer"}
        )

    def _about(self, url: str) -> object:
        if "instance" in url:
            return {
                "tenant_discovery_endpoint": f"{LOGIN}/v2.0/.well-known/openid-configuration",
                "metadata": [],
            }
        return {
            "token_endpoint": f"{LOGIN}/oauth2/v2.0/token",
            "authorization_endpoint": f"{LOGIN}/oauth2/v2.0/authorize",
            "issuer": f"{LOGIN}/v2.0",
        }

    def open(self) -> None:
        """Nothing to open."""

    def close(self) -> None:
        """Nothing to close."""

    def __enter__(self) -> Login:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.close()


async def shown(credential: Any) -> bytes:
    """Authorization header of a request."""
    headers = await credential.headers("POST", "https://contoso.openai.azure.com/", [], b"")
    return dict(headers)[b"authorization"]


def test_an_application_and_its_secret(run: Run) -> None:
    """A token is fetched with the client's secret, for the right scope, and kept."""

    async def main() -> None:
        login = Login()
        credential = client_credential(TENANT, CLIENT, SECRET, transport=login)
        assert {await shown(credential) for _ in range(5)} == {b"Bearer eyJ.1"}
        assert login.tokens == 1

    run(main())


def test_a_wrong_secret(run: Run) -> None:
    """A call fails as one that was not sent, with Entra's reason and without the secret."""

    async def main() -> None:
        credential = client_credential(TENANT, CLIENT, "~another~", transport=Login())
        with pytest.raises(UpstreamError, match="AADSTS7000215") as caught:
            await shown(credential)
        assert not caught.value.sent
        assert CLIENT in str(caught.value)
        assert "~another~" not in str(caught.value) + repr(credential)

    run(main())


def test_what_this_machine_is_logged_in_as(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's own chain is made at the first call and asked for the right scope."""
    made: list[str] = []

    class Chain:
        def get_token(self, scope: str) -> AccessToken:
            made.append(scope)
            return AccessToken("eyJ.chain", SystemClock().now_ns() // 10**9 + 3600)

    monkeypatch.setattr(azure.identity, "DefaultAzureCredential", Chain)

    async def main() -> None:
        credential = default_credential()
        assert made == []
        assert await shown(credential) == b"Bearer eyJ.chain"
        assert await shown(credential) == b"Bearer eyJ.chain"
        assert made == [SCOPE]

    run(main())
