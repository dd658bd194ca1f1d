"""Arrow and Parquet, loaded when they are first used: until then all runs without the extra `parquet`.

    from inferworks.arrow import compute, pa, pq

Arrow takes 150 MB of a disk and a fifth of a second to load. A gateway that archives nothing needs neither.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from inferworks.extras import required
from inferworks.on_demand import OnDemand

__all__ = ["compute", "pa", "pq"]

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as compute
    import pyarrow.parquet as pq
else:
    _load = partial(required, extra="parquet", user="Parquet")
    pa, compute, pq = (
        OnDemand(name, _load) for name in ("pyarrow", "pyarrow.compute", "pyarrow.parquet")
    )
