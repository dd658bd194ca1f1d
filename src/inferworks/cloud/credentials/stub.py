"""A credential that proves nothing and remembers what it was asked for."""

from __future__ import annotations


class StubCredential:
    """Adds `authorization: Stub N`, N counting the requests."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []

    async def headers(
        self, method: str, url: str, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> list[tuple[bytes, bytes]]:
        """`headers` and a count."""
        self.asked.append((method, url, body))
        return [*headers, (b"authorization", b"Stub %d" % len(self.asked))]
