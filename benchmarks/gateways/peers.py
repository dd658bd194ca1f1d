"""The gateways, in the order they are shown."""

from __future__ import annotations

from collections.abc import Mapping

from gateways import (
    inferworks,
    litellm,
    nginx,
    portkey,
    sglang_router,
    tensorzero,
    vllm_router,
)
from gateways.base import Peer

PEERS: Mapping[str, Peer] = {
    peer.name: peer
    for peer in (
        inferworks.PEER,
        nginx.PEER,
        nginx.MOCK,
        vllm_router.PEER,
        sglang_router.PEER,
        tensorzero.PEER,
        portkey.PEER,
        litellm.PEER,
    )
}
