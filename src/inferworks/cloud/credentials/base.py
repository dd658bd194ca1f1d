"""The credential seam: what proves to an upstream who asks."""

from __future__ import annotations

from typing import Protocol


class Credential(Protocol):
    """Makes the headers that prove who asks. Secrets stay inside: its repr shows none."""

    async def headers(
        self, method: str, url: str, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> list[tuple[bytes, bytes]]:
        """`headers` and those that prove it, for one request of `body` to `url`.

        UpstreamError (not sent) when none can be had, for instance because a token service is away.
        """
        ...
