"""`GET /livez`, `/readyz` and `/health`: three questions about the gateway, open to all.

| path | asked by | question | 503 when |
|---|---|---|---|
| `/livez` | what restarts it | would a restart help? | vital work has ended |
| `/readyz` | a load balancer | may new calls be sent here? | they could not be served, or it will stop |
| `/health` | people, monitoring | how does it do? | calls cannot be served |

They are kept apart since the right answers differ: a gateway that stops is well, but should get no more
calls; one whose disk is full should get none either, and restarting it would not make room.

None of them waits for anything or reads a disk, so they answer when the journal hangs. A loop that stands
answers nothing, which is what a probe's timeout is for. They tell nothing about customers: parts are
called by our own names for them, and why they fail stands in the log.

Where several workers serve one port, whichever answers speaks for all: a part that fails in another process
is named with it, as `worker-2: journal`. A worker that is being replaced makes the gateway `degraded` and
nothing more, for the others serve meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from inferworks import __version__
from inferworks.api.context import AppContext
from inferworks.http.server import Exchange


async def livez(exchange: Exchange, context: AppContext) -> None:
    """200 unless something has ended that only a restart brings back."""
    ended = [*context.supervisor.ended(), *context.others().ended]
    await _answer(exchange, "failing" if ended else "ok", ended)


async def readyz(exchange: Exchange, context: AppContext) -> None:
    """200 while new calls may be sent here."""
    failing = _failing(context)
    if failing:
        await _answer(exchange, "failing", failing)
    elif context.limiter.closing:
        await _answer(exchange, "stopping")
    elif not _offers_all(context):
        await _answer(exchange, "starting")
    else:
        await _answer(exchange, "ok")


async def health(exchange: Exchange, context: AppContext) -> None:
    """200 while calls are served; `degraded` when something fails that they can do without."""
    failing = _failing(context)
    status = "failing" if failing else "ok" if _offers_all(context) else "starting"
    others = context.others()
    parts = failing or [*(work.name for work in context.supervisor.ill()), *others.ill]
    if status == "ok" and parts:
        status = "degraded"
    running = context.limiter.running + others.running_calls
    more: dict[str, object] = {"replicas": context.catalogue.status(), "running_calls": running}
    if others.workers:
        more["workers"] = others.workers
    await _answer(exchange, status, parts, more)


def failing_here(context: AppContext) -> list[str]:
    """The parts of this process without which no call can be served, and which do not work."""
    parts = ["journal"] if context.journal.failed else []
    if not context.keyring.fresh:
        parts.append("keys")
    parts += [work.name for work in context.supervisor.ill() if work.needed]
    return list(dict.fromkeys(parts))


def _failing(context: AppContext) -> list[str]:
    """The parts that fail, those of the other processes too."""
    return list(dict.fromkeys([*failing_here(context), *context.others().failing]))


def _offers_all(context: AppContext) -> bool:
    """Return True when every model has an offer that is ready."""
    return all(context.catalogue.offers(model) for model in context.catalogue.models())


async def _answer(
    exchange: Exchange,
    status: str,
    parts: Sequence[str] = (),
    more: Mapping[str, object] | None = None,
) -> None:
    body = {"status": status, "version": __version__, **(more or {})}
    if parts:
        body["parts"] = parts
    serving = status in {"ok", "degraded"}
    await exchange.respond(200 if serving else 503, msgspec.json.encode(body))
