"""The parts of `benchmarks/gateway.py`: the mock upstreams, the load, and one file per gateway."""
