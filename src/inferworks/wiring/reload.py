"""A changed configuration file becomes the next plan, while calls run.

The file and the secret files it names are looked at every second: two `stat` calls cost nothing, work on
every file system and container volume, and see a file that was replaced as well as one that was written
to. SIGHUP looks at once. A file that is broken, half written or gone leaves what is in force in force,
with one line in the log; what only a restart can change (the port, the data folder) is named.

All of it is read in threads beside the loop, each of which may hang for ever (a mount whose server is
away, a key store that waits for a person): that is said after ten seconds, `/health` tells of it after a
minute, and the next change of the file is taken in all the same.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from inferworks.config import REPEATED, Config
from inferworks.errors import ConfigError, UserError
from inferworks.supervise import Supervisor, Work, beside, ending
from inferworks.wiring.plan import EMBEDDED_MODEL

_EVERY_S = 1.0
_READ_S = 10.0
"""Seconds that reading the configured files may take before the delay is logged."""
_LIVE = frozenset({*REPEATED, "breaker", "fairness"})
"""Sections that take effect without a restart."""

_log = logging.getLogger("inferworks.config")

Stamp = tuple[object, ...]
Apply = Callable[[Config], Awaitable[None]]
"""Function that puts a configuration in force, all of it or, with a UserError, nothing."""


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """Source of the configuration in force."""

    path: Path
    read: Callable[[], Config]
    """Reads it again; ConfigError when it is wrong."""

    def read_whole(self) -> Config:
        """Read it again; ConfigError when it is wrong, gone, or being written."""
        try:
            size = self.path.stat().st_size
        except OSError as error:
            why = "no such file" if error.errno == errno.ENOENT else error.strerror
            raise ConfigError(f"{self.path}: {why}") from None
        if not size:  # being written, or the disk was full
            raise ConfigError(f"{self.path}: is empty")
        return self.read()

    def stamp(self, config: Config) -> Stamp:
        """Return a stamp that changes with the file, or a secret or certificate file that it names."""
        keys = (key for u in config.upstream for key in (u.key, u.client_secret))
        files = [key.removeprefix("file:") for key in keys if key.startswith("file:")]
        files += [f for u in config.upstream for f in (u.ca_file, u.credentials) if f]
        stamps: list[object] = []
        for path in (self.path, *(Path(f).expanduser() for f in files)):
            try:
                status = path.stat()
            except OSError:
                stamps.append(None)
            else:
                stamps.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(stamps)


class Reloader:
    """Watcher that applies the configuration of its source on each change."""

    def __init__(self, source: ConfigSource, config: Config, apply: Apply) -> None:
        """Watch `source`, of which `config` is the configuration in force."""
        self._source = source
        self._apply = apply
        self._config = config
        self._seen = source.stamp(config)
        self._asked = asyncio.Event()
        self._stamping: asyncio.Future[Stamp] | None = None
        self._taking: asyncio.Task[None] | None = None
        """Task that takes in a change, while it runs."""

    def ask(self) -> None:
        """Read it again now, changed or not."""
        self._asked.set()

    async def run(self, work: Work) -> None:
        """Watch until cancelled."""
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_EVERY_S):
                        await self._asked.wait()
                work.begun()
                await self._look()
                reads = (self._stamping, self._taking)
                if all(each is None or each.done() for each in reads):  # none hangs
                    work.succeeded()
        finally:
            await self._give_up()

    async def _look(self) -> None:
        """Take in the source if it changed since it was last looked at, or if that was asked for."""
        if self._stamping is None or self._stamping.done():
            config = self._config
            self._stamping = beside("configuration-stamps", lambda: self._source.stamp(config))
        await asyncio.wait({self._stamping}, timeout=_EVERY_S)
        seen = self._stamping.result() if self._stamping.done() else None  # not to be read now
        if (seen is None or seen == self._seen) and not self._asked.is_set():
            return
        await self._give_up()
        self._asked.clear()
        self._seen = seen or self._seen
        self._taking = asyncio.create_task(self._take_in())
        await asyncio.wait({self._taking}, timeout=_READ_S)
        if not self._taking.done():
            _log.error(
                "configuration not reloaded, the old one stays in force: a file or key store that it names "
                "does not answer; it is taken in when it does, or when the file changes again"
            )

    async def _give_up(self) -> None:
        """Give up reads that hang."""
        if self._taking is not None:
            self._taking.cancel()
            await asyncio.wait({self._taking})

    async def _take_in(self) -> None:
        """Apply the present configuration of the source, all of it or nothing."""
        try:
            config = await beside("configuration-file", self._source.read_whole)
            await self._apply(config)
        except UserError as error:
            why = " ".join(str(error).split())  # one line, whatever it lists
            _log.error("configuration not reloaded, the old one stays in force: %s", why)
            return
        except Exception as error:  # noqa: BLE001 whatever it is, what runs goes on as it was
            _log.exception("configuration not reloaded, the old one stays in force: %r", error)
            return
        for name in needs_restart(self._config, config):
            _log.warning("%s changed; it takes effect with the next start", name)
        self._config = config
        self._seen = await beside("configuration-stamps", lambda: self._source.stamp(config))
        names = {n if isinstance(n, str) else n.name for u in config.upstream for n in u.models}
        names |= {model.name for model in config.model}
        names |= {EMBEDDED_MODEL} if config.engine.replicas else set()
        served = f"{len(config.upstream)} upstreams, {len(names)} models"
        _log.warning("configuration reloaded: %s", served)


@asynccontextmanager
async def reloading(
    source: ConfigSource | None, config: Config, apply: Apply, supervisor: Supervisor
) -> AsyncIterator[Callable[[], None]]:
    """Watch `source` while the block runs; yield a function that makes it look at once."""
    if source is None:
        yield lambda: None
        return
    reloader = Reloader(source, config, apply)
    async with ending(supervisor.task("configuration", reloader.run)):
        yield reloader.ask


def needs_restart(before: Config, after: Config) -> list[str]:
    """The settings that differ and that a running platform does not take up."""
    sections = [
        (section, getattr(before, section), getattr(after, section))
        for section in Config.__struct_fields__
        if section not in _LIVE
    ]
    return [
        f"{section}.{field}"
        for section, old, new in sections
        for field in old.__struct_fields__
        if getattr(old, field) != getattr(new, field)
    ]
