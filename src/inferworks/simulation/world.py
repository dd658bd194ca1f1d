"""One run: a gateway, its clients and upstreams, and all faults, decided by one seed.

A run is a few *lives* of a gateway on one data folder. In each, clients call while the world acts on them:
upstreams turn bad and good again, the configuration changes, keys are revoked, the wall clock steps, the
disk fails for a while. A life ends with a clean stop, SIGKILL or a loss of power. The last life has no
faults; then every promise is checked (`promises`).
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from inferworks.accounts.customer import Customer
from inferworks.accounts.key import mint
from inferworks.accounts.pepper import load_pepper
from inferworks.accounts.plan import PricePlan
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.errors import InferworksError
from inferworks.ids import CustomerId, KeyId
from inferworks.meter.archive.reader import LakeReader
from inferworks.meter.lakes.local import LocalLake
from inferworks.meter.reader import JournalReader
from inferworks.meter.record import Quarantined
from inferworks.meter.usage import Opened, Usage
from inferworks.simulation import clients
from inferworks.simulation.clients import PATIENCE_S, Call, Clients
from inferworks.simulation.database import DiskVfs
from inferworks.simulation.disk import Disk
from inferworks.simulation.gateway import HOST, PORT, Gateway
from inferworks.simulation.network import Network
from inferworks.simulation.turns import Turns
from inferworks.simulation.upstreams import Asked, Upstream

CUSTOMERS: Final = ("acme", "globex", "mallory")
"""The last one means harm."""
PRICES_PICO: Final = {"acme": (250_000, 1_000_000), "globex": (1, 3), "mallory": (7_000_000, 0)}
"""Price of an input and of an output token by customer, in picounits."""
MODELS: Final = ("small", "large")
START_NS: Final = 1_790_000_000 * 10**9
_DISK_FAULTS: Final = ("no space", "write", "sync", "read only", "descriptors")
_LONGEST_STOP_S: Final = 120.0
_END_OF_TIME_NS: Final = 1 << 62


@dataclass
class World:
    """State of a run, with the memories of all its parts."""

    seed: int
    turns: Turns
    network: Network
    disk: Disk
    random: Random
    config: Path
    upstreams: list[Upstream] = field(default_factory=list)
    secrets: dict[str, list[tuple[KeyId, str]]] = field(default_factory=dict)
    """The keys of each customer."""
    revoked: dict[str, int] = field(default_factory=dict)
    """Moment each revoked key was revoked."""
    power_losses: list[tuple[int, int]] = field(default_factory=list)
    """Since when records could not be made durable, and when the power was lost."""
    usages: list[Usage] = field(default_factory=list)
    """Usages in the journal in the end."""
    unclosed: list[Opened] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    logged: list[tuple[int, str]] = field(default_factory=list)
    """Errors logged by the gateway, each with its time."""
    disk_troubles: list[tuple[int, int]] = field(default_factory=list)
    """Starts and ends of the disk's failures."""
    broken: list[str] = field(default_factory=list)
    """Promises that were seen to be broken on the way."""
    disk_failed_ns: int | None = None
    """First failure of the disk in this life."""

    def __post_init__(self) -> None:
        self.gateway = Gateway(self.turns, self.network, self.disk, self.config)
        self.clients = Clients(self.turns, self.random)
        self._mounted = DiskVfs(self.disk)
        self._clients: list[asyncio.Task[None]] = []
        self.seals = self.random.random() < 0.12
        """True if old rows are archived into the lake while calls run."""

    def asked(self) -> dict[str, list[Asked]]:
        """The requests that reached upstreams, by call."""
        found: dict[str, list[Asked]] = {}
        for upstream in self.upstreams:
            for label, asked in upstream.asked.items():
                found.setdefault(label, []).extend(asked)
        return found

    async def live(self) -> None:
        """All lives of the gateway."""
        for n in (1, 2, 3):
            upstream = Upstream(f"up{n}", self.turns, self.network, Random(f"up{n} {self.seed}"))  # noqa: S311
            self.upstreams.append(upstream)
            await upstream.start()
        self._configure()
        # customers, their prices and their keys, made before the gateway's first start
        self.gateway.folder.create()
        accounts = SqliteAccounts(self.gateway.folder.accounts)
        for name in CUSTOMERS:
            customer = CustomerId(name)
            plan = PricePlan.per_token(customer, START_NS - 10**18, "USD", *PRICES_PICO[name])
            accounts.add_customer(Customer(customer, START_NS), plan)
            self._make_key(accounts, name)
        accounts.close()
        for _ in range(self.random.randint(1, 3)):
            await self._one_life()
        await self._last_life()
        for upstream in self.upstreams:
            await upstream.stop()

    async def _one_life(self) -> None:
        """Run one life: a start, calls, faults, and an end that waits for the calls or does not."""
        random = self.random
        self.disk_failed_ns = None
        troubles = len(self.disk_troubles)
        if not await self._started():
            return
        world = asyncio.create_task(self._act())
        clients = [asyncio.create_task(self._client(n)) for n in range(random.randint(1, 6))]
        self._clients += clients
        await asyncio.wait(clients, timeout=random.choice((0.02, 0.6, 3.0, 6.0, None, None)))
        world.cancel()
        await asyncio.wait({world})
        if len(self.disk_troubles) > troubles and self.gateway.runs and random.random() < 0.7:
            self.disk.faults.clear()
            await self._answers_soon()
        if self.gateway.runs:
            match random.choice(("stop", "kill", "kill", "power")):
                case "stop":
                    self.disk.faults.clear()
                    await self._stop()
                case "kill":
                    self.gateway.kill()
                case "power":
                    now_ns = self.turns.now_ns
                    self.power_losses.append((self.disk_failed_ns or now_ns, now_ns))
                    self.gateway.lose_power()
        self.disk.faults.clear()

    async def _last_life(self) -> None:
        """All is well again: the gateway starts, answers, and stops leaving nothing."""
        for upstream in self.upstreams:
            upstream.badness = 0.0
        self.disk_failed_ns = None
        if not await self._started():
            self.broken.append(f"starts again: {self.gateway.error!r}")
            return
        await self._answers_soon()
        await asyncio.gather(*self._clients)
        await self._stop()
        self._read()

    async def _started(self) -> bool:
        """True when the gateway has started; on a disk that fails it may say no, in one line."""
        if await self.gateway.start():
            return True
        error = self.gateway.error
        if not isinstance(error, InferworksError) and not self.disk.faults:
            self.broken.append(f"ends in one line: {error!r}")
        self.disk.faults.clear()
        return False

    async def _answers_soon(self) -> None:
        """Liveness: a client that tries again and again is answered within a minute."""
        until_ns = self.turns.now_ns + 60 * 10**9
        while self.turns.now_ns < until_ns:
            call = self.clients.new_call("acme", stream=False)
            secret = self.secrets["acme"][0][1]
            wire = await clients.connected()
            if wire is not None:
                wire.transport.write(self.clients.request(call, secret, "small"))
                call.sent = True
                await self.clients._read(wire, call, PATIENCE_S)  # noqa: SLF001
                wire.transport.abort()
                if call.whole and call.status == 200:
                    self._delivered(call)
                    return
            await asyncio.sleep(1.0)
        self.broken.append(
            "service resumes: no call was answered within a minute of all being well"
        )

    async def _client(self, number: int) -> None:
        random = self.random
        for _ in range(random.randint(1, 5)):
            await asyncio.sleep(random.choice((0.0, 0.01, 0.5, 2.0)))
            customer = random.choice(CUSTOMERS) if number else "mallory"
            _, secret = random.choice(self.secrets[customer])
            model = random.choice(MODELS)
            if customer == "mallory" and random.random() < 0.7:
                await self.clients.harm(secret, model)
            elif random.random() < 0.15:
                await self.clients.pipeline(customer, secret, model)
            else:
                self._delivered(await self.clients.ask(customer, secret, model))

    def _delivered(self, call: Call) -> None:
        """Check that the record of a whole answer is on the disk by now."""
        if self.seals or not (call.whole and call.call_id and call.status == 200):
            return  # what was sealed is not looked for here, but in the end
        kept = (self.disk.kept_for_good(f"data/journal.db{tail}") for tail in ("-wal", ""))
        if not any(call.call_id.encode() in (content or b"") for content in kept):
            self.broken.append(f"no answer without its record: {call.label} {call.call_id}")

    async def _act(self) -> None:
        """Let things befall a life, now and then."""
        random = self.random
        while True:
            await asyncio.sleep(random.choice((0.05, 0.5, 2.0, 6.0)))
            match random.randrange(9):
                case 0 | 1:
                    random.choice(self.upstreams).badness = random.choice((0.0, 0.3, 0.9))
                case 2:
                    self._configure()
                    if self.gateway.platform is not None and random.random() < 0.5:
                        self.gateway.platform.reload()
                case 3:
                    self._revoke()
                case 4:
                    step_s = random.choice((-7200, -1, 1, 3600))
                    self.turns.note(f"the wall clock steps by {step_s} s")
                    self.turns.wall_ns += step_s * 10**9
                case 5 | 6:
                    fault = self.random.choice(_DISK_FAULTS)
                    began_ns = self.turns.now_ns
                    self.disk_troubles.append((began_ns, began_ns + 60 * 10**9))
                    self.disk.faults[fault] = self.random.choice((0.02, 0.3, 1.0))
                    self.disk_failed_ns = self.disk_failed_ns or self.turns.now_ns
                    self.turns.note(f"the disk begins to fail: {fault}")
                    await asyncio.sleep(self.random.choice((0.05, 1.0, 5.0)))
                    self.disk.faults.clear()
                    self.turns.note("the disk is well again")
                case _:
                    pass

    def _revoke(self) -> None:
        """Another process takes back a key, and makes another."""
        customer = self.random.choice(CUSTOMERS)
        key_id, _ = self.secrets[customer][0]
        faults, self.disk.faults = self.disk.faults, {}
        accounts = SqliteAccounts(self.gateway.folder.accounts)
        try:
            accounts.revoke_key(key_id, self.turns.now_ns)
            self.revoked[key_id] = self.turns.now_ns
            self._make_key(accounts, customer)
            del self.secrets[customer][0]
        finally:
            accounts.close()
            self.disk.faults = faults

    def _make_key(self, accounts: SqliteAccounts, customer: str) -> None:
        pepper = load_pepper(accounts, self.gateway.folder.pepper)
        key, secret = mint(CustomerId(customer), self.turns.now_ns, pepper=pepper)
        accounts.add_key(key)
        self.secrets.setdefault(customer, []).append((key.id, secret))

    def _configure(self) -> None:
        """Write the configuration file, each time a little different."""
        random = self.random
        lines = [
            f'[data]\nfolder = "{self.gateway.folder.path}"',
            f'[gateway]\nhost = "{HOST}"\nport = {PORT}\ndrain_s = 5.0\nrequest_timeout_s = 10.0',
            "[engine]\nreplicas = 0",
            "[lake]\nseal_s = 1.5\nseal_after_s = 0.5\nleast_rows = 1"
            if self.seals
            else "[lake]\nseal_s = 0.0",
            "[leave]\ndrain_s = 5.0",
        ]
        for upstream, models in zip(self.upstreams, (MODELS[:1], MODELS, MODELS[1:]), strict=True):
            names = ", ".join(f'"{model}"' for model in models)
            lines.append(
                f'[[upstream]]\nname = "{upstream.name}"\nurl = "http://{upstream.host}/v1"\n'
                f'models = [{names}]\ninput_price = "0.1"\noutput_price = "0.4"\n'
                f"connect_s = 2.0\nfirst_byte_s = 4.0\nbetween_bytes_s = 4.0\n"
                f'on_leave = "{random.choice(("cancel", "drain", "estimate"))}"'
            )
        strategy = random.choice(("fallback", "least_loaded", "weighted", "fastest"))
        hedge_ms = random.choice((0, 0, 300))
        lines += [
            f'[[model]]\nname = "{model}"\nstrategy = "{strategy}"\nattempts = 3\n'
            f"hedge_after_ms = {hedge_ms}\nhedge_share = 1.0"
            for model in MODELS
        ]
        written = self.config.with_suffix(".new")
        written.write_text("\n".join(lines) + "\n", encoding="utf-8")
        os.utime(written, ns=(self.turns.now_ns, self.turns.now_ns))
        written.replace(self.config)

    async def _stop(self) -> None:
        """SIGTERM, now and then just as the configuration changes."""
        if self.gateway.platform is not None and self.random.random() < 0.4:
            self._configure()
            self.gateway.platform.reload()
            await asyncio.sleep(self.random.choice((0.0, 0.0001, 0.001)))
        if not await self.gateway.stop(_LONGEST_STOP_S):
            self.broken.append("a stop ends: it does not")
            self.gateway.kill()
            return
        if self.gateway.error is not None and self.disk_failed_ns is None:
            self.broken.append(f"a stop is clean: {self.gateway.error!r}")
        self.broken += [f"nothing is left: {what}" for what in self.gateway.left]

    def _read(self) -> None:
        """The books' view, when all is over."""
        with JournalReader(self.gateway.folder.journal) as reads:
            self.usages = list(reads.usages(0, _END_OF_TIME_NS))
            self.unclosed = list(reads.opened_unclosed())
            self.quarantined = list(reads.quarantined())
        if self.seals:
            reader = LakeReader(LocalLake(self.gateway.folder.lake), self.gateway.folder.journal)
            self.usages = list(reader.facts(0, _END_OF_TIME_NS).usages)
