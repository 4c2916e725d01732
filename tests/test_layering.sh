#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Which folder may include what, and what may be written where: the tables below are the rule. Every
# line of src, mpi and io is held against them; then a violation of each kind is planted in a copy,
# and the same check has to find it.
#
#   tests/test_layering.sh [REPOSITORY]
set -eu
root=$(realpath "${1:-$(dirname "$0")/..}")

# Folder or file, then what it may include of this project; the first line that fits a file counts.
# Every folder may include itself. A word that ends in / is a folder, else one header.
own_headers='
src/main.c        src/run/ src/base/ io/config.h mpi/grid.h
src/base/         -
src/tensor/       src/base/
mpi/              src/base/ src/tensor/
src/layers/parallel_ src/base/ src/tensor/ mpi/collectives.h
src/layers/       src/base/ src/tensor/
src/optim/        src/base/ src/tensor/ mpi/buckets.h mpi/collectives.h
io/text/          src/base/ mpi/ io/
io/               src/base/ src/tensor/ mpi/
src/memory/       src/base/ src/tensor/ src/layers/ mpi/collectives.h mpi/partition.h mpi/shard_order.h
src/model/        src/base/ src/tensor/ src/layers/ src/memory/ mpi/
src/run/          src/base/ src/tensor/ src/layers/ src/optim/ src/memory/ src/model/ io/ mpi/
'

# Headers of libraries (everything that begins so), then where they may appear.
library_headers='
mpi.h         mpi/ io/h5_
mpi-ext.h     mpi/
hdf5          io/
oneapi/       src/tensor/cpu/
dnnl          src/tensor/cpu/
emmintrin     src/tensor/cpu/
cuda          src/tensor/cuda/
cublas        src/tensor/cuda/
nvtx3/        src/tensor/cuda/
Random123/    src/base/
ini.h         io/
xxhash.h      io/
sentencepiece io/text/subword_model.cc
zlib.h        io/text/text_file.c
zstd.h        io/text/text_file.c
uthash.h      src/ io/
hwloc.h       src/run/cores.c
omp.h         src/tensor/cpu/ src/run/cores.c
dlfcn.h       src/run/watchdog_calls.c src/tensor/cuda/product_library.cu
execinfo.h    src/run/watchdog_calls.c
spawn.h       src/run/watchdog_calls.c src/run/plot.c
sys/wait.h    src/run/watchdog_calls.c src/run/plot.c
'

# The C library and POSIX, open to all; not assert.h (PAL_ASSERT names the place on every rank).
system_headers='ctype errno fcntl float inttypes limits math pthread setjmp signal stdarg stdatomic stdbool
stdalign stddef stdint stdio stdlib string strings time unistd dirent sys/resource sys/stat sys/statfs sys/statvfs sys/types sys/mman sys/syscall'

# The C++ library, for the CUDA device alone: what needs no exceptions and is compiled in.
cuda_headers='cmath cstddef cstdint cstdio cstdlib cstring unordered_map utility vector'

# The C++ library where another library has no other interface.
interface_headers='cstdio cstdlib cstring exception memory string unordered_map vector'

# Words that only some files may have: a pattern (no blanks), where it is looked for, and where alone
# it may stand (-: nowhere). Kernels are begun by launch() of common.cuh, so that each launch is
# checked, and ask there for their shared memory; the assembler stands where the emulation of the
# tests replaces it.
words='
(^|[^A-Z_])MPI_COMM_WORLD   src/ mpi/ io/     mpi/grid.h mpi/grid.c
PAL_ENABLE_CUDA             src/ mpi/ io/     src/tensor/backend.c
<<<                         src/tensor/cuda/  -
(^|[^a-z_])asm([^a-z_]|$)   src/tensor/cuda/  src/tensor/cuda/ptx.cuh
__shared__                  src/tensor/cuda/  src/tensor/cuda/common.cuh
'

# check_tree ROOT: prints every violation; status 1 if there are any.
check_tree() {
    (
        cd "$1"
        find src mpi io -name '*.[ch]' -o -name '*.cc' -o -name '*.cu' -o -name '*.cuh' | sort |
            OWN=$own_headers LIBRARIES=$library_headers SYSTEM=$system_headers \
            CUDA=$cuda_headers INTERFACE=$interface_headers WORDS=$words xargs awk '
    function begins(text, start) { return substr(text, 1, length(start)) == start }
    function in_list(path, list,   n, i, word) {
        n = split(list, word, " ")
        for (i = 1; i <= n; i++)
            if (word[i] == path || (word[i] ~ /[\/_]$/ && begins(path, word[i]))) return 1
        return 0
    }
    function folder_of(path) { sub(/[^\/]*$/, "", path); return path }
    function exists(path,   line, found) {
        found = (getline line < path) >= 0
        close(path)
        return found
    }
    function complain(what) {
        printf "%s:%d: %s\n", FILENAME, FNR, what
        violations++
    }
    function check_own(header,   i, own) {
        if (!exists(header)) { complain("\"" header "\" is not there, seen from the root"); return }
        for (i = 1; i <= owners && !begins(FILENAME, owner[i]); i++) ;
        if (i > owners) { complain("this folder is not in the table"); return }
        for (own = 1; own <= owners && !begins(header, owner[own]); own++) ;
        if (own == i && owner[i] ~ /\/$/) return
        if (folder_of(header) == folder_of(FILENAME) && FILENAME != "src/main.c") return
        if (!in_list(header, allowed[i])) complain("may not include \"" header "\"")
    }
    function check_foreign(header,   i) {
        for (i = 1; i <= libraries; i++) {
            if (!begins(header, library[i])) continue
            if (!in_list(FILENAME, places[i])) complain("may not include <" header ">")
            return
        }
        if (begins(FILENAME, "src/tensor/cuda/") && in_list(header, CUDA)) return
        if (FILENAME ~ /\.cc$/ && in_list(header, INTERFACE)) return
        if (!in_list(substr(header, 1, length(header) - 2), SYSTEM))
            complain("<" header "> is in no table")
    }
    # Comments may speak of anything.
    function check_words(text,   i) {
        sub(/\/\*.*\*\//, "", text)
        if (text ~ /^[ \t]*(\/?\*|\/\/)/) return
        for (i = 1; i <= rules; i++)
            if (text ~ word[i] && in_list(FILENAME, searched[i]) && !in_list(FILENAME, home[i]))
                complain("may not have " word[i])
    }
    BEGIN {
        SYSTEM = ENVIRON["SYSTEM"]
        CUDA = ENVIRON["CUDA"]
        INTERFACE = ENVIRON["INTERFACE"]
        gsub(/\n/, " ", SYSTEM)
        lines = split(ENVIRON["OWN"], line, "\n")
        for (i = 1; i <= lines; i++) {
            if (line[i] == "") continue
            match(line[i], / +/)
            owner[++owners] = substr(line[i], 1, RSTART - 1)
            allowed[owners] = substr(line[i], RSTART + RLENGTH)
        }
        lines = split(ENVIRON["LIBRARIES"], line, "\n")
        for (i = 1; i <= lines; i++) {
            if (line[i] == "") continue
            match(line[i], / +/)
            library[++libraries] = substr(line[i], 1, RSTART - 1)
            places[libraries] = substr(line[i], RSTART + RLENGTH)
        }
        lines = split(ENVIRON["WORDS"], line, "\n")
        for (i = 1; i <= lines; i++) {
            if (line[i] == "") continue
            n = split(line[i], part, " ")
            word[++rules] = part[1]
            for (k = 2; k <= n; k++)
                if (part[k] ~ /\/$/) searched[rules] = searched[rules] " " part[k]
                else home[rules] = home[rules] " " part[k]
        }
    }
    /^[ \t]*#[ \t]*include[ \t]*"/ { split($0, part, "\""); check_own(part[2]); includes++ }
    /^[ \t]*#[ \t]*include[ \t]*</ { split($0, part, /[<>]/); check_foreign(part[2]); includes++ }
    { check_words($0) }
    END {
        if (includes < 100) {
            print "only " includes + 0 " includes found: is this the project?"
            exit 1
        }
        exit violations > 0
    }'
    )
}

# planted FILE LINE: with this line more in this file, the check has to complain about the file.
planted() {
    local file=$1 line=$2 copy
    copy=$(mktemp -d)
    cp -r "$root/src" "$root/mpi" "$root/io" "$copy"
    printf '%s\n' "$line" >>"$copy/$file"
    local said
    if said=$(check_tree "$copy"); then
        echo "FAILED: not found: $line in $file"
        failures=$((failures + 1))
    elif ! grep -q "^$file:" <<<"$said"; then
        echo "FAILED: found something else than $line in $file: $said"
        failures=$((failures + 1))
    fi
    rm -rf "$copy"
}

failures=0
if ! check_tree "$root"; then
    echo "FAILED: not as the tables say"
    failures=1
fi

planted src/base/log.c '#include "src/tensor/tensor.h"'
planted src/base/log.h '#include "io/config.h"'
planted src/tensor/arena.c '#include "mpi/grid.h"'
planted src/tensor/arena.c '#include <oneapi/dnnl/dnnl.h>'
planted mpi/grid.c '#include "io/config.h"'
planted mpi/grid.c '#include "src/layers/linear.h"'
planted src/layers/linear.c '#include "mpi/collectives.h"'
planted src/layers/linear.c '#include "src/memory/compression.h"'
planted src/optim/optimizer.c '#include "mpi/partition.h"'
planted io/config.c '#include "src/model/model.h"'
planted io/checkpoint.c '#include <mpi.h>'
planted src/memory/conv.c '#include "io/config.h"'
planted src/model/model.c '#include "io/h5_file.h"'
planted src/model/model.c '#include "src/run/session.h"'
planted src/model/model.c '  #  include <hdf5.h>'
planted src/main.c '#include "src/model/model.h"'
planted src/main.c '#include "io/checkpoint.h"'
planted src/run/feed.c '#include <hdf5.h>'
planted src/run/feed.c '#include <Random123/philox.h>'
planted src/run/feed.c '#include "feed.h"'
planted src/run/feed.c '#include <assert.h>'
planted io/text/prepare.c '#include <cuda_runtime.h>'
planted io/text/prepare.c '#include "src/model/model.h"'
planted io/text/fields.c '#include <zlib.h>'
planted io/text/tokenizer.c '#include <sentencepiece_processor.h>'
planted io/checkpoint.c '#include "io/text/tokenizer.h"'
planted io/text/prepare.c 'static MPI_Comm all = MPI_COMM_WORLD;'
planted src/run/new_file.c '#include <omp.h>'
planted src/extra.c '#include "src/base/log.h"'
planted src/tensor/cuda/sums.cu '#include "mpi/collectives.h"'
planted src/tensor/cuda/sums.cu '#include <string>'
planted src/tensor/cuda/sums.cu '#include <dlfcn.h>'
planted src/tensor/cpu/sums.c '#include <cmath>'
planted src/tensor/cpu/sums.c '#include <cuda_bf16.h>'
planted src/run/machine.c '#include <nvtx3/nvToolsExt.h>'
planted src/tensor/arena.c '#include <cublasLt.h>'
planted src/run/session.c '#ifdef PAL_ENABLE_CUDA'
planted src/tensor/cuda/device.cu '#ifndef PAL_ENABLE_CUDA'
planted src/tensor/cuda/sums.cu '    zero<<<1, 1>>>(at);'
planted src/tensor/cuda/sums.cu '    __shared__ float sums[32];'
planted src/tensor/cuda/map.cuh '    asm volatile("bar.sync 0;");'

[ $failures = 0 ] && echo "all is as the tables say"
exit $((failures > 0))
