"""Forecasts: workloads, and later the capacity to serve them."""
