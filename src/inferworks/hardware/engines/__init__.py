"""Engines: one seam (`base`), one fake (`stub`), and the drivers."""
