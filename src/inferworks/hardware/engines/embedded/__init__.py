"""The engine that ships inside the package: a real decoder, batched continuously, on a processor."""
