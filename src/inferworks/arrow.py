"""Arrow and Parquet, loaded when they are first used: until then all runs without the extra `parquet`.

    from inferworks.arrow import compute, pa, pq

Arrow takes 150 MB of a disk and a fifth of a second to load. A gateway that archives nothing needs neither.
`load` loads all of it now, for a process that must not wait for it later.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

from inferworks.extras import required

__all__ = ["compute", "load", "pa", "pq"]

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as compute
    import pyarrow.parquet as pq
else:

    class _OnDemand(ModuleType):
        """A module that is imported when the first of its names is asked for."""

        def __getattr__(self, name: str) -> Any:
            module = required(self.__name__, "parquet", "Parquet")
            self.__dict__.update(vars(module))  # from now on as quick as the module itself
            return getattr(module, name)

    pa, compute, pq = map(_OnDemand, ("pyarrow", "pyarrow.compute", "pyarrow.parquet"))


def load() -> None:
    """Load Arrow, its functions and Parquet. ExtraError when they are not installed."""
    for module in (pa, compute, pq):
        required(module.__name__, "parquet", "Parquet")
