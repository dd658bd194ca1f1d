"""The composition root: a Config becomes running parts. The only room that names concrete drivers.

platform    the start and the stop, in order
storage     the journal, and the sealing of old rows
replicas    our own replicas, and what speaks to them
observing   metrics, traces and transcripts of what runs
planner     a configuration -> its plan on this machine
plan        upstreams and models -> offers and policies, checked, before anything is opened
upstreams   one `[[upstream]]` table -> an account: address, secret, time limits
identity    who we are to a cloud
rates       list prices, for routes that compare by cost
drivers     an account -> the provider that speaks to it; `clouds` for those of the clouds
catalogue   the plan and our own replicas -> who offers a model now
service     the plan in force, and how the next one takes its place
reload      a changed file -> the next plan
discover    engines on this machine's usual ports
probe       whether an upstream answers with its key
"""

from inferworks.wiring.planner import Planner
from inferworks.wiring.platform import Platform, open_platform
from inferworks.wiring.reload import ConfigSource

__all__ = ["ConfigSource", "Planner", "Platform", "open_platform"]
