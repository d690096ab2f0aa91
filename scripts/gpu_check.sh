#!/bin/sh
# Check the engine on a machine with a GPU, without a network, in some ten minutes:
# equal answers in a batch and alone, memory against the estimate, speed at 1, 8, 32 and
# 64 streams and of a prompt of 4,000 tokens beside llama-server, Python's share of a
# step. docs/gpu.md says what to bring along.
#
#     scripts/gpu_check.sh [--wheels DIR] [OPTIONS OF python -m benchmarks gpu]
#
# --wheels DIR: what scripts/build_cuda_wheel.sh has built, and wheels of whatever else
# that Python lacks; installed into a folder of their own. Without it what is installed
# is checked. LLAMA_SERVER names a llama-server; DIR/bin/llama-server is taken else.
set -eu
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
site=
if [ "${1:-}" = --wheels ]; then
    built=$(cd "$2" && pwd)
    shift 2
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    # --no-deps: what is needed is in the folder, or was installed before.
    "$PYTHON" -m pip install --quiet --no-index --no-deps --no-compile \
        --target "$site" "$built"/wheels/*.whl
    if [ -x "$built/bin/llama-server" ]; then
        LLAMA_SERVER=${LLAMA_SERVER:-$built/bin/llama-server}
        export LLAMA_SERVER
    fi
fi
PYTHONPATH=${site:+$site:}$PWD/platform:$PWD${PYTHONPATH:+:$PYTHONPATH}
export PYTHONPATH
"$PYTHON" -m benchmarks gpu "$@"
