"""The platform and the trainer as processes of their own: started, waited for, always ended.

Each process leads a session of its own, so that Ctrl-C is heard here alone and we decide in which order
things stop. The platform stops when we are gone, however we went: its standard input ends then. What they
print goes to files and is shown only when they fail.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from inferworks.demo.bills import NODE
from inferworks.demo.training import Trained
from inferworks.errors import UserError
from inferworks.folder import DataFolder
from inferworks.metering import KEY_VARIABLE

_READY_TIMEOUT_S = 90.0
_LOOK_EVERY_S = 0.05
_STOP_TIMEOUT_S = 40.0
_TAIL_LINES = 12


@asynccontextmanager
async def running_platform(folder: DataFolder) -> AsyncIterator[str]:
    """Run the platform on a free port while the block runs; yield its base URL.

    UserError, with the end of its output, when it does not come up or does not end well.
    """
    log = folder.path / "platform.log"
    config = folder.path / "inferworks.toml"  # of its own: the working directory's is ignored
    config.write_text(f'[engine]\nnode = "{NODE}"\n', encoding="utf-8")
    options = ["--until-eof", "--port", "0", "--config", str(config), "--data", str(folder.path)]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "inferworks", "up", *options, stdin=asyncio.subprocess.PIPE,
            stdout=output, stderr=output, env=_environment({}), start_new_session=True,
        )  # fmt: skip
    try:
        yield await _ready(process, folder, log)
    except BaseException:
        await _ended(process)
        raise
    if await _ended(process) != 0:
        raise UserError(f"the platform did not stop cleanly; its output ends:\n{_tail(log)}")


async def run_trainer(folder: Path, secret: str, options: Mapping[str, str]) -> Trained:
    """Run the trainer to its end. UserError, with the end of its output, when it fails."""
    log, output = folder / "training.log", folder / "training.json"
    module = ["inferworks.demo.training"]
    for name, value in options.items():
        module += [f"--{name}", value]
    # One thread: the trainer shares the machine with the engine and should not take all of it.
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment = _environment({KEY_VARIABLE: secret, **threads})
    with output.open("wb") as out, log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *module, stdin=asyncio.subprocess.DEVNULL, stdout=out,
            stderr=errors, env=environment, start_new_session=True,
        )  # fmt: skip
    try:
        code = await process.wait()
    except BaseException:
        await _ended(process)
        raise
    if code != 0:
        raise UserError(f"the trainer failed; its output ends:\n{_tail(log)}")
    return msgspec.json.decode(output.read_bytes(), type=Trained)


async def _ready(process: asyncio.subprocess.Process, folder: DataFolder, log: Path) -> str:
    try:
        async with asyncio.timeout(_READY_TIMEOUT_S):
            while process.returncode is None:
                instance = folder.instance()
                if instance is not None and instance.url:
                    return instance.url
                await asyncio.sleep(_LOOK_EVERY_S)
    except TimeoutError:
        raise UserError(
            f"the platform was not ready within {_READY_TIMEOUT_S:g} s; its output ends:\n{_tail(log)}"
        ) from None
    raise UserError(f"the platform did not start; its output ends:\n{_tail(log)}")


async def _ended(process: asyncio.subprocess.Process) -> int:
    """Ask the process to end and wait for it; kill it when it does not. Its exit status."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_STOP_TIMEOUT_S):
            return await process.wait()
    except BaseException as error:
        with suppress(ProcessLookupError):
            process.kill()
        code = await process.wait()
        if not isinstance(error, TimeoutError):
            raise
        return code


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """Our environment without the settings of other platforms, with `own`."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("INFERWORKS_")}
    return {**ours, **own}


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-_TAIL_LINES:]) or "(nothing)"
