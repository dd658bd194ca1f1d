"""Upstreams that misbehave on request, one per dialect, over real HTTP."""
