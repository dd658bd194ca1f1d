"""Limits: what may be used of money, tokens, requests and calls at once, taken before it is used."""
