#!/bin/sh
# Create or update the virtual environment .venv: `scripts/install.sh run` installs what
# the server needs, `scripts/install.sh dev` also what tests and checks need.
# A second call returns at once: a stamp records what is installed.
set -eu
cd "$(dirname "$0")/.."

VENV=.venv
NEEDED_MIB=2048

fail() {
    echo "$*" >&2
    exit 1
}

find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.11 or later is needed (apt install python3), or set it: make PYTHON=/path/to/python3."
}

check_tools() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "Python's venv module is missing: apt install python3-venv."
    free_mib=$(df -Pm . | awk 'NR == 2 { print $4 }')
    [ "$free_mib" -ge "$NEEDED_MIB" ] ||
        fail "The disk is full: $NEEDED_MIB MiB are needed here to install, $free_mib MiB are free."
}

check_compilers() {
    missing=
    command -v "${CC:-cc}" >/dev/null || missing="${CC:-cc}"
    command -v "${CXX:-c++}" >/dev/null || missing="$missing ${CXX:-c++}"
    [ -z "$missing" ] ||
        fail "A C and a C++ compiler are needed to build llama-cpp-python; missing:" \
            "${missing# }. apt install build-essential."
}

# Print everything that the environment depends on; its hash is the stamp.
wanted() {
    echo "$1 in $PWD"
    cat pyproject.toml requirements/base.txt requirements/sample.txt scripts/install.sh \
        scripts/cmake_args.sh scripts/beside_llama.sh scripts/build_mtmd.sh scripts/mtmd.mk \
        scripts/build_rpc.sh scripts/rpc/*
    if [ "$1" = dev ]; then cat requirements/dev.txt; fi
    # Without CMAKE_ARGS an existing build is kept.
    if [ -n "${CMAKE_ARGS:-}" ]; then echo "CMAKE_ARGS=$CMAKE_ARGS"; fi
}

install_llama() {
    requirement=$(grep '^llama-cpp-python==' requirements/base.txt)
    built_with=$(cat "$VENV/.cmake_args" 2>/dev/null || true)
    if "$VENV/bin/python" -m pip freeze 2>/dev/null | tr _ - | grep -qxF "$requirement" &&
        [ "${CMAKE_ARGS:-$built_with}" = "$built_with" ]; then
        return
    fi
    check_compilers
    set -- install --no-deps
    # pip's cache does not record the arguments that a wheel was built with.
    if [ -n "${CMAKE_ARGS:-}" ]; then set -- "$@" --no-cache-dir --force-reinstall; fi
    export CMAKE_ARGS="${CMAKE_ARGS:-$(scripts/cmake_args.sh)}"
    echo "Building llama-cpp-python with CMAKE_ARGS=\"$CMAKE_ARGS\": 5 to 15 minutes on two" \
        "cores, seconds if pip has a cached build."
    "$VENV/bin/python" -m pip "$@" "$requirement"
    echo "$CMAKE_ARGS" >"$VENV/.cmake_args"
}

install() {
    python=$(find_python)
    # An environment that was moved or has lost its Python is created again.
    if ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1 ||
        [ "$(cat "$VENV/.place" 2>/dev/null || pwd)" != "$PWD" ]; then
        check_tools "$python"
        check_compilers
        "$python" -m venv --clear "$VENV"
    fi
    pwd >"$VENV/.place"
    install_llama
    # Text needs none of it: the server runs without.
    scripts/build_mtmd.sh "$VENV/bin/python" || echo "Installing without libmtmd." >&2
    # One machine needs none of it.
    scripts/build_rpc.sh "$VENV/bin/python" || echo "Installing without the RPC backend." >&2
    echo "Installing the other packages."
    pip="$VENV/bin/python -m pip install --quiet"
    $pip -r requirements/base.txt
    $pip --no-deps -r requirements/sample.txt
    if [ "$1" = dev ]; then $pip -r requirements/dev.txt; fi
    $pip --no-deps --editable .
}

case "${1:-}" in
    run | dev) ;;
    *) fail "usage: scripts/install.sh run|dev" ;;
esac
export PIP_DISABLE_PIP_VERSION_CHECK=1

stamp=$(wanted "$1" | sha256sum)
# `dev` includes `run`.
if grep -qxsF -e "$stamp" -e "$(wanted dev | sha256sum)" "$VENV/.installed"; then
    exit
fi
install "$1"
echo "$stamp" >"$VENV/.installed"
