#!/bin/bash
# Build the wheel and the sdist, check their descriptions, and install the wheel that the
# sdist gives into a clean environment: it carries its templates, its commands and its
# list of dependencies, and needs nothing of the checkout. llama-cpp-python, which takes
# up to 20 minutes to compile, is copied from .venv.
set -euo pipefail
cd "$(dirname "$0")/.."

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

quietly() {
    "$@" >"$place/log" 2>&1 || {
        cat "$place/log"
        exit 1
    }
}

# Without an argument `build` makes the wheel from the sdist.
quietly .venv/bin/python -m build --outdir "$place/dist" .
.venv/bin/twine --no-color check --strict "$place"/dist/*

.venv/bin/python -m venv "$place/venv"
cp -r .venv/lib/python3.*/site-packages/llama_cpp{,_python-*.dist-info} \
    "$place"/venv/lib/python3.*/site-packages
quietly "$place/venv/bin/pip" install --only-binary llama-cpp-python \
    --constraint requirements/base.txt "$place"/dist/llm_manager-*.whl

cd "$place"
export LLM_MANAGER_DATA_DIR=$place/data
venv/bin/llm-manager --version
venv/bin/llm-manager check
venv/bin/python -W error -c 'from llm_manager import LLMManager; print(LLMManager)'
venv/bin/llm-manager migrate --verbosity 0
venv/bin/llm-manager shell --verbosity 0 --command '
from django.template.loader import get_template
from llm_manager import settings

for name in ("admin/base_site.html", "admin/index.html", "unfold/layouts/base.html"):
    print(get_template(name).origin)
assert settings.TEMPLATES_DIR.is_dir() and settings.TEMPLATES_DIR.parent == settings.PACKAGE_DIR
'
