"""The holder of the data folder, as a worker sees it: orders from it, and all that it knows of the others.

A worker has no replicas, no configuration file and no figures of others: the holder tells it of all that
(`wiring.channel`). Here is the worker's side: the replicas, metrics and state of the whole gateway.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from inferworks.api.context import Others
from inferworks.api.health import failing_here
from inferworks.cloud.fleet import own_offer
from inferworks.cloud.offer import Offer
from inferworks.errors import CallError, UserError
from inferworks.ids import ModelId
from inferworks.observe.merged import snapshot
from inferworks.observe.registry import Registry
from inferworks.supervise import Supervisor
from inferworks.wiring.channel import (
    Applied,
    Ask,
    Channel,
    Configure,
    Cover,
    Show,
    Shown,
    State,
    Stop,
    Told,
    ToWorker,
)
from inferworks.wiring.plan import OWN
from inferworks.wiring.serving import Serving
from inferworks.wiring.share import share

_PATIENCE_S: Final = 5.0
_UNKNOWN: Final = "The metrics of all workers cannot be had now; try again."


class Holder:
    """The holder at the other end of a channel: `OwnReplicas`, `Board` and `Others` of a worker."""

    def __init__(
        self,
        channel: Channel[ToWorker],
        supervisor: Supervisor,
        number: int = 1,
        workers: int = 1,
    ) -> None:
        """`number` is that of this worker among so many, who share the slots of the replicas."""
        self.supervisor = supervisor
        """Supervisor of this worker's own work."""
        self.own: Registry | None = None
        """Metrics of this worker."""
        self._channel = channel
        self._number = number
        self._workers = workers
        self._state = State()
        self._offers: dict[ModelId, list[Offer]] = {}
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._covered: dict[int, Callable[[], None]] = {}
        self._applying: set[asyncio.Task[None]] = set()

    def take(self, state: State) -> None:
        """Take in the state of all else."""
        self._state = state
        self._offers = {}
        for spec, url in state.ready:
            slots = max(1, share(spec.slots, self._number, self._workers))
            offer = own_offer(msgspec.structs.replace(spec, slots=slots), url, OWN)
            self._offers.setdefault(spec.model, []).append(offer)

    def offers(self, model: ModelId) -> Sequence[Offer]:
        """The replicas of `model` that are ready."""
        return self._offers.get(model, ())

    def status(self) -> Mapping[str, str]:
        """The state of each replica."""
        return self._state.replicas

    def others(self) -> Others:
        """The state of the other processes."""
        return self._state.others

    async def text(self) -> bytes:
        """The metrics of all processes; CallError 503 when the holder does not answer."""
        waiter: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._channel.send(Show())
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await waiter
        except TimeoutError:
            raise CallError(503, _UNKNOWN) from None

    async def obey(
        self, message: ToWorker, serving: Serving, sockets: Sequence[socket.socket]
    ) -> bool:
        """Do as `message` says; False when that is to stop."""
        match message:
            case State():
                self.take(message)
            case Ask():
                self._channel.send(self._told(serving))
            case Shown():
                if self._waiting:
                    waiter = self._waiting.popleft()
                    if not waiter.done():
                        waiter.set_result(message.text)
            case Configure():
                task = asyncio.create_task(self._apply(message, serving))
                self._applying.add(task)
                task.add_done_callback(self._applying.discard)
            case Cover(number, covers):
                await self._cover(number, serving, sockets, covers=covers)
            case Stop():
                return False
        return True

    def _told(self, serving: Serving) -> Told:
        context = serving.service.context
        ill = tuple(work.name for work in self.supervisor.ill() if not work.needed)
        metrics = snapshot(self.own.families()) if self.own else {}
        return Told(
            metrics,
            context.limiter.running,
            tuple(failing_here(context)),
            ill,
            context.journal.settled_to,
        )

    async def _apply(self, message: Configure, serving: Serving) -> None:
        try:
            await serving.apply(message.config)
        except UserError as error:
            self._channel.send(Applied(str(error)))
        except Exception as error:
            self._channel.send(Applied(f"{type(error).__name__}: {error}"))
            raise
        else:
            self._channel.send(Applied())

    async def _cover(
        self, number: int, serving: Serving, sockets: Sequence[socket.socket], *, covers: bool
    ) -> None:
        """Take the clients of worker `number` from its socket, or no more."""
        if covers and number not in self._covered:
            bound = sockets[number - 1].dup()
            self._covered[number] = await serving.server.accept_from(bound)
        elif not covers and number in self._covered:
            self._covered.pop(number)()
