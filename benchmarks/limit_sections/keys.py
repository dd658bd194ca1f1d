"""Keys: authentication, start and memory with a million of them.

`warm_us` and `cold_us` are of `authenticate`, from the headers of a request to its key: of keys that were
seen lately (the least of some rounds) and of ones that come for the first time, the database in the page
cache (on average). `cold_p99_ms` is by the wall: all but one look-up in a hundred held up the event loop
for less. `unknown_us` is of keys that nobody has, `wrong_secret_us` of ids that there are with another
secret, and `malformed_us` of what has not the form of a key; `old_us` of good keys of the form without a
public id.

`start_s`, `start_cpu_s` and `memory_mb` are of `inferworks up` as a user starts it: until it answers, and
when so many keys were called with that no more stay warm. Those that begin with `empty_` are of the same
with one key. `revoked_after_s` is the longest time, of some, from the revocation of a key in use by
another process to the first call that is refused.
"""

from __future__ import annotations

import http.client
import os
import random
import re
import secrets
import shutil
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from inferworks.accounts.customer import Customer
from inferworks.accounts.key import PREFIX, Key, fingerprint, mint
from inferworks.accounts.keyring import KeyRing
from inferworks.accounts.pepper import Pepper, load_pepper
from inferworks.accounts.stores.sqlite import FollowedAccounts, SqliteAccounts
from inferworks.api.admission import authenticate
from inferworks.clock import SystemClock
from inferworks.errors import CallError
from inferworks.folder import DataFolder
from inferworks.http.server import RequestHead
from inferworks.ids import CustomerId, KeyId
from inferworks.testing.platform import real_platform
from limit_sections.base import Options, cpu_us

SAMPLE: Final = 60_000
"""Keys that are called with: more than stay warm."""
MEASURED: Final = 5_000
OLD: Final = 1_000
ROUNDS: Final = 9
REVOKED: Final = 5
BATCH: Final = 10_000
_CONFIG: Final = "[engine]\nreplicas = 0\n"
_RSS: Final = re.compile(r"^VmRSS:\s+(\d+) kB", re.MULTILINE)


def measure_keys(options: Options) -> dict[str, float | int]:
    """Return the figures of keys."""
    empty = _platform(options.folder / "empty", [], [])
    folder = DataFolder(options.folder / "full" / "data")
    folder.path.parent.mkdir()
    good, old = filled(folder, options)
    found = {
        "count": options.count,
        "customers": options.customers,
        **_in_process(folder, good, old),
    }
    running = _platform(folder.path.parent, good, good[-REVOKED:])
    return {**found, **running, **{f"empty_{name}": value for name, value in empty.items()}}


def filled(folder: DataFolder, options: Options) -> tuple[list[tuple[KeyId, str]], list[str]]:
    """Fill `folder` with customers and keys; some of them, with their secrets, and some old ones."""
    with tempfile.TemporaryDirectory(dir=_memory()) as quick:
        made = DataFolder(Path(quick) / "data")
        made.create()
        good: list[tuple[KeyId, str]] = []
        with closing(SqliteAccounts(made.accounts)) as accounts:
            # else every key would write four pages: their ids and hashes are random
            accounts._database.execute("PRAGMA cache_size = -2000000")  # noqa: SLF001
            pepper = load_pepper(accounts, made.pepper)
            names = [CustomerId(f"customer-{number}") for number in range(options.customers)]
            for first in range(0, len(names), BATCH):
                with accounts.transaction():
                    for name in names[first : first + BATCH]:
                        accounts.add_customer(Customer(name, 1))
            step = max(1, options.count // SAMPLE)
            for first in range(0, options.count, BATCH):
                batch: list[Key] = []
                for number in range(first, min(first + BATCH, options.count)):
                    key, secret = mint(names[number % len(names)], number, pepper=pepper)
                    batch.append(key)
                    if number % step == 0:
                        good.append((key.id, secret))
                accounts.add_key(*batch)
            old = [PREFIX + secrets.token_urlsafe(32) for _ in range(OLD)]
            for secret in old:
                key = mint(names[0], 1, pepper=pepper)[0]
                accounts.add_key(replace(key, secret_hash=fingerprint(secret)))
        shutil.copytree(made.path, folder.path)
    random.Random(1).shuffle(good)
    return good, old


def _memory() -> Path | None:
    """A file system in memory, where a hundred thousand commits take seconds."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() else None


def _in_process(
    folder: DataFolder, good: list[tuple[KeyId, str]], old: list[str]
) -> dict[str, float]:
    """Return the CPU time of authentication in this process."""
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        pepper = load_pepper(accounts, folder.pepper)
    with (
        closing(FollowedAccounts(folder.accounts)) as followed,
        closing(FollowedAccounts(folder.accounts)) as lookups,
        closing(KeyRing(followed, pepper, lookups=lookups)) as ring,
    ):
        clock = SystemClock()
        took_ns: list[int] = []

        def cold(head: RequestHead) -> None:
            begun_ns = time.perf_counter_ns()
            authenticate(head, ring, clock)
            took_ns.append(time.perf_counter_ns() - begun_ns)

        def known(head: RequestHead) -> None:
            authenticate(head, ring, clock)

        def refused(head: RequestHead) -> None:
            try:
                authenticate(head, ring, clock)
            except CallError:
                return
            raise AssertionError("a wrong key was accepted")

        most = min(MEASURED, len(good) // 2)
        heads = [_head(secret) for _, secret in good[:most]]
        strange = Pepper(secrets.token_urlsafe(32))
        unknown = [_head(mint(CustomerId("x"), 1, pepper=strange)[1]) for _ in range(MEASURED)]
        wrong = [_head(secret[:20] + secrets.token_urlsafe(32)) for _, secret in good[:most]]
        malformed = [_head(secrets.token_urlsafe(48)) for _ in range(MEASURED)]
        cpu_us(known, [_head(secret) for _, secret in good[most : 2 * most]])  # read the file
        figures = {"cold_us": cpu_us(cold, heads)}
        figures["cold_p99_ms"] = sorted(took_ns)[len(took_ns) * 99 // 100] / 1e6
        figures["warm_us"] = min(cpu_us(known, heads) for _ in range(ROUNDS))
        figures["unknown_us"] = cpu_us(refused, unknown)
        figures["wrong_secret_us"] = cpu_us(refused, wrong)
        figures["malformed_us"] = cpu_us(refused, malformed)
        figures["old_us"] = cpu_us(known, [_head(secret) for secret in old])
    return {name: round(value, 2) for name, value in figures.items()}


def _head(secret: str) -> RequestHead:
    fields = {b"host": b"x", b"authorization": b"Bearer " + secret.encode()}
    return RequestHead("POST", "/v1/chat/completions", "", fields, peer="192.0.2.7")


def _platform(
    cwd: Path, good: list[tuple[KeyId, str]], to_revoke: list[tuple[KeyId, str]]
) -> dict[str, float]:
    """Return start and memory of a platform in `cwd` that is called with every good key."""
    cwd.mkdir(exist_ok=True)
    (cwd / "inferworks.toml").write_text(_CONFIG)
    with real_platform(cwd / "data", cwd) as platform:
        begun = time.monotonic()
        origin = platform.start()
        start_s = time.monotonic() - begun
        instance = platform.folder.instance()
        assert instance is not None, "it runs"
        process = Path(f"/proc/{instance.pid}")
        ticks = sum(map(int, (process / "stat").read_text().rpartition(") ")[2].split()[11:13]))
        with closing(http.client.HTTPConnection(origin.host, origin.port)) as connection:
            for _, secret in good:
                assert _status(connection, secret) == 200, "a good key is accepted"
            memory = _RSS.search((process / "status").read_text())
            after_s = 0.0
            with closing(SqliteAccounts(platform.folder.accounts)) as accounts:
                for key_id, secret in to_revoke:
                    accounts.revoke_key(key_id, time.time_ns())
                    revoked = time.monotonic()
                    while _status(connection, secret) == 200:
                        time.sleep(0.005)
                    after_s = max(after_s, time.monotonic() - revoked)
    return {
        "start_s": round(start_s, 2),
        "start_cpu_s": round(ticks / os.sysconf("SC_CLK_TCK"), 2),
        "memory_mb": round(int(memory[1]) * 1024 / 1e6, 1) if memory else 0.0,
        **({"revoked_after_s": round(after_s, 2)} if to_revoke else {}),
    }


def _status(connection: http.client.HTTPConnection, secret: str) -> int:
    """Status of the answer to a request with the key `secret`."""
    connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {secret}"})
    answer = connection.getresponse()
    answer.read()
    return answer.status
