#!/bin/sh
# Pin the newest versions in requirements/*.txt. The files contain no index and no local path.
set -eu
cd "$(dirname "$0")/.."

export CUSTOM_COMPILE_COMMAND="make requirements"
compile() {
    .venv/bin/pip-compile --quiet --upgrade --strip-extras --allow-unsafe \
        --no-emit-index-url --no-emit-trusted-host --no-emit-find-links "$@"
}
compile --output-file requirements/base.txt pyproject.toml requirements/base.in
compile --output-file requirements/dev.txt requirements/dev.in
compile --output-file requirements/peers.txt requirements/peers.in
compile --output-file requirements/clients.txt requirements/clients.in
compile --output-file requirements/clients-older.txt requirements/clients-older.in
