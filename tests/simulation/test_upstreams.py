"""Hosts that serve models in the simulation: each remembers what it was asked, and answers as it says."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from random import Random

import pytest

from inferworks.simulation.clients import Call, Wire, http, take_in
from inferworks.simulation.disk import Disk
from inferworks.simulation.loop import SimLoop
from inferworks.simulation.network import Network
from inferworks.simulation.stand_in import standing_in
from inferworks.simulation.turns import Turns
from inferworks.simulation.upstreams import Asked, Upstream

CHAT = {"model": "m", "user": "call-0", "messages": [{"role": "user", "content": "Hi"}]}


def asked(
    turns: Turns, root: Path, badness: float, seed: int, n_calls: int = 1
) -> tuple[Upstream, list[Call]]:
    """An upstream after some calls, one after the other, each on a connection of its own."""
    network = Network(turns, seed)
    loop = SimLoop(turns, network)
    upstream = Upstream("up1", turns, network, Random(seed), badness)
    calls: list[Call] = []

    async def ask() -> None:
        call = Call("call-0", "acme", stream=False, asked_ns=0)
        calls.append(call)
        try:
            _, wire = await asyncio.wait_for(
                loop.create_connection(Wire, network.names[upstream.host], 80), 5
            )
        except (OSError, TimeoutError):
            return
        body = json.dumps(CHAT).encode()
        request = http("POST", "/v1/chat/completions", body, "sk").replace(
            b"content-length", b"content-type: application/json\r\ncontent-length"
        )
        wire.transport.write(request)
        for _ in range(200):
            if wire.ended or (wire.came.startswith(b"HTTP") and take_in(call, bytes(wire.came))):
                break
            await asyncio.sleep(0.2)
        wire.transport.abort()

    async def run() -> None:
        await upstream.start()
        for _ in range(n_calls):
            await ask()
        await upstream.stop()

    try:
        with standing_in(turns, Disk(turns, root, seed), network, seed):
            loop.run_until_complete(run())
    finally:
        loop.drop()
    return upstream, calls


@pytest.mark.parametrize("seed", range(3))
def test_a_good_one_answers_and_tells_its_tokens(turns: Turns, tmp_path: Path, seed: int) -> None:
    """The usage in the answer is what it remembers of the call."""
    upstream, [call] = asked(turns, tmp_path, 0.0, seed)
    [one] = upstream.asked["call-0"]
    assert isinstance(one, Asked)
    assert (call.status, call.whole, one.whole, one.upstream) == (200, True, True, "up1")
    usage = json.loads(call.body)["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (
        *(one.input_tokens, one.output_tokens),
    )
    assert upstream.bugs == []


def test_a_bad_one_goes_wrong_in_many_ways(turns: Turns, tmp_path: Path) -> None:
    """Of thirty calls some are refused and some never answered, and none of it is a bug of its own."""
    upstream, calls = asked(turns, tmp_path, 1.0, 3, n_calls=30)
    behaviours = {one.behaviour for one in upstream.asked.get("call-0", ())}
    assert len(behaviours) > 3
    assert "good" not in behaviours
    statuses = {call.status for call in calls}
    assert 0 in statuses, "some were not answered at all"
    assert statuses & {429, 500, 529}, "some were refused"
    assert upstream.bugs == []


def test_a_host_has_a_name_and_an_address(turns: Turns, tmp_path: Path) -> None:
    """The name of the configuration leads to the address on which it listens."""
    upstream, _ = asked(turns, tmp_path, 0.0, 1)
    assert upstream.host == "up1.test"
    assert upstream.network.names == {"up1.test": "10.0.0.1"}
    assert ("10.0.0.1", 80) not in upstream.network.listeners, "it was stopped"
