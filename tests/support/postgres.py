"""A PostgreSQL server of the tests' own, where its programs are installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_INSTALLED = sorted(
    Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name)
)


class PostgresServer:
    """A server that listens on a socket in its own folder; its databases can be made and dropped."""

    def __init__(self, folder: Path, programs: Path, user: str | None) -> None:
        self.folder = folder
        self._programs = programs
        self._user = user
        self._databases = 0

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder} -c fsync=off"
        self.run("pg_ctl", "start", "-w", "-D", "data", "-o", options, "-l", "log")

    def stop(self, how: str = "fast") -> None:
        """Stop it; `immediate` is a crash."""
        self.run("pg_ctl", "stop", "-w", "-D", "data", "-m", how)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Have all its processes stand still within the block: connections stay open, nothing answers."""
        pid = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGSTOP)  # first, so that it starts no more
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in found:
            os.kill(int(child), signal.SIGSTOP)
        try:
            yield
        finally:
            for stopped in (*found, pid):
                os.kill(int(stopped), signal.SIGCONT)

    def database(self) -> str:
        """Return the URL of a new, empty database."""
        self._databases += 1
        name = f"test_{self._databases}"
        self.run("createdb", "-h", str(self.folder), name)
        return f"postgresql:///{name}?host={self.folder}&user={self._user or os.environ['USER']}"

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs as a user that may; root may not."""
        become = ["runuser", "-u", self._user, "--"] if self._user else []
        command = [*become, str(self._programs / program), *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server; the test is skipped where PostgreSQL is not installed."""
    on_path = shutil.which("initdb")
    programs = Path(on_path).resolve().parent if on_path else _INSTALLED[-1] if _INSTALLED else None
    if programs is None:
        pytest.skip("PostgreSQL's initdb is not installed")
    user = "postgres" if os.geteuid() == 0 else None
    if user and not shutil.which("runuser"):
        pytest.skip("root cannot run PostgreSQL, and runuser is not installed")
    with tempfile.TemporaryDirectory(prefix="iw-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, user)
        server = PostgresServer(folder, programs, user)
        server.run("initdb", "-D", "data", "--auth", "trust", "--no-sync")
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
