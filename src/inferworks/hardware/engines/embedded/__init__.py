"""The embedded engine: a small model of our own, run by onnxruntime with continuous batching."""

import os

# onnxruntime's build from PyPI carries telemetry, on by default, and reads this when it is imported.
# Nothing that runs here reports to anybody unasked.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
