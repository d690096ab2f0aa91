#!/bin/sh
# Print the arguments that llama.cpp is built with where CMAKE_ARGS says nothing, for
# llama-cpp-python and for the llama-server that it is measured against.
#
# llama.cpp's AMX kernels die of SIGSEGV when GCC builds them, and its AVX512-FP16 code
# leaves vectors of fewer than 128 numbers, as most heads of attention have, to plain
# loops (docs/adr/0003). So both are left out wherever the compiler knows of them.
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
