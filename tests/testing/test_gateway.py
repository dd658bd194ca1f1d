"""The addresses of a real gateway and of the upstreams before it, without a gateway."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from inferworks.http.client import Origin
from inferworks.testing.gateway import Gateway, served


def opening(port: int, told: list[str], base_path: str = "/v1") -> AbstractAsyncContextManager[Any]:
    """An upstream that has no port, and tells in which thread it was opened and closed."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        assert threading.current_thread() is not threading.main_thread()
        told.append(f"opens {port}")
        yield SimpleNamespace(origin=Origin("127.0.0.1", port, tls=False, base_path=base_path))
        told.append(f"closes {port}")

    return opened()


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/v1/v1", "http://127.0.0.1:8080/v1"),
    ],
)
def test_the_root_is_the_address_without_its_version(url: str, root: str) -> None:
    """Anthropic's clients add the version themselves."""
    assert Gateway(url, "iw_key").root == root


def test_upstreams_are_served_while_the_block_runs() -> None:
    """Addresses come in the order of the openings; the last opened is closed first."""
    told: list[str] = []
    with served([opening(1, told), opening(2, told, "/v2")]) as urls:
        assert urls == ["http://127.0.0.1:1/v1", "http://127.0.0.1:2/v2"]
        assert told == ["opens 1", "opens 2"]
    assert told == ["opens 1", "opens 2", "closes 2", "closes 1"]


def test_an_error_in_the_block_closes_the_upstreams() -> None:
    """The error is passed on, and no thread is left."""
    told: list[str] = []
    before = threading.active_count()
    with pytest.raises(ValueError, match="of the test"), served([opening(1, told)]):
        raise ValueError("of the test")
    assert told == ["opens 1", "closes 1"]
    assert threading.active_count() == before


def test_no_upstream_has_no_address() -> None:
    """A gateway may have none before it."""
    with served([]) as urls:
        assert urls == []
