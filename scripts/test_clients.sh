#!/bin/sh
# Run the clients against a real server. Arguments are files and options for pytest.
# Without arguments all clients run, and docs/clients.md is written from the results.
set -eu
cd "$(dirname "$0")/.."

CLIENTS=.venv-clients
TESTS=tests/clients

run() {
    environment=$1
    shift
    "$CLIENTS/$environment/bin/pytest" -c "$TESTS/pytest.ini" \
        --results "$CLIENTS/$environment.json" "$@"
}

# These need an older `openai` than the others, so it is tested too.
old="$TESTS/test_instructor.py $TESTS/test_litellm.py $TESTS/test_litellm_apis.py"
if [ $# -gt 0 ]; then
    case " $* " in
        *instructor* | *litellm*) run older "$@" ;;
        *) run newest "$@" ;;
    esac
    exit
fi
# shellcheck disable=SC2086
run older $old "$TESTS/test_openai.py"
# shellcheck disable=SC2046
run newest "$TESTS" $(printf -- ' --ignore %s' $old)
.venv/bin/python -m tests.clients.page "$CLIENTS/older.json" "$CLIENTS/newest.json"
