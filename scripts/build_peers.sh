#!/bin/sh
# Build into .bench what `make bench` compares with: llama-server, from the source of the
# installed llama-cpp-python and with the same arguments, and llama-cpp-python's two
# servers with the packages that they need.
# A second call returns at once: a stamp records what is built.
set -eu
cd "$(dirname "$0")/.."

VENV=.venv
BENCH=.bench
NEEDED_MIB=2048

fail() {
    echo "$*" >&2
    exit 1
}

# The arguments that the installed llama-cpp-python was built with.
cmake_args() {
    cat "$VENV/.cmake_args" 2>/dev/null || scripts/cmake_args.sh
}

wanted() {
    echo "$1 in $PWD"
    cmake_args
    cat requirements/peers.txt scripts/build_peers.sh
}

check_tools() {
    command -v "${CC:-cc}" >/dev/null && command -v "${CXX:-c++}" >/dev/null ||
        fail "A C and a C++ compiler are needed to build llama-server: apt install build-essential."
    free_mib=$(df -Pm . | awk 'NR == 2 { print $4 }')
    [ "$free_mib" -ge "$NEEDED_MIB" ] ||
        fail "The disk is full: $NEEDED_MIB MiB are needed here to build, $free_mib MiB are free."
}

# An environment that also sees the installed llama-cpp-python and its packages.
make_environment() {
    "$VENV/bin/python" -m venv --clear "$BENCH/venv"
    "$BENCH/venv/bin/python" - "$PWD/$VENV" <<'PYTHON'
import sys
import sysconfig
from pathlib import Path

inherited = sysconfig.get_path("purelib", vars={"base": sys.argv[1]})
here = Path(sysconfig.get_path("purelib"))
(here / "inherited.pth").write_text(inherited + "\n", encoding="utf-8")
PYTHON
    "$BENCH/venv/bin/python" -m pip install --quiet -r requirements/peers.txt
}

download() {
    "$VENV/bin/python" -m pip download --quiet --no-deps --no-binary llama-cpp-python \
        --dest "$BENCH/sdist" "llama-cpp-python==$1" ||
        fail "The source of llama-cpp-python $1 cannot be downloaded: pip's message is above."
    mkdir -p "$BENCH/source"
    tar -xzf "$BENCH"/sdist/*.tar.gz -C "$BENCH/source" --strip-components 1
    cp "$BENCH/source/examples/server/server.py" "$BENCH/example_server.py"
}

build() {
    cmake=$(command -v cmake || true)
    if [ -z "$cmake" ]; then
        "$BENCH/venv/bin/python" -m pip install --quiet cmake
        cmake="$BENCH/venv/bin/cmake"
    fi
    echo "Building llama-server: 5 to 15 minutes on two cores."
    # The arguments are quoted for a shell, as CMAKE_ARGS is.
    eval "set -- $(cmake_args)"
    # As llama-cpp-python's own CMakeLists.txt builds: Release, shared libraries.
    "$cmake" -S "$BENCH/source/vendor/llama.cpp" -B "$BENCH/build" "$@" \
        -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON \
        -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON -DCMAKE_INSTALL_RPATH='$ORIGIN' \
        -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
        -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF \
        >"$BENCH/log" 2>&1 &&
        "$cmake" --build "$BENCH/build" --target llama-server \
            --parallel "${JOBS:-$(nproc)}" >>"$BENCH/log" 2>&1 || {
        tail -n 30 "$BENCH/log" >&2
        fail "llama-server could not be built; $BENCH/log has the whole log."
    }
    cp -R "$BENCH/build/bin" "$BENCH/bin"
}

version=$("$VENV/bin/python" -c 'from importlib.metadata import version
print(version("llama-cpp-python"))' 2>/dev/null) ||
    fail "llama-cpp-python is not installed: make run or make test installs it."

stamp=$(wanted "$version" | sha256sum)
if grep -qxsF "$stamp" "$BENCH/.built"; then
    exit
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1
check_tools
rm -rf "$BENCH"
mkdir "$BENCH"
make_environment
download "$version"
build
# Half a gigabyte that is no longer needed.
rm -rf "$BENCH/sdist" "$BENCH/source" "$BENCH/build"
echo "$stamp" >"$BENCH/.built"
echo "$BENCH has llama-server and llama-cpp-python's servers."
