#!/bin/sh
# Print the default CMAKE_ARGS for llama.cpp: for llama-cpp-python, and for the
# llama-server that benchmarks compare with.
#
# llama.cpp's AMX kernels crash (SIGSEGV) when built by GCC, and its AVX512-FP16 code
# uses scalar loops for vectors below 128 elements, the size of most attention heads
# (docs/adr/0003). Both are switched off if the compiler supports them.
set -eu

knows() {
    "${CC:-cc}" $1 -fsyntax-only -x c /dev/null 2>/dev/null
}

without=
for flags in "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16" "-mno-avx512fp16"; do
    if knows "$flags"; then
        without="$without${without:+ }$flags"
    fi
done
args="-DLLAVA_BUILD=OFF"
if [ -n "$without" ]; then
    args="$args -DCMAKE_C_FLAGS='$without' -DCMAKE_CXX_FLAGS='$without'"
fi
echo "$args"
