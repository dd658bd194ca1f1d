"""The documentation's site: pages are in its navigation, and links lead to headings that are there."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
PAGES = sorted(DOCS.rglob("*.md"))
HOOK = runpy.run_path(str(ROOT / SITE["hooks"][0]))


def pages_of(nav: Any) -> Iterator[str]:
    """Yield the pages of a navigation, in order."""
    if isinstance(nav, str):
        yield nav
    else:
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from pages_of(part)


def headings(page: Path) -> set[str]:
    """The anchors of a page: its headings as GitHub names them, and those that it sets itself."""
    prose = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    shown = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in titles)
    named = {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in shown}
    return named | set(re.findall(r'<a (?:id|name)="([^"]+)"', prose))


def test_every_page_is_in_the_navigation() -> None:
    """Each once, and none that is not there."""
    config = {"nav": [*SITE["nav"]]}
    HOOK["on_config"](config)
    listed = list(pages_of(config["nav"]))
    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_links_lead_to_headings(page: Path) -> None:
    """A link with an anchor, within a page or to another, names a heading of it."""
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", page.read_text("utf-8")):
        if not target.startswith("https://"):
            to = page.parent / target if target else page
            assert anchor in headings(to), f"{target}#{anchor}"


def test_nothing_is_loaded_from_elsewhere() -> None:
    """The site asks no other host for fonts or scripts."""
    assert SITE["theme"]["font"] is False
    assert not {"extra_css", "extra_javascript"} & SITE.keys()


def test_links_out_of_the_documents_go_to_the_repository() -> None:
    """Files and folders by their own kind of address; links among pages stay as they are."""
    text = "[a](../src) [b](../../Makefile) [c](../books.md#x) [d](https://a.example/../b)"
    shown = HOOK["outward"](text, "decisions/0001-house.md", "https://h.example/r/")
    assert shown == (
        "[a](../src) [b](https://h.example/r/blob/main/Makefile) [c](../books.md#x) "
        "[d](https://a.example/../b)"
    )
    assert HOOK["outward"]("[a](../src)", "books.md", "https://h.example/r") == (
        "[a](https://h.example/r/tree/main/src)"
    )
