"""Callers with their purposes and prices: customers, keys and price plans."""
