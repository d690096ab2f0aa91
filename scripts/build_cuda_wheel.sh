#!/bin/sh
# Build, without a card, what scripts/gpu_check.sh needs on a machine with one: a wheel
# of llama-cpp-python for one kind of NVIDIA GPU, and llama-server of the same source.
#
#     scripts/build_cuda_wheel.sh [DIR]      # DIR: build/cuda
#
# CUDA_ARCHITECTURE is the kind of GPU: 90 (H100, H200) unless it is set; JOBS is the
# number of compilers at once. It takes an hour or more on two cores.
set -eu
cd "$(dirname "$0")/.."

OUT=${1:-build/cuda}
ARCHITECTURE=${CUDA_ARCHITECTURE:-90}
PYTHON=${PYTHON:-.venv/bin/python}

fail() {
    echo "$*" >&2
    exit 1
}

command -v nvcc >/dev/null || fail "nvcc is missing: install NVIDIA's CUDA toolkit."
command -v cmake >/dev/null || fail "cmake is missing: apt install cmake."
version=$("$PYTHON" -c 'from importlib.metadata import version
print(version("llama-cpp-python"))') ||
    fail "llama-cpp-python is not installed: make run installs it."
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)

# cuBLAS is a part of the toolkit that some installations leave out; NVIDIA has it on PyPI.
toolkit=$(dirname "$(nvcc -dryrun -x cu /dev/null 2>&1 | sed -n 's/^#\$ _HERE_=//p')")
[ -d "$toolkit" ] || toolkit=/usr/local/cuda
cublas=
if [ ! -e "$toolkit/include/cublas_v2.h" ]; then
    major=$(nvcc --version | sed -n 's/.*release \([0-9]*\)\..*/\1/p')
    [ -d "$OUT/cublas/nvidia" ] ||
        "$PYTHON" -m pip install --quiet --target "$OUT/cublas" "nvidia-cublas==$major.*" ||
        fail "cuBLAS is missing in $toolkit, and cannot be had from PyPI."
    # One tree that has both, as CMake wants it: folders of its own, with links to files.
    # A link to a folder would lead what is added here into the toolkit itself.
    rm -rf "$OUT/toolkit"
    mkdir "$OUT/toolkit"
    (cd "$toolkit" && find -L . -type d) | while read -r folder; do
        mkdir -p "$OUT/toolkit/$folder"
        find -L "$toolkit/$folder" -maxdepth 1 -type f \
            -exec ln -s -t "$OUT/toolkit/$folder" {} +
    done
    headers=$(dirname "$(find "$OUT/cublas" -name cublas_v2.h | head -n 1)")
    ln -sf "$headers"/cublas* "$OUT/toolkit/include/"
    for name in cublas cublasLt; do
        library=$(find "$OUT/cublas" -name "lib$name.so.*" | head -n 1)
        ln -sf "$library" "$OUT/toolkit/lib64/lib$name.so"
    done
    cublas="-DCUDAToolkit_ROOT=$OUT/toolkit"
    cublas="$cublas -DCMAKE_CUDA_COMPILER=$OUT/toolkit/bin/nvcc"
    cublas="$cublas -DCMAKE_CUDA_FLAGS=-I$headers -DCMAKE_CXX_FLAGS=-I$headers"
fi

# The processor there is another one; one architecture keeps the wheel small.
arguments="-DGGML_CUDA=on -DCMAKE_CUDA_ARCHITECTURES=$ARCHITECTURE"
arguments="$arguments -DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON"
arguments="$arguments $cublas"
if [ ! -e "$toolkit/lib64/stubs/libcuda.so" ]; then
    # Nothing stands in for the driver here: llama.cpp then uses its simpler pool.
    arguments="$arguments -DGGML_CUDA_NO_VMM=ON"
fi
if [ ! -d "$OUT/source" ]; then
    "$PYTHON" -m pip download --quiet --no-deps --no-binary llama-cpp-python \
        --dest "$OUT" "llama-cpp-python==$version"
    mkdir "$OUT/source"
    tar -xzf "$OUT"/llama_cpp_python-*.tar.gz -C "$OUT/source" --strip-components 1
fi
echo "Building for the architecture $ARCHITECTURE: $arguments"
# Libraries of one name each: a wheel has no links, and would carry each three times.
# shellcheck disable=SC2086 # the arguments are words
cmake -S "$OUT/source/vendor/llama.cpp" -B "$OUT/build" $arguments \
    -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON \
    -DCMAKE_PLATFORM_NO_VERSIONED_SONAME=ON \
    -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON -DCMAKE_INSTALL_RPATH='$ORIGIN' \
    -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
    -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF
cmake --build "$OUT/build" --target llama-server --parallel "${JOBS:-$(nproc)}"
mkdir -p "$OUT/bin"
cp "$OUT"/build/bin/*.so "$OUT/build/bin/llama-server" "$OUT/bin/"

# llama-server's libraries are those of the wheel: nothing is compiled twice. Its
# .gitignore would keep them out.
rm -f "$OUT/source/.gitignore"
mkdir -p "$OUT/source/llama_cpp/lib"
for name in ggml ggml-base ggml-cpu ggml-cuda llama mtmd; do
    cp "$OUT/bin/lib$name.so" "$OUT/source/llama_cpp/lib/"
done
# Without the cache: a wheel there may have been built for the processor alone.
CMAKE_ARGS="-DLLAMA_BUILD=OFF" "$PYTHON" -m pip wheel --no-deps --no-cache-dir \
    --wheel-dir "$OUT/wheels" "$OUT/source"
ls -l "$OUT/wheels" "$OUT/bin"
