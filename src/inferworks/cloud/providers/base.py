"""The provider seam: how a call is sent to an upstream and its answer read."""

from __future__ import annotations

from collections.abc import Set
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from inferworks.cloud.call import Call, Reply
from inferworks.cloud.offer import Offer
from inferworks.cloud.operation import Operation


class Provider(Protocol):
    """Speaks to one upstream. `inferworks.testing.providers.check_provider` is its contract."""

    @property
    def name(self) -> str:
        """Name of the provider in records, e.g. `openai`."""
        ...

    @property
    def operations(self) -> Set[Operation]:
        """Operations that the provider can be sent."""
        ...

    def send(self, offer: Offer, call: Call) -> AbstractAsyncContextManager[Reply]:
        """Send `call` to `offer`; entering waits until the answer has begun (its first chunk).

        Raises UpstreamError when there is no answer. An upstream's refusal is a Reply with its status
        and one last chunk. Leaving early tells the upstream to stop.
        """
        ...
