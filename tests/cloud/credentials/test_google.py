"""Google's tokens: of a service account's file, fetched from a token service that checks who asks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import google.auth.jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from inferworks.cloud.credentials.google import default_credential, file_credential
from inferworks.errors import ConfigError, UpstreamError
from inferworks.http.server import Exchange, HttpServer

pytestmark = pytest.mark.may_stall(
    "OpenSSL checks a private key as it is read: at a start or a reload"
)
Run = Callable[[Coroutine[Any, Any, None]], None]
ACCOUNT = "gateway@my-project.iam.gserviceaccount.com"
AUDIENCE = "https://oauth2.googleapis.com/token"  # whichever address the library is sent to
PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PRIVATE_PEM = PRIVATE.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
).decode()
PUBLIC_PEM = PRIVATE.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


class TokenService:
    """Hands out numbered tokens to whoever shows what the account's key has signed."""

    def __init__(self) -> None:
        self.server = HttpServer(self.handle)
        self.url = ""
        self.asked = 0
        self.is_open = True

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request for a token."""
        self.asked += 1
        assertion = parse_qs(exchange.body.decode())["assertion"][0]
        claims = google.auth.jwt.decode(assertion, certs=PUBLIC_PEM, audience=AUDIENCE)
        assert claims["iss"] == ACCOUNT
        assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
        if self.is_open:
            token = {"access_token": f"ya29.{self.asked}", "expires_in": 3599}
            await exchange.respond(200, json.dumps({**token, "token_type": "Bearer"}).encode())
        else:
            why = {"error": "invalid_grant", "error_description": "account not found"}
            await exchange.respond(400, json.dumps(why).encode())

    def file(self, folder: Path) -> Path:
        """The key file that the account's owner has downloaded."""
        path = folder / "account.json"
        info = {
            "type": "service_account",
            "project_id": "my-project",
            "private_key_id": "1",
            "private_key": PRIVATE_PEM,
            "client_email": ACCOUNT,
            "token_uri": self.url,
        }
        path.write_text(json.dumps(info))
        return path


@asynccontextmanager
async def token_service() -> AsyncIterator[TokenService]:
    """A `TokenService` on a free port while the block runs."""
    service = TokenService()
    port = await service.server.start("127.0.0.1", 0)
    service.url = f"http://127.0.0.1:{port}/token"
    try:
        yield service
    finally:
        await service.server.stop(drain_s=0.0)


async def shown(credential: Any) -> bytes:
    """Authorization header of a request."""
    headers = await credential.headers("POST", "https://aiplatform.googleapis.com/", [], b"")
    return dict(headers)[b"authorization"]


def test_a_service_accounts_file(run: Run, tmp_path: Path) -> None:
    """A token is fetched with a signed assertion, and kept."""

    async def main() -> None:
        async with token_service() as service:
            credential = file_credential(service.file(tmp_path))
            assert {await shown(credential) for _ in range(5)} == {b"Bearer ya29.1"}
            assert service.asked == 1

    run(main())


def test_what_this_machine_is_logged_in_as(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Application default credentials are looked for at the first call, by the library's own rules."""

    async def main() -> None:
        async with token_service() as service:
            credential = default_credential()
            monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(service.file(tmp_path)))
            assert await shown(credential) == b"Bearer ya29.1"

    run(main())


def test_a_token_that_is_refused(run: Run, tmp_path: Path) -> None:
    """A call fails as one that was not sent, says why, and shows nothing of the key."""

    async def main() -> None:
        async with token_service() as service:
            service.is_open = False
            credential = file_credential(service.file(tmp_path))
            with pytest.raises(UpstreamError, match="account not found") as caught:
                await shown(credential)
            assert not caught.value.sent
            assert "a Google token for account.json" in str(caught.value)
            assert "PRIVATE KEY" not in str(caught.value) + repr(credential)

    run(main())


@pytest.mark.parametrize(
    "text",
    ["", "not json", "[]", '{"type": "authorized_user"}', '{"private_key": "-----BEGIN SECRET"}'],
)
def test_a_file_that_is_none(tmp_path: Path, text: str) -> None:
    """A file of another kind is refused in one line, which repeats nothing of it."""
    path = tmp_path / "wrong.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"wrong\.json is not the key file") as caught:
        file_credential(path)
    assert "SECRET" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A missing file is named, with the system's reason."""
    with pytest.raises(ConfigError, match=r"absent\.json cannot be read: No such file"):
        file_credential(tmp_path / "absent.json")
