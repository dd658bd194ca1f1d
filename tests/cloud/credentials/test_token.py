"""A bearer token that ends, and the credential that only counts."""

from __future__ import annotations

import asyncio

import pytest

from inferworks.cloud.credentials.renewed import Lease, Renewed
from inferworks.cloud.credentials.stub import StubCredential
from inferworks.cloud.credentials.token import TokenCredential
from inferworks.errors import UpstreamError

SENT = [(b"content-type", b"application/json")]
FOREVER_NS = 2**62


def test_the_token_is_added_behind_what_is_sent() -> None:
    """A token is fetched once for all requests, and the list that was given stays as it was."""
    fetched: list[int] = []

    def fetch() -> Lease[str]:
        fetched.append(1)
        return Lease("t\u00f6k", FOREVER_NS)

    async def main() -> None:
        credential = TokenCredential(Renewed(fetch, what="a token"))
        for _ in range(3):
            headers = await credential.headers("POST", "https://h/v1", SENT, b"{}")
            assert headers == [*SENT, (b"authorization", b"Bearer t\xf6k")]
        assert "t\u00f6k" not in repr(credential)

    asyncio.run(main())
    assert len(fetched) == 1
    assert len(SENT) == 1


def test_without_a_token_nothing_was_sent() -> None:
    """A token service that is away is no answer of the upstream: another one may be asked."""

    def fetch() -> Lease[str]:
        raise OSError("away\nwith details")

    async def main() -> None:
        credential = TokenCredential(Renewed(fetch, what="a token"))
        with pytest.raises(UpstreamError) as failed:
            await credential.headers("POST", "https://h/v1", SENT, b"{}")
        assert str(failed.value) == "a token cannot be had: OSError: away"
        assert not failed.value.sent

    asyncio.run(main())


def test_the_stub_counts_and_remembers() -> None:
    """Each request has a number of its own, and what it was for."""

    async def main() -> None:
        credential = StubCredential()
        for number in (1, 2):
            headers = await credential.headers("GET", f"https://h/{number}", SENT, b"b")
            assert headers == [*SENT, (b"authorization", b"Stub %d" % number)]
        assert credential.asked == [("GET", "https://h/1", b"b"), ("GET", "https://h/2", b"b")]

    asyncio.run(main())
