"""A real gateway, in a process of its own, before upstreams of both dialects that do what they are asked.

The gateway is `inferworks up`, as anybody starts it, with one upstream for each way through it:

    native       OpenAI's dialect with everything: nothing is translated
    chats        an upstream that has chats only: responses and completions are translated
    claude       Anthropic's dialect: chats are translated, responses by way of chats
    ranker       embeddings and rankings

All of them are servers of this process, in a thread.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
import uvloop

from inferworks.testing.platform import real_platform
from inferworks.testing.upstream import Answer, open_upstream
from inferworks.testing.upstreams.anthropic import MessageAnswer, open_anthropic

CONFIGURATION = """
[engine]
replicas = 0

[[upstream]]
name = "everything"
provider = "openai"
url = "{openai}"
key = "file:key"
models = [{{ name = "native", upstream = "vendor/native" }}, "omni-moderation-latest"]

[[upstream]]
name = "chats-only"
provider = "deepseek"
url = "{openai}"
key = "file:key"
models = ["chats"]

[[upstream]]
name = "messages-only"
provider = "anthropic"
url = "{anthropic}"
key = "file:key"
models = ["claude"]

[[upstream]]
name = "rankings"
provider = "jina"
url = "{openai}"
key = "file:key"
models = ["ranker"]
"""


class Gateway(msgspec.Struct, frozen=True):
    """Where the gateway is, and a key for it."""

    url: str
    """With `/v1`, as OpenAI's clients want it."""
    key: str

    @property
    def root(self) -> str:
        """Without it, as Anthropic's clients want it."""
        return self.url.removesuffix("/v1")


LOOP = pytest.StashKey[asyncio.Runner]()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run the coroutines of suites that are not ours, all on one loop, for clients keep connections."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    pyfuncitem.session.stash[LOOP].run(pyfuncitem.obj(**arguments))
    return True


@pytest.fixture(scope="session", autouse=True)
def _loop(request: pytest.FixtureRequest) -> Iterator[None]:
    with asyncio.Runner() as runner:
        request.session.stash[LOOP] = runner
        yield


@pytest.fixture(scope="session")
def upstreams() -> Iterator[dict[str, str]]:
    """The addresses of the upstreams, by dialect."""
    ready: dict[str, str] = {}
    started = threading.Event()
    loop = uvloop.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            able = Answer(is_able=True, cached_tokens=3, reasoning_tokens=1)
            openai = await stack.enter_async_context(open_upstream(able))
            claude = MessageAnswer(is_able=True, cache_read=2, thinking_tokens=1)
            anthropic = await stack.enter_async_context(open_anthropic(claude))
            ready.update(openai=str(openai.origin.url), anthropic=str(anthropic.origin.url))
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert started.wait(10)
        yield ready
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.fixture(scope="session")
def gateway(
    upstreams: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A running gateway; what it has logged is shown when it does not end well."""
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "key").write_text("sk-upstream")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "inferworks.toml").write_text(CONFIGURATION.format(**upstreams))
        with real_platform(Path(folder / "data")) as platform:
            key = platform.key()
            yield Gateway(str(platform.start().url), key)
            log = platform.log()
            assert platform.stop() == 0, log
            assert "Traceback" not in log, log
