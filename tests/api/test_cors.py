"""Calls from web pages: nobody's unless they are named, and what browsers are told of those that are."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from inferworks.cloud.providers.stub import StubProvider
from inferworks.config import load
from inferworks.errors import ConfigError
from inferworks.http.server import Limits
from inferworks.testing.in_process_gateway import CHAT, Answered, open_gateway_over
from inferworks.testing.providers import A_MODEL

Run = Callable[[Coroutine[Any, Any, None]], None]
PAGE = "https://app.example"
BODY = {"model": A_MODEL, "messages": [{"role": "user", "content": "hi"}]}
ASKS = {
    "origin": PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-os",
}


def cors_of(answer: Answered) -> dict[str, str]:
    """CORS headers of an answer, without their prefix."""
    prefix = "access-control-"
    return {
        name.removeprefix(prefix): value
        for name, value in answer.headers.items()
        if name.startswith(prefix)
    }


def test_nobody_unless_named(run: Run) -> None:
    """Without the setting a preflight is a method that does not fit, and no answer speaks of pages."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            asked = await gateway.ask("OPTIONS", CHAT, headers=ASKS, secret="")
            assert (asked.status, asked.headers["allow"]) == (405, "POST")
            answer = await gateway.chat(BODY, headers={"origin": PAGE})
            assert answer.status == 200
            for one in (asked, answer):
                assert cors_of(one) == {}
                assert "vary" not in one.headers

    run(main())


@pytest.mark.parametrize(
    ("origins", "allowed"), [([PAGE, "http://b.example"], PAGE), (["*"], "*"), ([PAGE, "*"], "*")]
)
def test_a_page_that_may(run: Run, origins: list[str], allowed: str) -> None:
    """A preflight needs no key, and the page may see every answer; credentials are never allowed."""

    async def main() -> None:
        limits = Limits(body_bytes=1000)
        async with open_gateway_over(StubProvider(), cors=origins, limits=limits) as gateway:
            asked = await gateway.ask("OPTIONS", CHAT, headers=ASKS, secret="")
            assert (asked.status, asked.body) == (200, b"")
            assert cors_of(asked) == {
                "allow-origin": allowed,
                "allow-methods": "GET, HEAD, POST, DELETE",
                "allow-headers": ASKS["access-control-request-headers"],
                "max-age": "7200",
                "expose-headers": "*",
            }
            origin = {"origin": PAGE}
            seen = {"allow-origin": allowed, "expose-headers": "*"}
            large = {**BODY, "user": "x" * 2000}
            answers = [
                await gateway.chat(BODY, headers=origin),
                await gateway.chat({**BODY, "stream": True}, headers=origin),
                await gateway.chat({}, headers=origin),
                await gateway.chat(BODY, headers=origin, secret="iw_x"),
                await gateway.chat(large, headers=origin),
                await gateway.ask("GET", "/v1/models", headers=origin),
                await gateway.ask("GET", "/v1/nothing", headers=origin),
            ]
            assert [one.status for one in answers] == [200, 200, 400, 401, 413, 200, 404]
            for one in answers:
                assert cors_of(one) == seen
                assert one.headers.get("vary") == (None if allowed == "*" else "origin")

    run(main())


@pytest.mark.parametrize("origin", ["https://evil.example", f"{PAGE}.evil.example", "null", ""])
def test_a_page_that_may_not(run: Run, origin: str) -> None:
    """A page of another origin is refused, and its browser keeps our answers from it."""

    async def main() -> None:
        async with open_gateway_over(StubProvider(), cors=[PAGE]) as gateway:
            asked = await gateway.ask(
                "OPTIONS", CHAT, headers={**ASKS, "origin": origin}, secret=""
            )
            assert (asked.status, asked.json["error"]["code"]) == (403, "origin_not_allowed")
            answer = await gateway.chat(BODY, headers={"origin": origin})
            assert answer.status == 200
            for one in (asked, answer):
                assert cors_of(one) == {}
                assert one.headers["vary"] == "origin"

    run(main())


@pytest.mark.parametrize("wanted", ["", "a b\tc", "x" * 5000])
def test_headers_that_are_no_names(run: Run, wanted: str) -> None:
    """Headers that are no names are not repeated."""

    async def main() -> None:
        async with open_gateway_over(StubProvider(), cors=["*"]) as gateway:
            asks = {**ASKS, "access-control-request-headers": wanted}
            asked = await gateway.ask("OPTIONS", CHAT, headers=asks, secret="")
            assert "allow-headers" not in cors_of(asked)

    run(main())


def test_options_that_are_no_preflight(run: Run) -> None:
    """The method is known to browsers alone."""

    async def main() -> None:
        async with open_gateway_over(StubProvider(), cors=["*"]) as gateway:
            assert (await gateway.ask("OPTIONS", CHAT)).status == 405
            assert (await gateway.ask("OPTIONS", CHAT, headers={"origin": PAGE})).status == 405
            large = await gateway.ask("OPTIONS", CHAT, b"x" * 5000, headers=ASKS, secret="")
            assert large.status == 413

    run(main())


def test_the_setting(tmp_path: Path) -> None:
    """A list in the file, words in the environment; what is no origin is refused with what to write."""
    file = tmp_path / "inferworks.toml"
    file.write_text('[gateway]\ncors_origins = ["https://app.example", "http://localhost:3000"]\n')
    assert load(file, {}).gateway.cors_origins == (PAGE, "http://localhost:3000")
    told = {"INFERWORKS_GATEWAY_CORS_ORIGINS": "https://a.example, tauri://localhost *"}
    origins = ("https://a.example", "tauri://localhost", "*")
    assert load(file, told).gateway.cors_origins == origins
    for wrong in ("https://app.example/", "app.example", "https://*/x", "https://u@h.example"):
        file.write_text(f'[gateway]\ncors_origins = ["{wrong}"]\n')
        with pytest.raises(ConfigError, match=r"gateway\.cors_origins: .* is no origin; write it"):
            load(file, {})
    file.write_text('[gateway]\ncors_origins = [""]\n')
    with pytest.raises(
        ConfigError, match=r"gateway\.cors_origins\[0\]: expected a text that is not blank"
    ):
        load(file, {})
