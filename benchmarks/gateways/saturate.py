"""Load as heavy as a gateway can take: 32 connections, each of which asks again when it is answered.

`wrk` does it where it is installed, since it costs the machine a third of what our own generator does;
our own stands in where it is not.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import uvloop

from gateways.calls import CONTENT, Target, is_whole
from gateways.client import Connection, open_connection, quantile

CONNECTIONS = 32
_SCRIPT = """
wrk.method = "POST"
wrk.body = [==[{body}]==]
{headers}
local content = [==[{content}]==]
local main = nil
bad = 0
function setup(thread)
  main = thread
end
function response(status, headers, body)
  if status ~= 200 or not string.find(body, content, 1, true) or string.sub(body, -1) ~= "}}" then
    bad = bad + 1
  end
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '{{"answers":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"bad":%d,"lost":%d}}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    main:get("bad"), e.connect + e.read + e.write + e.timeout))
end
"""
"""Script for wrk: the call, and a check of every answer."""


@dataclass(frozen=True)
class Saturation:
    """Result of a saturating load."""

    calls: int
    """Answered whole."""
    duration_s: float
    p50_ms: float
    p99_ms: float
    failed: int
    """Calls that were refused, answered with something else, broken off, or not answered."""


def saturate(
    target: Target, prompt: str, seconds: float, scratch: Path, connections: int = CONNECTIONS
) -> Saturation:
    """Call `target` for `seconds` over so many connections."""
    if shutil.which("wrk"):
        return _wrk(target, prompt, seconds, scratch, connections)
    return uvloop.run(_own(target, prompt, seconds, connections))


def _wrk(
    target: Target, prompt: str, seconds: float, scratch: Path, connections: int
) -> Saturation:
    script = scratch / "calls.lua"
    fields = (field for field in target.fields() if field[0] != "host")  # wrk sends one itself
    headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in fields)
    text = _SCRIPT.format(body=target.body(prompt), headers=headers, content=CONTENT)
    script.write_text(text, encoding="utf-8")
    options = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"]
    command = ["wrk", *options, "-s", str(script), target.url]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return read_wrk(result.stdout)


def read_wrk(text: str) -> Saturation:
    """Parse wrk's output, with the line of our script at its end."""
    told = json.loads(text.strip().splitlines()[-1])
    return Saturation(
        calls=told["answers"] - told["bad"],
        duration_s=told["duration_us"] / 1e6,
        p50_ms=told["p50_us"] / 1000,
        p99_ms=told["p99_us"] / 1000,
        failed=told["bad"] + told["lost"],
    )


async def _own(target: Target, prompt: str, seconds: float, connections: int) -> Saturation:
    request = target.request(prompt)
    begin = time.perf_counter()
    ends = [await open_connection(target) for _ in range(connections)]
    loops = (_asking(end, request, begin + seconds) for end in ends)
    times = [one for each in await asyncio.gather(*loops) for one in each]
    for end in ends:
        end.close()
    whole = sorted(ms for ms, is_good in times if is_good)
    return Saturation(
        calls=len(whole),
        duration_s=time.perf_counter() - begin,
        p50_ms=quantile(whole, 0.5),
        p99_ms=quantile(whole, 0.99),
        failed=len(times) - len(whole),
    )


async def _asking(end: Connection, request: bytes, until: float) -> list[tuple[float, bool]]:
    """One connection's calls: milliseconds, and whether the answer was whole."""
    times = []
    while time.perf_counter() < until:
        answer = await end.ask(request)
        times.append((answer.took_ms, is_whole(answer.status, answer.body)))
    return times
