"""A provider whose requests say under which span they are made, for upstreams that are our own."""

from __future__ import annotations

from collections.abc import Callable, Set
from contextlib import AbstractAsyncContextManager

import msgspec

from inferworks.cloud.call import Call, Reply
from inferworks.cloud.offer import Offer
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.base import Provider
from inferworks.ids import CallId


class TracedProvider:
    """`provider`, with a `traceparent` header in each request."""

    def __init__(self, provider: Provider, traceparent: Callable[[CallId], bytes]) -> None:
        """`traceparent` gives the header of a call."""
        self.name = provider.name
        self.operations: Set[Operation] = provider.operations
        """Operations of the provider."""
        self._provider = provider
        self._traceparent = traceparent

    def send(self, offer: Offer, call: Call) -> AbstractAsyncContextManager[Reply]:
        """Send `call` to `offer`, under its span."""
        header = (b"traceparent", self._traceparent(call.id))
        headers = (*call.headers, header)
        return self._provider.send(offer, msgspec.structs.replace(call, headers=headers))
