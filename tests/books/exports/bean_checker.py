"""bean-check, file after file in one process: its start takes longer than a file does.

Run by the interpreter of `.venv-checkers`. It reads a path a line, and writes a line of JSON for each: the
exit status, and what was said on standard error.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys

from beancount.scripts.check import main

for line in sys.stdin:
    said = io.StringIO()
    status: object = 0
    with contextlib.redirect_stderr(said):
        try:
            main(["--no-cache", line.rstrip("\n")])
        except SystemExit as ended:
            status = ended.code
    sys.stdout.write(json.dumps([status, said.getvalue()]) + "\n")
    sys.stdout.flush()
