"""Errors of upstreams without TLS: what happened, and that nothing was sent."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from inferworks.errors import UpstreamError
from inferworks.http.client import HttpClient, Origin, Timeouts

DAY = dt.timedelta(days=1)
Certificate = Callable[..., Path]
ALERT = b"\x15\x03\x01\x00\x02\x02"


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    """Makes certificates that vouch for themselves, each in a file with its key."""

    def make(address: str = "127.0.0.1", begins: float = -1, ends: float = 1) -> Path:
        """Certificate for `address`, valid from `begins` to `ends` days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "upstream")])
        now = dt.datetime.now(dt.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins * DAY)
            .not_valid_after(now + ends * DAY)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False
            )
            .sign(key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        path = tmp_path / "upstream.pem"
        path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
        return path

    return make


def server_context(certificate: Path, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A server's side, for `version` alone if one is named."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if version is not None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            context.maximum_version = context.minimum_version = version
    return context


async def why_not(kit, port: int, tls: ssl.SSLContext) -> str:
    """Reason why there is could not connect to the upstream at `port`."""
    client = HttpClient(Timeouts(connect_s=2.0), tls=tls)
    origin = Origin("127.0.0.1", port, tls=True, base_path="")
    with pytest.raises(UpstreamError) as caught:
        async with client.stream("GET", origin, "/"):
            raise AssertionError
    client.close()
    assert not caught.value.sent
    assert not caught.value.ours
    return str(caught.value)


BAD = {
    "expired": ({"begins": -2, "ends": -1}, "certificate is not trusted (certificate has expired)"),
    "not valid yet": (
        {"begins": 1, "ends": 2},
        "certificate is not trusted (certificate is not yet valid)",
    ),
    "another's": ({"address": "127.0.0.2"}, "certificate is not trusted (IP address mismatch"),
}


@pytest.mark.parametrize(("made", "why"), BAD.values(), ids=BAD)
def test_certificates(kit, certificate: Certificate, made: dict[str, object], why: str) -> None:
    """The error says what is wrong with a certificate."""

    async def main() -> None:
        path = certificate(**made)
        server = await asyncio.start_server(
            lambda *_: None, "127.0.0.1", 0, ssl=server_context(path)
        )
        async with server:
            tls = ssl.create_default_context(cafile=str(path))
            assert why in await why_not(kit, server.sockets[0].getsockname()[1], tls)

    kit.run(main())


VERSIONS = [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1]


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_versions(kit, certificate: Certificate, version: ssl.TLSVersion) -> None:
    """A server that speaks only what is not safe any more is told apart from one without an address."""

    async def main() -> None:
        path = certificate()
        server = await asyncio.start_server(
            lambda *_: None, "127.0.0.1", 0, ssl=server_context(path, version)
        )
        async with server:
            tls = ssl.create_default_context(cafile=str(path))
            said = await why_not(kit, server.sockets[0].getsockname()[1], tls)
            assert "the TLS handshake failed (" in said

    kit.run(main())


ENDS = {
    "closes": (b"", False, "the TLS handshake failed (it closed the connection"),
    "resets": (b"", True, "the TLS handshake failed (it closed the connection"),
    "speaks no TLS": (b"HTTP/1.1 400 No\r\n\r\n", False, "the TLS handshake failed ("),
    "knows no such version": (
        ALERT + b"\x46",
        False,
        "the TLS handshake failed (tlsv1 alert protocol",
    ),
    "has no such name": (
        ALERT + b"\x70",
        False,
        "the TLS handshake failed (tlsv1 unrecognized name",
    ),
    "wants a certificate": (ALERT + b"\x74", False, "the TLS handshake failed ("),
}


@pytest.mark.parametrize(("says", "resets", "why"), ENDS.values(), ids=ENDS)
def test_handshakes_that_are_broken_off(kit, says: bytes, resets: bool, why: str) -> None:
    """A handshake that ends in any way has failed, with the peer's reason where it has one."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(says)
        await writer.drain()
        if resets:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        else:
            writer.write_eof()
            await reader.read()

    async def main() -> None:
        async with kit.upstream(script) as (_, origin):
            said = await why_not(kit, origin.port, ssl.create_default_context())
            assert why in said
            assert "no address" not in said

    kit.run(main())
