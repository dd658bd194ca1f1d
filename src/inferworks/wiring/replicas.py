"""Our own replicas: the embedded engine in processes of its own, and its provider."""

from __future__ import annotations

import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from inferworks.clock import Clock
from inferworks.cloud.backends.base import ReplicaSpec
from inferworks.cloud.backends.process import ProcessBackend
from inferworks.cloud.credentials.key import KeyCredential
from inferworks.cloud.fleet import Fleet, FleetSettings
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.base import Provider
from inferworks.cloud.providers.openai import openai_provider
from inferworks.config import DEFAULT_NODE, Config
from inferworks.extras import check_installed
from inferworks.folder import DataFolder
from inferworks.http.client import HttpClient
from inferworks.ids import NodeId, ReplicaId
from inferworks.meter.journal import Journal
from inferworks.meter.spool import spool_at
from inferworks.supervise import Supervisor
from inferworks.wiring.drivers import translated
from inferworks.wiring.plan import EMBEDDED_MODEL, OWN


def check_engine(config: Config) -> None:
    """Raise ExtraError when `config` wants replicas and the embedded engine is not installed."""
    if config.engine.replicas:
        user = "the embedded engine (engine.replicas = 0 runs none)"
        check_installed("onnxruntime", "embedded", user)


@asynccontextmanager
async def running_fleet(
    config: Config,
    folder: DataFolder,
    journal: Journal,
    clock: Clock,
    supervisor: Supervisor,
    token: str,
) -> AsyncIterator[Fleet]:
    """Run the replicas that `config` wants, each in a process of its own, while the block runs.

    They answer only requests that carry `token`.
    """
    # named by their node, so that nodes whose records meet in one archive have none in common
    of_node = "" if config.engine.node == DEFAULT_NODE else f"{config.engine.node}-"
    specs = [
        ReplicaSpec(
            replica=ReplicaId(f"{of_node}replica-{number}"),
            node=NodeId(config.engine.node),
            model=EMBEDDED_MODEL,
            slots=config.engine.slots,
            region=config.engine.region,
            chip=config.engine.chip,
        )
        for number in range(config.engine.replicas)
    ]
    fleet = Fleet(
        ProcessBackend(_embedded_command, token),
        specs,
        journal,
        clock,
        FleetSettings(
            spools=folder.spool,
            provider=OWN,
            start_timeout_s=config.engine.start_timeout_s,
            hang_s=config.engine.hang_s,
            collect_s=config.meter.collect_s,
        ),
        supervisor,
    )
    await fleet.start()
    try:
        yield fleet
    finally:
        await fleet.stop(0.0)  # the server has stopped before: no call runs to wait for


def _embedded_command(spec: ReplicaSpec, spool: Path) -> Sequence[str]:
    """Return the command that starts a replica of the embedded engine."""
    module = "inferworks.hardware.engines.embedded.serve"
    options = {
        "--token": "stdin",
        "--replica": spec.replica,
        "--node": spec.node,
        "--model": spec.model,
        "--slots": str(spec.slots),
        "--spool": str(spool.resolve()),
        "--begins-ns": str(spool_at(spool).started_ns),
    }
    return [sys.executable, "-m", module, *(part for pair in options.items() for part in pair)]


def new_token() -> str:
    """A token for the replicas of one start."""
    return secrets.token_urlsafe(32)


def own_provider(client: HttpClient, token: str) -> Provider:
    """Return the provider of our own replicas: chats, and operations that translate into one."""
    return translated(
        openai_provider(
            client,
            KeyCredential.bearer(token),
            name=OWN,
            running_usage=True,
            operations=(Operation.CHAT,),
        )
    )
