#!/bin/sh
# Build llama.cpp's RPC backend, by which one model uses several machines, beside the
# installed llama-cpp-python: scripts/build_rpc.sh [PYTHON], .venv/bin/python by default.
# A second call returns at once. docs/adr/0040 says why it speaks over Unix sockets only.
set -eu
cd "$(dirname "$0")/.."
. scripts/beside_llama.sh

PYTHON=${1:-.venv/bin/python}

fail() {
    echo "The RPC backend is not built: $* Without it no model uses several machines;" \
        "scripts/build_rpc.sh tries again." >&2
    exit 1
}

found=$(installed libggml-rpc-unix.so) || fail "llama-cpp-python is not installed."
read -r version _ libraries <<FOUND
$found
FOUND
build libggml-rpc-unix.so "$libraries" "$version" \
    "$version $(cat scripts/rpc/* | sha256sum | cut -c 1-16)" \
    "Building llama.cpp's RPC backend, for one model on several machines: some 15 seconds." \
    -f "$PWD/scripts/rpc/build.mk" -j 2 HERE="$PWD/scripts/rpc"
