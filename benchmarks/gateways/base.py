"""Interface of a gateway under measurement."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateways.calls import Target


@dataclass(frozen=True)
class Place:
    """Environment in which a gateway is started."""

    home: Path
    """The folder it is installed in."""
    scratch: Path
    """Empty folder for its files."""
    port: int
    """Port on which the gateway is to listen, on 127.0.0.1."""
    upstream: int
    """The port of the mock upstream, on 127.0.0.1, which speaks OpenAI's API under /v1."""


@dataclass(frozen=True)
class Started:
    """Command that starts a gateway, and the target of its calls."""

    command: Sequence[str]
    target: Target
    environment: Mapping[str, str] = field(default_factory=dict)
    port_said: str | None = None
    """Pattern of the printed port, a group in it, for a gateway that chooses its port itself."""
    journal: Path | None = None
    """The journal it meters into, of ours only."""


@dataclass(frozen=True)
class Peer:
    """A gateway: `version` gives None where it is not installed in the folder that is its home."""

    name: str
    version: Callable[[Path], str | None]
    install: Callable[[Path], None]
    start: Callable[[Place], Started] | None
    """None for the mock upstream itself."""


class CannotInstall(Exception):
    """The message is the last that the installer said."""


def pip_install(home: Path, requirement: str) -> None:
    """Make a virtual environment at `home` with `requirement` in it. CannotInstall when that fails."""
    _install([sys.executable, "-m", "venv", str(home)])
    pip = [str(home / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    _install([*pip, "install", requirement])


def npm_install(home: Path, package: Mapping[str, object]) -> None:
    """Install the packages of `package` at `home` with npm. CannotInstall when that fails."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "package.json").write_text(json.dumps(package), encoding="utf-8")
    _install(["npm", "install", "--no-audit", "--no-fund", "--prefix", str(home)])


def apt_install(package: str) -> None:
    """Install a Debian package, for which one must be root. CannotInstall when that fails."""
    _install(["apt-get", "install", "--yes", "--quiet", package])


def _install(command: Sequence[str]) -> None:
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CannotInstall(f"{command[0]}: {error.strerror}") from error
    if result.returncode != 0:
        said = (result.stderr or result.stdout).strip().splitlines() or ["it said nothing"]
        raise CannotInstall(f"{command[0]}: {said[-1]}")


def pip_version(package: str) -> Callable[[Path], str | None]:
    """Return a function that finds the version of `package` in the virtual environment of a home."""
    program = f"import importlib.metadata as m; print(m.version({package!r}))"

    def version(home: Path) -> str | None:
        python = home / "bin" / "python"
        if not python.exists():
            return None
        command = [str(python), "-c", program]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        return result.stdout.strip() or None

    return version
