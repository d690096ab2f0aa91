#!/bin/bash
# Run tests with every other Python that we support and that this machine has, on PATH or
# below ~/.pyenv: `scripts/test_pythons.sh [VERSION …]`. They are those of rows, pages,
# messages, the command line, and of a real model by the Python API: what a version of
# Python has a part in. They start no server.
# llama-cpp-python loads its library by ctypes, so one build serves all versions.
set -euo pipefail
cd "$(dirname "$0")/.."

SUPPORTED=(3.11 3.12 3.13)
TESTS=(accounts registry inference/api/completions inference/api/embeddings
    inference/api/models inference/local inference/transport inference/worker
    llm_manager/command_line llm_manager/config test_layout.py)
BUILT=.venv/lib/python3.*/site-packages

find_python() {
    local candidate
    for candidate in "python$1" "$HOME"/.pyenv/versions/"$1".*/bin/python; do
        if [ "$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$1" ]; then
            echo "$candidate"
            return
        fi
    done
}

# Make the environment $1/env with the Python $2, whose version is $3.
install() {
    local env=$1/env
    "$2" -m venv "$env"
    cp -r $BUILT/llama_cpp $BUILT/llama_cpp_python-*.dist-info \
        "$env/lib/python$3/site-packages"
    # What is imported is compiled then.
    "$env/bin/pip" install --quiet --no-compile --no-deps -r requirements/sample.txt
    "$env/bin/pip" install --quiet --no-compile -r requirements/base.txt -r requirements/dev.txt
    "$env/bin/pip" install --quiet --no-deps --editable .
}

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
versions=("$@")
[ $# -gt 0 ] || versions=("${SUPPORTED[@]}")
own=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
# Downloads and unpacking leave a core idle: the environments are made side by side.
declare -A installing=()
for version in "${versions[@]}"; do
    [ "$version" != "$own" ] || continue
    python=$(find_python "$version")
    if [ -z "$python" ]; then
        echo "== Python $version is not on this machine: not tested"
        continue
    fi
    mkdir "$place/$version"
    install "$place/$version" "$python" "$version" &
    installing[$version]=$!
done
for process in "${installing[@]}"; do wait "$process"; done
failed=()
for version in "${versions[@]}"; do
    [ -n "${installing[$version]:-}" ] || continue
    echo "== Python $version"
    "$place/$version/env/bin/pytest" --numprocesses=2 --dist=loadscope --quiet -p no:cacheprovider \
        -m "not long and not e2e and not browser and not property" \
        "${TESTS[@]/#/tests/}" || failed+=("$version")
done
[ ${#failed[@]} -eq 0 ] || {
    echo "failed with Python ${failed[*]}"
    exit 1
}
