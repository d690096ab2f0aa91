#!/bin/sh
# Build libmtmd, the part of llama.cpp that reads images and sounds, beside the installed
# llama-cpp-python: scripts/build_mtmd.sh [PYTHON], .venv/bin/python by default.
# A second call returns at once. docs/adr/0032 says why it is built apart.
set -eu
cd "$(dirname "$0")/.."

PYTHON=${1:-.venv/bin/python}

fail() {
    echo "libmtmd is not built: $* Without it no model reads images;" \
        "scripts/build_mtmd.sh tries again." >&2
    exit 1
}

# Print the folder of llama-cpp-python's libraries, its version, and whether its wheel
# has a libmtmd of its own: one built with -DLLAVA_BUILD=ON has.
installed() {
    "$PYTHON" - <<'PYTHON'
from importlib.metadata import distribution

found = distribution("llama-cpp-python")
has_own = any(str(file).endswith("/libmtmd.so") for file in found.files or ())
print(found.version, "own" if has_own else "none", found.locate_file("llama_cpp/lib"))
PYTHON
}

found=$(installed) || fail "llama-cpp-python is not installed."
read -r version origin libraries <<FOUND
$found
FOUND
stamp="$libraries/libmtmd.version"
if [ "$origin" = own ]; then exit; fi
if [ -e "$libraries/libmtmd.so" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$version" ]; then
    exit
fi
command -v make >/dev/null || fail "make is missing (apt install build-essential)."
echo "Building libmtmd, for images and sounds: a minute on two cores."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$PYTHON" -m pip download --quiet --no-deps --no-binary llama-cpp-python \
    --dest "$work" "llama-cpp-python==$version" ||
    fail "the source of llama-cpp-python $version cannot be downloaded, see above."
mkdir "$work/source" "$work/build"
tar -xzf "$work"/llama_cpp_python-*.tar.gz -C "$work/source" --strip-components 1
make --silent -C "$work/build" -f "$PWD/scripts/mtmd.mk" -j "$(nproc)" \
    SOURCE="$work/source/vendor/llama.cpp" LIBRARIES="$libraries" >"$work/log" 2>&1 || {
    tail -n 20 "$work/log" >&2
    fail "the compiler failed, see above."
}
# It appears whole, under its name, for whoever loads it meanwhile.
cp "$work/build/libmtmd.so" "$libraries/.libmtmd.so"
mv "$libraries/.libmtmd.so" "$libraries/libmtmd.so"
echo "$version" >"$stamp"
