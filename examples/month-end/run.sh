#!/usr/bin/env bash
# The month-end of a company that does not exist, from raw exports to a closed month whose journal hledger and
# bean-check accept. docs/month-end.md reads along.
#
#   examples/month-end/run.sh [FOLDER]     # everything is written there, made if need be; in /tmp unless given
#
# `step` is a command that must work, `asks` one that must refuse because it has a question.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
export PATH="$here/../../.venv/bin:$here/../../.venv-checkers/bin:$PATH"
folder="${1:-$(mktemp --directory)}"
mkdir -p "$folder"
cd "$folder"
step() { printf '\n$ %s\n' "$1"; bash -c "$1" 2>&1; }
asks() { printf '\n$ %s\n' "$1"; ! bash -c "$1" 2>&1; }
has() { command -v "$1" > /dev/null || { printf '\n(%s is not here: make checkers)\n' "$1"; false; }; }
cp "$here/inferworks.toml" .
python3 "$here/make.py" raw

# The company: who its customers are, and what they pay.
step 'inferworks customers create acme --plan raw/plans/acme.toml'
step 'inferworks customers create burns --plan raw/plans/burns.toml'
step 'inferworks customers create corvid --plan raw/plans/corvid.toml'
step 'inferworks customers create dune --plan raw/plans/dune.toml'
step 'inferworks customers rename acme --name "Acme Robotics" --from 2025-09-01 --reason "as they sign"'
step 'inferworks customers rename corvid --name "Corvid Maps" --from 2025-09-01 --reason "as they sign"'

# September, with which the books begin.
step 'inferworks books import raw/2025-09'
step 'inferworks books reconcile raw/invoices-2025-09.csv --period 2025-09'
step 'inferworks books close 2025-09'

# October: bring it in, answer what is asked.
step 'inferworks customers merge dune --into corvid --from 2025-10-16 --reason "corvid bought dune"'
step 'inferworks books import raw/early/azure-cost-details.csv'
asks 'inferworks books import raw/2025-10'
step 'inferworks books quarantine list'
step 'inferworks books import --replace raw/2025-10/azure-cost-details.csv'

# Is it all there? Does it look right?
asks 'inferworks books reconcile raw/invoices-2025-10.csv --period 2025-10'
step 'inferworks books statement --period 2025-10 --by customer'
step 'inferworks books explain customer:burns --period 2025-10 --width 1'
step 'inferworks books close 2025-10'

# What leaves the house.
step 'inferworks books export hledger --from 2025-09-01 --to 2025-11-01 --out books.journal'
step 'inferworks books export beancount --from 2025-09-01 --to 2025-11-01 --out books.beancount'
has hledger && step 'hledger --file books.journal check --strict'
has bean-check && step 'bean-check books.beancount'
step 'inferworks books export hledger --from 2025-09-01 --to 2025-11-01 --decimals 2 --out cents.journal'
has hledger && step 'hledger --file cents.journal incomestatement --monthly --depth 2'
step 'inferworks books statement --period 2025-10 --compare previous'

# November: a bill that was late, and one that was written anew.
step 'inferworks books import raw/later/halden-focus.csv'
asks 'inferworks books import raw/later/aws-cur2.csv'
step 'inferworks books import --replace raw/later/aws-cur2.csv'
step 'inferworks books bridge --period 2025-10'
step 'inferworks books statement --period 2025-11'
step 'inferworks books verify'
