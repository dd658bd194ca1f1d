"""Choice of the lake driver by URL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from inferworks.meter.lakes.base import LakeStore
from inferworks.meter.lakes.local import LocalLake
from inferworks.meter.lakes.object import object_lake


def lake_at(url: str) -> LakeStore:
    """The lake at `url`: a path, `file://`, or an object store's URL (`s3://bucket/prefix`).

    ConfigError when it names none, or one that needs a package which is not installed.
    """
    if "://" not in url:
        return LocalLake(Path(url))
    parts = urlsplit(url)
    if parts.scheme == "file":
        return LocalLake(Path(unquote(parts.path)))
    return object_lake(url)
