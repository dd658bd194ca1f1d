"""Hooks of the documentation's site: decisions by their numbers, and links to files outside `docs/`.

In the repository links are relative, so that they work in a clone and in a fork; a site has `docs/` alone.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).resolve().parent.parent
_LINK = re.compile(r"(\]\()(\.\./[^)#\s]+)")


class File(Protocol):
    """The part of MkDocs' File that is used here."""

    @property
    def src_uri(self) -> str:
        """Path below `docs/`, with slashes."""
        ...


class Page(Protocol):
    """The part of MkDocs' Page that is used here."""

    @property
    def file(self) -> File:
        """File that the page is made from."""
        ...


def on_config(config: MutableMapping[str, Any]) -> None:
    """Add the decisions to the end of the navigation."""
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    config["nav"].append({"Decisions": [f"decisions/{page.name}" for page in pages]})


def on_page_markdown(markdown: str, page: Page, config: Mapping[str, str], **_: object) -> str:
    """Return the text of a page with its links out of `docs/` made absolute."""
    return outward(markdown, page.file.src_uri, config["repo_url"])


def outward(markdown: str, page: str, repository: str) -> str:
    """Return `markdown`, of the file `page` below `docs/`, with links out of `docs/` to `repository`."""
    folder = posixpath.join("docs", posixpath.dirname(page))

    def to(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[2]))
        if target.startswith("docs/"):
            return link[0]
        kind = "tree" if (ROOT / target).is_dir() else "blob"
        return f"{link[1]}{repository.rstrip('/')}/{kind}/main/{target}"

    return _LINK.sub(to, markdown)
