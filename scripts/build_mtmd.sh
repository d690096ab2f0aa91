#!/bin/sh
# Build libmtmd, the part of llama.cpp that reads images and sounds, beside the installed
# llama-cpp-python: scripts/build_mtmd.sh [PYTHON], .venv/bin/python by default.
# A second call returns at once. docs/adr/0032 says why it is built apart.
set -eu
cd "$(dirname "$0")/.."
. scripts/beside_llama.sh

PYTHON=${1:-.venv/bin/python}

fail() {
    echo "libmtmd is not built: $* Without it no model reads images;" \
        "scripts/build_mtmd.sh tries again." >&2
    exit 1
}

found=$(installed libmtmd.so) || fail "llama-cpp-python is not installed."
read -r version origin libraries <<FOUND
$found
FOUND
# A wheel that was built with -DLLAVA_BUILD=ON has it.
if [ "$origin" = own ]; then exit; fi
build libmtmd.so "$libraries" "$version" "$version" \
    "Building libmtmd, for images and sounds: a minute on two cores." \
    -f "$PWD/scripts/mtmd.mk" -j "$(nproc)"
