"""nginx: as the mock upstream of whole answers, and as `proxy_pass`, the practical limit.

One process does the work of each (`master_process off`), as with every other gateway here.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from gateways.base import Peer, Place, Started, apt_install
from gateways.calls import ANSWER, Target

_FRAME = """
daemon off;
master_process off;
pid {scratch}/{name}.pid;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_buffer_size 1m;
  client_body_temp_path {scratch}/{name}-body;
  proxy_temp_path {scratch}/{name}-proxy;
  fastcgi_temp_path {scratch}/{name}-fastcgi;
  uwsgi_temp_path {scratch}/{name}-uwsgi;
  scgi_temp_path {scratch}/{name}-scgi;
{http}
}}
"""
_MOCK = """
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    default_type application/json;
    location / {{ return 200 '{answer}'; }}
  }}
"""
_PROXY = """
  upstream model {{ server 127.0.0.1:{upstream}; keepalive 256; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://model;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
"""


def is_there() -> bool:
    """Return whether nginx is installed."""
    return shutil.which("nginx") is not None


def mock_command(port: int, scratch: Path) -> list[str]:
    """Return the command that starts nginx as the mock upstream on `port`."""
    return _command("mock", _MOCK.format(port=port, answer=ANSWER), scratch)


def _command(name: str, http: str, scratch: Path) -> list[str]:
    path = scratch / f"nginx-{name}.conf"
    path.write_text(_FRAME.format(name=name, scratch=scratch, http=http), encoding="utf-8")
    return ["nginx", "-e", "stderr", "-c", str(path)]


def _start(place: Place) -> Started:
    http = _PROXY.format(port=place.port, upstream=place.upstream)
    return Started(_command("proxy", http, place.scratch), Target(place.port))


def _version(_home: Path) -> str | None:
    if not is_there():
        return None
    said = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr
    return re.sub(r".*nginx/(\S+).*\s*", r"\1", said)


PEER = Peer("nginx", _version, lambda _home: apt_install("nginx-light"), _start)

MOCK = Peer("mock", _version, PEER.install, None)
"""The mock upstreams with no gateway before them: the most that can be measured here."""
