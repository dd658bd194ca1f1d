"""A real gateway in a process of its own, before fake upstreams that are served by this one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from inferworks.testing.platform import real_platform
from inferworks.testing.upstreams.bedrock import TOKEN
from inferworks.testing.upstreams.scripted_server import ScriptedUpstream

KEY_FILE = "key"
"""Name of the file from which the configuration reads the key of every upstream."""


class Gateway(msgspec.Struct, frozen=True):
    """Address of the gateway, and a key for it."""

    url: str
    """Base URL with `/v1`, as OpenAI's clients want it."""
    key: str

    @property
    def root(self) -> str:
        """Base URL without `/v1`, as Anthropic's clients want it."""
        return self.url.removesuffix("/v1")


@contextmanager
def served(
    openings: Sequence[AbstractAsyncContextManager[ScriptedUpstream[Any]]],
) -> Iterator[list[str]]:
    """The addresses of upstreams that are open, in a thread, while the block runs."""
    urls: list[str] = []
    started = threading.Event()
    loop = uvloop.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            opened = [await stack.enter_async_context(opening) for opening in openings]
            urls.extend(upstream.origin.url for upstream in opened)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert started.wait(10)
        yield urls
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@contextmanager
def real_gateway(folder: Path, configuration: str) -> Iterator[Gateway]:
    """Run `inferworks up` with this configuration; show its log when it does not end well."""
    (folder / KEY_FILE).write_text(TOKEN)
    (folder / "inferworks.toml").write_text(configuration)
    with real_platform(folder / "data", cwd=folder) as platform:
        key = platform.key()
        yield Gateway(str(platform.start().url), key)
        log = platform.log()
        assert platform.stop() == 0, log
        assert "Traceback" not in log, log
