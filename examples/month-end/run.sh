#!/usr/bin/env bash
# The month-end of a made-up company, from raw exports to a closed period that hledger and bean-check accept.
#
#   examples/month-end/run.sh [FOLDER]
#
# FOLDER is made new and left behind, to look around in. docs/month-end.md reads along.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH="$PWD/.venv/bin:$PWD/.venv-checkers/bin:$PATH"
