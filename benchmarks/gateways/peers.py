"""The gateways, in the order they are shown."""

from __future__ import annotations

from collections.abc import Mapping

from gateways import inferworks, nginx
from gateways.base import Peer

PEERS: Mapping[str, Peer] = {peer.name: peer for peer in (inferworks.PEER, nginx.PEER)}
