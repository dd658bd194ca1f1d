"""Certificates of upstreams are verified: by the system's authorities, or by those that one names."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from inferworks.errors import ConfigError
from inferworks.wiring.plan import Plan
from inferworks.wiring.probe import Probed, probe
from inferworks.wiring.upstreams import tls_of

PlanOf = Callable[..., Plan]
MODELS = b'{"data":[{"id":"m"}]}'


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself, with its key behind it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "upstream")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = tmp_path_factory.mktemp("tls") / "upstream.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


async def _list_models(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(MODELS), MODELS))
    await writer.drain()
    writer.close()
    await writer.wait_closed()


@asynccontextmanager
async def upstream(certificate: Path) -> AsyncIterator[int]:
    """The port of an upstream that speaks TLS with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(_list_models, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


def at(host: str, port: int, ca_file: object = "") -> str:
    """A configuration with an upstream there."""
    return f'''
        [[upstream]]
        name = "u"
        url = "https://{host}:{port}/v1"
        models = ["m"]
        ca_file = "{ca_file}"
    '''


def test_who_nobody_vouches_for_is_refused(plan_of: PlanOf, certificate: Path) -> None:
    """A self-signed certificate is refused in clear words; one that is named is taken for its host."""

    async def run() -> None:
        async with upstream(certificate) as port:

            async def probed(host: str, ca_file: object = "") -> Probed:
                plan = plan_of(at(host, port, ca_file))
                return await probe(plan.accounts[0], plan)

            stranger = await probed("127.0.0.1")
            assert not stranger.ok
            assert "its certificate is not trusted (self-signed certificate)" in stranger.what
            assert await probed("127.0.0.1", certificate) == Probed("u", True, "lists 1 models")
            other = await probed("localhost", certificate)
            assert not other.ok
            assert "its certificate is not trusted (Hostname mismatch" in other.what

    asyncio.run(run())


def test_a_private_key_is_not_kept(plan_of: PlanOf, certificate: Path) -> None:
    """An account shows nothing of the file, and nothing weakens what is verified."""
    (account,) = plan_of(at("127.0.0.1", 1, certificate)).accounts
    assert "PRIVATE" not in repr(account)
    context = tls_of(account)
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        ("hello", "holds no certificates in PEM"),
    ],
)
def test_a_file_without_certificates(
    plan_of: PlanOf, tmp_path: Path, content: str | None, said: str
) -> None:
    """The mistake is told before anything is opened."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        plan_of(at("127.0.0.1", 1, path))
    assert str(caught.value) == f"upstream u: ca_file {path} {said}"
