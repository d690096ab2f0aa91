#!/bin/sh
# Print the arguments that llama.cpp is built with where CMAKE_ARGS says nothing, for
# llama-cpp-python and for the llama-server that it is measured against.
#
# llama.cpp's AMX kernels die of SIGSEGV when GCC builds them (docs/adr/0003), so
# they are left out wherever the compiler knows of AMX at all.
set -eu

without_amx="-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
args="-DLLAVA_BUILD=OFF"
if "${CC:-cc}" $without_amx -fsyntax-only -x c /dev/null 2>/dev/null; then
    args="$args -DCMAKE_C_FLAGS='$without_amx' -DCMAKE_CXX_FLAGS='$without_amx'"
fi
echo "$args"
