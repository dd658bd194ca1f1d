"""Inferworks: an inference ecosystem as one program that knows what every answer cost.

For programs that are metered from outside: `with inferworks.metered(purpose=..., node=...)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inferworks.metering import metered

__all__ = ["__version__", "metered"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`metered`, loaded when it is first asked for: importing the package stays instant."""
    if name == "metered":
        from inferworks.metering import metered

        return metered
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
