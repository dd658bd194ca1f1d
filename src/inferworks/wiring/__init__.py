"""The composition root: a Config becomes running parts. The only package that names concrete drivers.

platform    the start and the stop, in order
storage     the journal, and the archiving of old rows
replicas    our own replicas, and their provider
observing   metrics, traces and transcripts of a running platform
planner     a configuration -> its plan on this machine
check       all that a start or the books would refuse
plan        upstreams and models -> offers and policies, checked, before anything is opened
upstreams   one `[[upstream]]` table -> an account: address, secret, time limits
identity    our identity at a cloud
rates       list prices, for routes that compare by cost
drivers     an account -> the provider that speaks to it; `clouds` for those of the clouds
model_catalog  the plan and our own replicas -> the offers of a model now
service     the plan in force, and its replacement by the next
reload      a changed file -> the next plan
discover    engines on this machine's usual ports
probe       whether an upstream answers with its key
backup      a copy of a data folder in use; `restore` makes a folder of it again
books       the stores and rules of the books; `billing` for how the names on bills are read
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inferworks.wiring.planner import Planner
    from inferworks.wiring.platform import Platform, open_platform
    from inferworks.wiring.reload import ConfigSource

__all__ = ["ConfigSource", "Planner", "Platform", "open_platform"]

_PLACES = {
    "ConfigSource": "reload",
    "Planner": "planner",
    "Platform": "platform",
    "open_platform": "platform",
}


def __getattr__(name: str) -> Any:
    """Load a name on first use, so that opening the books does not load the gateway."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
