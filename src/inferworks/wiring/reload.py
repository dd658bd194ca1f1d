"""A changed configuration file becomes the next plan, while calls run.

The file and the secret files it names are looked at every second: two `stat` calls cost nothing, work on
every file system and container volume, and see a file that was replaced as well as one that was written
to. SIGHUP looks at once. A file that is broken, half written or gone leaves what is in force in force,
with one line in the log; what only a restart can change (the port, the data folder) is named.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from inferworks.config import REPEATED, Config, settings
from inferworks.errors import ConfigError, UserError
from inferworks.supervise import Supervisor, Work, ending

_EVERY_S = 1.0
_LIVE = frozenset({*REPEATED, "breaker"})
"""Sections that take effect without a restart."""

_log = logging.getLogger("inferworks.config")

Apply = Callable[[Config], Awaitable[None]]
"""Puts a configuration in force, all of it or, with a UserError, nothing."""


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """Where the configuration in force comes from."""

    path: Path
    read: Callable[[], Config]
    """Reads it again; ConfigError when it is wrong."""

    def stamp(self, config: Config) -> tuple[object, ...]:
        """What changes whenever the file, or a secret or certificate file that it names, does."""
        keys = (key for u in config.upstream for key in (u.key, u.client_secret))
        files = [key.removeprefix("file:") for key in keys if key.startswith("file:")]
        files += [f for u in config.upstream for f in (u.ca_file, u.credentials) if f]
        return tuple(_stamp(path) for path in (self.path, *(Path(f).expanduser() for f in files)))


class Reloader:
    """Applies what its source says whenever that changes."""

    def __init__(self, source: ConfigSource, config: Config, apply: Apply) -> None:
        """`config` is what is in force, and was read from `source`."""
        self._source = source
        self._apply = apply
        self._config = config
        self._seen = source.stamp(config)
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Read it again now, changed or not."""
        self._asked.set()

    async def run(self, work: Work) -> None:
        """Watch until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_EVERY_S):
                    await self._asked.wait()
            await self.look()
            work.succeeded()

    async def look(self) -> None:
        """Apply the source if it changed since it was last looked at, or if that was asked for."""
        seen = self._source.stamp(self._config)
        if seen == self._seen and not self._asked.is_set():
            return
        self._asked.clear()
        self._seen = seen
        try:
            if not self._source.path.exists():
                raise ConfigError(f"{self._source.path}: no such file")
            if not self._source.path.stat().st_size:  # being written, or the disk was full
                raise ConfigError(f"{self._source.path}: is empty")
            config = self._source.read()
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
        self._seen = self._source.stamp(config)
        _log.warning("configuration reloaded: %s", _summary(config))


@asynccontextmanager
async def reloading(
    source: ConfigSource | None, config: Config, apply: Apply, supervisor: Supervisor
) -> AsyncIterator[Callable[[], None]]:
    """Watch `source` while the block runs; enters with what makes it look at once."""
    if source is None:
        yield lambda: None
        return
    reloader = Reloader(source, config, apply)
    async with ending(supervisor.task("configuration", reloader.run)):
        yield reloader.ask


def needs_restart(before: Config, after: Config) -> list[str]:
    """The settings that differ and that a running platform does not take up."""
    names = (s.name for s in settings() if s.name.partition(".")[0] not in _LIVE)
    return [name for name in names if _value(before, name) != _value(after, name)]


def _summary(config: Config) -> str:
    """What is served now, in a few words."""
    names = {n if isinstance(n, str) else n.name for u in config.upstream for n in u.models}
    names |= {model.name for model in config.model}
    return f"{len(config.upstream)} upstreams, {len(names)} models"


def _value(config: Config, name: str) -> object:
    section, _, field = name.partition(".")
    return getattr(getattr(config, section), field)


def _stamp(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
