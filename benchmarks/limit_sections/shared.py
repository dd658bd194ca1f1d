"""Shared accounts: keys given to PostgreSQL and loaded from it, and how soon a change is known elsewhere.

`share_s` is what a gateway that has the keys takes to share them, and `load_s` one that has none to load
them; `_peak_mb` is the most memory of that process, and `empty_peak_mb` of one that does neither. `look_ms`
is a look at which nothing had changed, by the wall, and `change_ms` a new key; `known_after_s` and
`revoked_after_s` are the longest times, of `TRIES`, from the creation or revocation of a key on one gateway
to the first call on another that is accepted or refused.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from contextlib import closing
from typing import Final

from inferworks.accounts.key import mint
from inferworks.accounts.pepper import load_pepper
from inferworks.config import Config, Data, Store
from inferworks.folder import DataFolder
from inferworks.ids import CustomerId
from inferworks.testing.platform import real_platform
from inferworks.wiring.accounts import open_accounts
from limit_sections.base import Options
from limit_sections.cluster import postgres
from limit_sections.keys import filled

TRIES: Final = 20
_LOOKS: Final = 200
_CONFIG: Final = (
    '[engine]\nreplicas = 0\n[store]\nurl = "{url}"\n[gateway]\nkey_pepper = "file:{pepper}"\n'
)
_OPEN: Final = r"""
import json, re, sys, time
from inferworks.config import Config, Data, Store
from inferworks.wiring.accounts import open_accounts
begun = time.monotonic()
if sys.argv[2]:
    open_accounts(Config(data=Data(folder=sys.argv[1]), store=Store(url=sys.argv[2]))).close()
peak = re.search(r"VmHWM:\s+(\d+) kB", open("/proc/self/status").read())
print(json.dumps([time.monotonic() - begun, int(peak[1]) * 1024 / 1e6]))
"""


def measure_shared(options: Options) -> dict[str, float | int]:
    """Return the figures of shared accounts."""
    with postgres() as server:
        return _measured(options, server.url)


def _measured(options: Options, url: str) -> dict[str, float | int]:
    full, fresh = (DataFolder(options.folder / name / "data") for name in ("full", "fresh"))
    full.path.parent.mkdir()
    filled(full, options)
    fresh.path.mkdir(parents=True, mode=0o700)
    _, empty_mb = _opened(fresh, "")
    share_s, share_mb = _opened(full, url)
    load_s, load_mb = _opened(fresh, url)
    return {
        "count": options.count,
        "share_s": round(share_s, 1),
        "share_peak_mb": round(share_mb, 1),
        "load_s": round(load_s, 1),
        "load_peak_mb": round(load_mb, 1),
        "empty_peak_mb": round(empty_mb, 1),
        "file_mb": round(fresh.accounts.stat().st_size / 1e6, 1),
        **_looks(fresh, url),
        **_changes(full, fresh, url),
    }


def _opened(folder: DataFolder, url: str) -> tuple[float, float]:
    """Return the time and the most memory of a process that opens the accounts, and so joins the others."""
    command = [sys.executable, "-c", _OPEN, str(folder.path), url]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    took_s, peak_mb = json.loads(done.stdout)
    return took_s, peak_mb


def _configured(folder: DataFolder, url: str) -> Config:
    return Config(data=Data(folder=str(folder.path)), store=Store(url=url))


def _looks(folder: DataFolder, url: str) -> dict[str, float]:
    """Return the wall time of looks, and of changes, in milliseconds."""
    with closing(open_accounts(_configured(folder, url))) as accounts:
        begun = time.monotonic()
        for _ in range(_LOOKS):
            accounts.sync()
        look_s = (time.monotonic() - begun) / _LOOKS
    return {"look_ms": round(look_s * 1000, 2)}


def _changes(full: DataFolder, fresh: DataFolder, url: str) -> dict[str, float]:
    """Return how soon another gateway knows of a change."""
    text = _CONFIG.format(url=url, pepper=full.pepper)
    (fresh.path.parent / "inferworks.toml").write_text(text)
    known_s, revoked_s, change_s = [], [], []
    with (
        real_platform(fresh.path, fresh.path.parent) as platform,
        closing(open_accounts(_configured(full, url))) as accounts,
    ):
        origin = platform.start()
        pepper = load_pepper(accounts, full.pepper)
        with closing(http.client.HTTPConnection(origin.host, origin.port)) as connection:
            for number in range(TRIES):
                key, secret = mint(CustomerId("customer-0"), number, pepper=pepper)
                begun = time.monotonic()
                accounts.add_key(key)
                change_s.append(time.monotonic() - begun)
                known_s.append(_until(connection, secret, 200))
                accounts.revoke_key(key.id, time.time_ns())
                revoked_s.append(_until(connection, secret, 401))
    return {
        "change_ms": round(sum(change_s) / TRIES * 1000, 1),
        "known_after_s": round(max(known_s), 2),
        "revoked_after_s": round(max(revoked_s), 2),
    }


def _until(connection: http.client.HTTPConnection, secret: str, wanted: int) -> float:
    """Return how long it takes until a call is answered so."""
    begun = time.monotonic()
    while True:
        connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {secret}"})
        answer = connection.getresponse()
        answer.read()
        if answer.status == wanted:
            return time.monotonic() - begun
        time.sleep(0.005)
