"""Discovery of engines on this machine: `GET /v1/models` on the usual ports of the catalogue's engines.

Loopback only, and with short time limits: looking must be harmless and quick wherever it is done. Several
engines share a port (8000, 8080); their descriptions of models tell them apart, else the first engine of
the catalogue with that port is assumed, which speaks the same dialect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import closing

import msgspec

from inferworks.catalog.providers import ProviderRow
from inferworks.config import Upstream
from inferworks.dialects.openai_models import ListedModel, ListedModels
from inferworks.errors import UpstreamError
from inferworks.http.client import HttpClient, Origin, Timeouts

_LOOPBACK = "127.0.0.1"
_THIS_MACHINE = frozenset({_LOOPBACK, "localhost", "::1", "0.0.0.0"})  # noqa: S104 as it is written
_TIMEOUTS = Timeouts(connect_s=0.3, first_byte_s=1.0, between_bytes_s=1.0)
_LARGEST_BYTES = 4 << 20
_OWNERS = {
    "vllm": "vllm", "sglang": "sglang", "llamacpp": "llama-cpp", "library": "ollama",
    "organization_owner": "lm-studio",
}  # fmt: skip
"""Value of `owned_by` in an engine's models -> its row."""


class Found(msgspec.Struct, frozen=True):
    """An engine that answered."""

    provider: str
    """The id of its row."""
    url: str
    models: tuple[str, ...]

    @property
    def upstream(self) -> Upstream:
        """Entry for `inferworks.toml` that serves the engine."""
        name = f"{self.provider}-{Origin.parse(self.url).port}"
        return Upstream(name=name, provider=self.provider, url=self.url, models=self.models)


async def discover(rows: Iterable[ProviderRow], *, skip: Iterable[int] = ()) -> Sequence[Found]:
    """The engines that answer now, by port; `skip` are ports not to ask, our own for instance."""
    ports = frozenset(skip)
    places: dict[Origin, list[ProviderRow]] = {}  # each with the rows that might be there
    for row in rows:
        for port in row.ports:
            if port not in ports:
                origin = Origin(_LOOPBACK, port, False, Origin.parse(row.url).base_path)
                places.setdefault(origin, []).append(row)
    ordered = sorted(places, key=lambda origin: (origin.port, origin.base_path))
    with closing(HttpClient(_TIMEOUTS)) as client:
        found = await asyncio.gather(*(_ask(client, one, places[one]) for one in ordered))
    return [engine for engine in found if engine is not None]


def unknown_to(configured: Iterable[Upstream], found: Iterable[Found]) -> list[Upstream]:
    """Return the found engines that are no upstream yet, by port."""
    places = [Origin.parse(upstream.url) for upstream in configured if upstream.url]
    known = {place.port for place in places if place.host in _THIS_MACHINE}
    return [engine.upstream for engine in found if Origin.parse(engine.url).port not in known]


async def models_at(
    client: HttpClient, origin: Origin, headers: Sequence[tuple[bytes, bytes]] = ()
) -> tuple[ListedModel, ...]:
    """The models that `origin` lists; UpstreamError when it lists none."""
    async with client.stream("GET", origin, "/models", headers) as response:
        body = await response.read(_TIMEOUTS.between_bytes_s, _LARGEST_BYTES)
        if response.status >= 300:
            raise UpstreamError(
                f"GET /models was answered with status {response.status}", sent=True
            )
    try:
        return msgspec.json.decode(body, type=ListedModels).data
    except msgspec.DecodeError as error:
        raise UpstreamError(f"its list of models cannot be read: {error}", sent=True) from error


async def _ask(client: HttpClient, origin: Origin, rows: Sequence[ProviderRow]) -> Found | None:
    try:
        models = await models_at(client, origin)
    except UpstreamError:
        return None  # nobody is there, or somebody else
    if not models:
        return None
    told = {_OWNERS.get(model.owned_by) for model in models}
    row = next((row for row in rows if row.id in told), rows[0])
    return Found(row.id, origin.url, tuple(dict.fromkeys(model.id for model in models)))
