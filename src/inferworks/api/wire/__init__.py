"""Bytes to requests and back, one file per dialect."""
