"""Address of an upstream."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import msgspec

from inferworks.errors import ConfigError

_HOST = re.compile(r"[a-z0-9._:%-]+")


class Origin(msgspec.Struct, frozen=True, cache_hash=True):
    """Host, port and base path of an upstream's API."""

    host: str
    port: int
    tls: bool
    base_path: str

    @classmethod
    def parse(cls, url: str) -> Origin:
        """The origin of an address such as `http://127.0.0.1:8000/v1`; ConfigError when it is none."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError(f"not an http or https address: {url!r} ({error})") from error
        if parts.scheme not in {"http", "https"} or not host or not _HOST.fullmatch(host):
            raise ConfigError(f"not an http or https address: {url!r}")
        if parts.username is not None or parts.query or parts.fragment:
            raise ConfigError(f"the address of {host} may have no user, query or fragment")
        tls = parts.scheme == "https"
        return cls(host, port or (443 if tls else 80), tls, parts.path.rstrip("/"))

    @property
    def url(self) -> str:
        """The address it was parsed from, without a slash at its end."""
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.base_path}"

    @property
    def authority(self) -> str:
        """Host and port as the `host` header wants them: without the port that its scheme implies."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"
