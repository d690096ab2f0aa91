#!/bin/sh
# Build llama.cpp's RPC backend, by which one model uses several machines, beside the
# installed llama-cpp-python: scripts/build_rpc.sh [PYTHON], .venv/bin/python by default.
# A second call returns at once. docs/adr/0040 says why it speaks over Unix sockets only.
set -eu
cd "$(dirname "$0")/.."

PYTHON=${1:-.venv/bin/python}

fail() {
    echo "The RPC backend is not built: $* Without it no model uses several machines;" \
        "scripts/build_rpc.sh tries again." >&2
    exit 1
}

found=$("$PYTHON" - <<'PYTHON'
from importlib.metadata import distribution

found = distribution("llama-cpp-python")
print(found.version, found.locate_file("llama_cpp/lib"))
PYTHON
) || fail "llama-cpp-python is not installed."
read -r version libraries <<FOUND
$found
FOUND
wanted="$version $(cat scripts/rpc/* | sha256sum | cut -c 1-16)"
name=libggml-rpc-unix
stamp="$libraries/$name.version"
if [ -e "$libraries/$name.so" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    exit
fi
command -v make >/dev/null || fail "make is missing (apt install build-essential)."
echo "Building llama.cpp's RPC backend, for one model on several machines: some 15 seconds."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$PYTHON" -m pip download --quiet --no-deps --no-binary llama-cpp-python \
    --dest "$work" "llama-cpp-python==$version" ||
    fail "the source of llama-cpp-python $version cannot be downloaded, see above."
mkdir "$work/source" "$work/build"
tar -xzf "$work"/llama_cpp_python-*.tar.gz -C "$work/source" --strip-components 1
make --silent -C "$work/build" -f "$PWD/scripts/rpc/build.mk" -j 2 HERE="$PWD/scripts/rpc" \
    SOURCE="$work/source/vendor/llama.cpp" LIBRARIES="$libraries" >"$work/log" 2>&1 || {
    tail -n 20 "$work/log" >&2
    fail "the compiler failed, see above."
}
# It appears whole, under its name, for whoever loads it meanwhile.
cp "$work/build/$name.so" "$libraries/.$name.so"
mv "$libraries/.$name.so" "$libraries/$name.so"
echo "$wanted" >"$stamp"
