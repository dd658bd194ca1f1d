"""Pictures, speech and transcriptions keep the contract of the provider seam."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from tests.support.operations import WORKS, Work

from inferworks.cloud.providers.stub import Script
from inferworks.errors import UpstreamError
from inferworks.testing.providers import EVERYWHERE, Staging, check_leaving_amid

Run = Callable[[Coroutine[Any, Any, None]], None]


def name_of(work: Work) -> str:
    """A name for a test of `work`."""
    return work.call.operation + ("-stream" if work.call.stream else "")


@pytest.mark.parametrize("work", WORKS, ids=name_of)
@pytest.mark.parametrize("check", EVERYWHERE, ids=lambda check: check.__name__)
def test_contract(run: Run, work: Work, check: Callable[[Staging], Awaitable[None]]) -> None:
    """Each promise that has nothing to do with chats is kept by each operation."""

    async def main() -> None:
        await check(work.stage)

    run(main())


@pytest.mark.parametrize("work", WORKS, ids=name_of)
def test_what_is_told(run: Run, work: Work) -> None:
    """The last chunk comes once, and what was told by then is what it cost."""

    async def main() -> None:
        async with work.stage(Script(words=("a", "b"), input_tokens=9)) as on:
            async with on.provider.send(on.offer, work.call) as reply:
                chunks = [reply.first, *[chunk async for chunk in reply.rest]]
            assert [chunk.last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
            reported = [chunk.reported for chunk in chunks if chunk.reported is not None][-1]
            assert (reported.tokens, reported.items) == (work.tokens, work.items)
            assert not reported.is_estimate
            assert (len(chunks) > 1) == work.call.stream
            assert on.left_early() == 0

    run(main())


STREAMED = [work for work in WORKS if work.call.stream]


@pytest.mark.parametrize("work", STREAMED, ids=name_of)
def test_breaking_off_amid(run: Run, work: Work) -> None:
    """An answer that breaks off raises there, after the chunks that came, and never passes for whole."""

    async def main() -> None:
        async with work.stage(Script(words=("a", "b"), breaks_after=1)) as on:
            async with on.provider.send(on.offer, work.call) as reply:
                assert not reply.first.last
                with pytest.raises(UpstreamError) as caught:
                    await anext(reply.rest)
            assert caught.value.sent

    run(main())


@pytest.mark.parametrize(
    "work", [w for w in STREAMED if "image" not in w.call.operation], ids=name_of
)
def test_leaving_amid(run: Run, work: Work) -> None:
    """Leaving a stream early tells the upstream to stop."""
    run(check_leaving_amid(work.stage))
