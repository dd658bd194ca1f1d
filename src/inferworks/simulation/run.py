"""Run of one seed: set the simulation up, run it, and check the promises."""

from __future__ import annotations

import gc
import logging
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from inferworks.simulation import loop as loops
from inferworks.simulation.disk import Disk
from inferworks.simulation.loop import SimLoop
from inferworks.simulation.network import Network
from inferworks.simulation.promises import broken
from inferworks.simulation.stand_in import standing_in
from inferworks.simulation.turns import Turns
from inferworks.simulation.world import START_NS, World

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 memory, where the system has it; else any folder


@dataclass(frozen=True)
class Run:
    """The outcome of a seed."""

    seed: int
    digest: str
    """The hash of everything that happened."""
    events: int
    simulated_s: float
    calls: int
    usages: int
    starts: int
    disk_faults: int
    kills: int
    power_losses: int
    broken: Sequence[str]
    last: Sequence[str]
    """The last events."""


def run(seed: int) -> Run:
    """Live through `seed`, and look at every promise."""
    gc.collect()
    gc.freeze()  # what is there by now stays: nobody has to look through it again
    turns = Turns(seed, START_NS)
    network = Network(turns, seed)
    loops.start_numbers()
    # in memory, with a name of the same length in each run
    memory = _MEMORY if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="inferworks-", dir=memory) as name:
        folder = Path(name)
        root = folder / "disk"
        root.mkdir()
        disk = Disk(turns, root, seed)
        with standing_in(turns, disk, network, seed), _log(turns) as logged:
            config = folder / "inferworks.toml"
            world = World(seed, turns, network, disk, Random(f"world {seed}"), config)  # noqa: S311
            world.logged = logged
            loop = SimLoop(turns, network)
            sys.unraisablehook = lambda _: None  # what the dead still want on their way out
            try:
                loop.run_until_complete(world.live())
                world.broken += broken(world)
            except Exception as error:  # noqa: BLE001 a run that cannot end is a broken promise
                world.broken.append(f"the run ends: {''.join(traceback.format_exception(error))}")
            finally:
                loop.drop()
                sys.unraisablehook = sys.__unraisablehook__
    turns.note(f"{turns.switches} turns, {network.random.random()}, {disk.random.random()}")
    return Run(
        seed,
        turns.trace.digest(),
        turns.trace.events,
        turns.now_ns / 1e9,
        len(world.clients.calls),
        len(world.usages),
        world.gateway.starts,
        disk.failed,
        world.gateway.kills,
        len(world.power_losses),
        world.broken,
        turns.trace.last(),
    )


@contextmanager
def _log(turns: Turns) -> Iterator[list[tuple[int, str]]]:
    """The errors that are logged while the block runs; nothing reaches the terminal."""
    errors: list[tuple[int, str]] = []

    class Taking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if turns.process.dead:
                return
            turns.note(f"log {record.levelname} {record.name} {record.msg}")
            if record.levelno >= logging.ERROR:
                error = record.exc_info[1] if record.exc_info else None
                errors.append((turns.now_ns, f"{record.getMessage()} {error!r}"))

    log = logging.getLogger("inferworks")
    taking, before = Taking(), log.propagate
    log.addHandler(taking)
    log.propagate = False
    try:
        yield errors
    finally:
        log.removeHandler(taking)
        log.propagate = before
