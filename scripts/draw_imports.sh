#!/bin/sh
# Draws who imports whom, room by room, into docs/img/: needs Debian's graphviz.
# An arrow that import-linter would have to break to make the picture free of
# circles is drawn dashed; there is none as long as `make check` passes.
set -eu
cd "$(dirname "$0")/.."
command -v dot >/dev/null || { echo "dot is missing: apt install graphviz." >&2; exit 1; }

ROOMS="llm_manager.web llm_manager.launcher llm_manager.config llm_manager.lib accounts registry
    inference.admin inference.api inference.node inference.worker inference.transport inference.prompts
    inference.output_parsers inference.capacity inference.metrics inference.engine inference.services
    inference.serving inference.engine_messages inference.status inference.models inference.errors"

# grimp would remember files that are gone.
rm -rf .grimp_cache

draw() {
    out=docs/img/$1.svg
    shift
    PYTHONPATH=platform:. .venv/bin/import-linter drawgraph --show-cycle-breakers "$@" |
        dot -Tsvg -Nshape=box -Nstyle=filled -Nfillcolor=white -Grankdir=TB -o "$out"
    echo "$out"
}

# The names are many words on purpose: each is one room.
# shellcheck disable=SC2086
draw imports $ROOMS
draw imports-engine inference.engine
draw imports-api inference.api
