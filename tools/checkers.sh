#!/bin/sh
# Set up what checks the exports from outside: bean-check in a virtual environment of its own (it is GPL
# and runs as a process only), and hledger from Debian. Best effort: without a network, without root or
# elsewhere than on Debian this says what is missing and ends well, and the tests that need it are skipped.
#
#   tools/checkers.sh PYTHON FOLDER
set -u
python=$1
folder=$2
wanted=requirements/checkers.txt
mark="$folder/.installed"

beancount() {
    if [ -e "$mark" ] && [ ! "$wanted" -nt "$mark" ]; then return 0; fi
    echo "Setting up bean-check in $folder"
    "$python" -m venv "$folder" &&
        timeout 120 "$folder/bin/python" -m pip --disable-pip-version-check --quiet \
            --retries 1 --timeout 15 install --require-hashes -r "$wanted" &&
        touch "$mark"
}

hledger() {
    if command -v hledger >/dev/null; then return 0; fi
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || return 1
    echo "Setting up hledger"
    export DEBIAN_FRONTEND=noninteractive
    timeout 120 sh -c '
        install="apt-get install --yes --quiet --quiet --no-install-recommends hledger"
        $install || { apt-get update --quiet --quiet && $install; }' >/dev/null 2>&1
}

beancount || echo "Without bean-check: its tests are skipped. Try again with: make checkers"
hledger || echo "Without hledger: its tests are skipped. Install it with: apt install hledger"
exit 0
