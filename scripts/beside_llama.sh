# Builds a library of llama.cpp's source beside the installed llama-cpp-python. Sourced by
# the scripts that do so; they set PYTHON and say in `fail` what is missing without it.

# Print the version of llama-cpp-python, whether its wheel has a library $1 of its own,
# and the folder of its libraries.
installed() {
    "$PYTHON" - "$1" <<'PYTHON'
import sys
from importlib.metadata import distribution

found = distribution("llama-cpp-python")
has_own = any(str(file).endswith(f"/{sys.argv[1]}") for file in found.files or ())
print(found.version, "own" if has_own else "none", found.locate_file("llama_cpp/lib"))
PYTHON
}

# Build the library $1 into the folder $2 from the source of version $3, unless its stamp
# says $4; $5 says how long that takes, and the rest are arguments of make.
build() {
    library=$1 libraries=$2 version=$3 wanted=$4 says=$5
    shift 5
    stamp="$libraries/${library%.so}.version"
    if [ -e "$libraries/$library" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        exit
    fi
    command -v make >/dev/null || fail "make is missing (apt install build-essential)."
    echo "$says"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    "$PYTHON" -m pip download --quiet --no-deps --no-binary llama-cpp-python \
        --dest "$work" "llama-cpp-python==$version" ||
        fail "the source of llama-cpp-python $version cannot be downloaded, see above."
    mkdir "$work/source" "$work/build"
    tar -xzf "$work"/llama_cpp_python-*.tar.gz -C "$work/source" --strip-components 1
    make --silent -C "$work/build" "$@" SOURCE="$work/source/vendor/llama.cpp" \
        LIBRARIES="$libraries" >"$work/log" 2>&1 || {
        tail -n 20 "$work/log" >&2
        fail "the compiler failed, see above."
    }
    # It appears whole, under its name, for whoever loads it meanwhile.
    cp "$work/build/$library" "$libraries/.$library"
    mv "$libraries/.$library" "$libraries/$library"
    echo "$wanted" >"$stamp"
}
