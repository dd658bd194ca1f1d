"""A bearer token that ends, from whichever service hands it out."""

from __future__ import annotations

from inferworks.cloud.credentials.renewed import Renewed


class TokenCredential:
    """Sends `authorization: Bearer TOKEN`, with a token that is good at that moment."""

    def __init__(self, tokens: Renewed[str]) -> None:
        self._tokens = tokens

    async def headers(
        self, method: str, url: str, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> list[tuple[bytes, bytes]]:
        """`headers` and the token. UpstreamError (not sent) when none can be had."""
        token = await self._tokens.get()
        return [*headers, (b"authorization", b"Bearer " + token.encode("latin-1"))]
