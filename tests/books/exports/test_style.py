"""The style of the report: contrast in light, dark and on paper."""

from __future__ import annotations

import re

from inferworks.books.exports.style import STYLE


def _luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_can_be_read() -> None:
    """Text has a contrast of 4.5 to 1 on its ground, in light and in dark (WCAG AA)."""
    pairs = [("ink", "ground"), ("quiet", "ground"), ("quiet", "sheet"), ("accent", "ground"),
             ("gain", "ground"), ("loss", "ground"), ("warn-ink", "warn-ground")]  # fmt: skip
    themes = re.findall(r":root \{([^}]*)\}", STYLE)[:2]
    assert len(themes) == 2
    for theme in themes:
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", theme))
        for text, ground in pairs:
            light, dark = sorted((_luminance(colours[text]), _luminance(colours[ground])))[::-1]
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)
