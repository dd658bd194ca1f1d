"""The wire types of each API, once: requests, answers and errors as their vendors write them."""
