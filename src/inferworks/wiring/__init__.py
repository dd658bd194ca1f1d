"""The composition root: a Config becomes running parts. The only room that names concrete drivers.

platform    the start and the stop, in order
upstreams   one `[[upstream]]` table -> an account: address, secret, time limits
drivers     an account -> the provider that speaks to it
plan        upstreams and models -> offers and policies, checked, before anything is opened
catalogue   the plan and our own replicas -> who offers a model now
service     the plan in force, and how the next one takes its place
reload      a changed file -> the next plan
discover    engines on this machine's usual ports
"""

from inferworks.wiring.planner import Planner
from inferworks.wiring.platform import Platform, open_platform
from inferworks.wiring.reload import ConfigSource

__all__ = ["ConfigSource", "Planner", "Platform", "open_platform"]
