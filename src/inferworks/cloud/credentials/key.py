"""A fixed key in a header: what most APIs want."""

from __future__ import annotations


class KeyCredential:
    """Sends one header with every request."""

    def __init__(self, header: bytes, value: str) -> None:
        """`value` is the header's whole value, `Bearer sk-...` for instance."""
        self._header = (header, value.encode("latin-1"))

    @classmethod
    def bearer(cls, key: str) -> KeyCredential:
        """`authorization: Bearer KEY`."""
        return cls(b"authorization", f"Bearer {key}")

    async def headers(
        self, method: str, url: str, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> list[tuple[bytes, bytes]]:
        """`headers` and the key."""
        return [*headers, self._header]


class NoCredential:
    """Credential of upstreams that need none, on one's own machine for instance."""

    async def headers(
        self, method: str, url: str, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> list[tuple[bytes, bytes]]:
        """`headers` as they are."""
        return headers
