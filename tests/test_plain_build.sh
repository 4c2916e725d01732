#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The build of a machine that has neither what the tests need nor nvcc: it is configured, and the
# program linked by the C++ compiler, as SentencePiece's library wants it. (Languages that only the
# tests or CUDA enable make every other build link as if they were everywhere.)
#
#   tests/test_plain_build.sh build/palimpsest
source "$(dirname "$0")/support.sh"

if cmake -S "$sources" -B build -DPALIMPSEST_TESTS=OFF -DPALIMPSEST_CUDA=OFF >log 2>&1; then
    compiler=$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' build/CMakeCache.txt)
    check "a C++ compiler is found: $(tail -n 5 log)" [ -n "$compiler" ]
    # (CMake's Makefiles keep the command there; other generators are not looked at.)
    check "the program is linked by it: $(cat build/CMakeFiles/palimpsest.dir/link.txt)" \
        grep -q "^$compiler " build/CMakeFiles/palimpsest.dir/link.txt
else
    check "it is configured: $(tail -n 20 log)" false
fi
finish
