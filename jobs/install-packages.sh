#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Sees to it that the packages of the named groups are there; installs only what is missing.
#
#   jobs/install-packages.sh GROUP...    groups: build  kjv  bench  plots  tests  torch  slurm  style
#
# On Debian and Ubuntu it installs with apt-get, as root or through sudo; sudo asks for a password
# only on a terminal. Elsewhere, and where nothing can be installed, it looks for the tools and
# headers themselves (PATH, CPATH, CMAKE_PREFIX_PATH: what `module load` and `spack load` set),
# goes on if they are there, and else names what is missing and ends with status 69.
set -euo pipefail

# (ocl-icd-opencl-dev: the CMake file of Debian's oneDNN asks for OpenCL; nothing else uses it.)
# group | Debian, Ubuntu | Fedora, RHEL | Spack | usual module | how to see that it is there
package_table='
build | build-essential      | gcc gcc-c++ make      | gcc             | gcc           | command cc make
build | cmake                | cmake                 | cmake@3.21:     | cmake         | command cmake
build | pkg-config           | pkgconf-pkg-config    | pkgconf         | -             | command pkg-config
build | libopenmpi-dev       | openmpi-devel         | openmpi         | openmpi       | command mpicc
build | openmpi-bin          | openmpi               | openmpi         | openmpi       | command mpirun
build | libhdf5-openmpi-dev  | hdf5-openmpi-devel    | hdf5+mpi        | hdf5-parallel | header hdf5.h
build | libdnnl-dev          | onednn-devel          | onednn          | oneDNN        | header dnnl.h
build | ocl-icd-opencl-dev   | -                     | -               | -             | nothing
build | librandom123-dev     | Random123-devel       | random123       | -             | header Random123/philox.h
build | libinih-dev          | inih-devel            | -               | -             | header ini.h
build | libxxhash-dev        | xxhash-devel          | xxhash          | xxHash        | header xxhash.h
build | libhwloc-dev         | hwloc-devel           | hwloc           | hwloc         | header hwloc.h
build | uthash-dev           | uthash-devel          | uthash          | -             | header uthash.h
build | libsentencepiece-dev | sentencepiece-devel   | sentencepiece   | -             | header sentencepiece_processor.h
build | libzstd-dev          | libzstd-devel         | zstd            | zstd          | header zstd.h
build | zlib1g-dev           | zlib-devel            | zlib-api        | zlib          | header zlib.h
kjv   | bible-kjv            | -                     | -               | -             | command bible
kjv   | bible-kjv-text       | -                     | -               | -             | command bible
bench | sentencepiece        | sentencepiece-tools   | sentencepiece   | -             | command spm_encode
plots | gnuplot-nox          | gnuplot-minimal       | gnuplot         | gnuplot       | command gnuplot
tests | libcmocka-dev        | libcmocka-devel       | cmocka          | -             | header cmocka.h
tests | g++                  | gcc-c++               | gcc             | gcc           | command c++
tests | libboost-context-dev | boost-devel           | boost+context   | Boost         | nothing
tests | python3              | python3               | python          | Python        | command python3
tests | zstd                 | zstd                  | zstd            | zstd          | command zstd
tests | python3-numpy        | python3-numpy         | py-numpy        | SciPy-bundle  | python numpy
tests | python3-h5py         | python3-h5py          | py-h5py         | h5py          | python h5py
torch | python3-torch        | python3-torch         | py-torch        | PyTorch       | python torch
slurm | slurmctld            | slurm-slurmctld       | slurm           | slurm         | command slurmctld
slurm | slurmd               | slurm-slurmd          | slurm           | slurm         | command slurmd
slurm | slurm-client         | slurm                 | slurm           | slurm         | command srun sbatch
slurm | munge                | munge                 | munge           | -             | command munged
slurm | iproute2             | iproute               | iproute2        | -             | command ip
style | clang-format         | clang-tools-extra     | llvm            | Clang         | command clang-format
style | clang-tidy           | clang-tools-extra     | llvm            | Clang         | command clang-tidy
'

say() { printf '%s\n' "$*"; }
complain() { printf 'install-packages: %s\n' "$*" >&2; }

# Prints the rows of the groups asked for, blanks around the bars removed.
rows_of_groups() {
    local group
    for group in "$@"; do
        grep "^$group *|" <<<"$package_table" | sed 's/ *| */|/g'
    done
}

missing_debian_packages() {
    local package
    while IFS='|' read -r _ package _; do
        if [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
            say "$package"
        fi
    done
}

# Runs a command as root; fails where that needs a password that nobody can type.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif ! command -v sudo >/dev/null; then
        complain "not root, and there is no sudo"
        return 1
    elif [ -t 0 ] && [ -t 2 ]; then
        sudo "$@"
    elif ! sudo -n true 2>/dev/null; then
        complain "not root, and sudo wants a password but there is no terminal to ask at"
        return 1
    else
        sudo -n "$@"
    fi
}

# Waits for another apt to finish rather than failing beside it.
apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@"
}

apt_install() {
    local log
    log=$(mktemp)
    if ! { apt_get update && apt_get install --no-install-recommends "$@"; } >"$log" 2>&1; then
        tail -n 15 "$log" >&2
        rm -f "$log"
        complain "could not install: $*"
        complain "to install them yourself: apt-get update && apt-get install $*"
        return 1
    fi
    rm -f "$log"
}

header_is_found() {
    local compiler=${CC:-cc} includes=() prefix
    if command -v mpicc >/dev/null; then
        compiler=mpicc
    fi
    local IFS=:
    for prefix in ${CMAKE_PREFIX_PATH:-}; do
        includes+=("-I$prefix/include")
    done
    includes+=(-I/usr/include/hdf5/openmpi) # where Debian keeps the parallel HDF5
    printf '#include <%s>\n' stdarg.h stddef.h setjmp.h stdint.h "$1" |
        "$compiler" "${includes[@]}" -E -x c - >/dev/null 2>&1
}

is_found() {
    local kind=$1 name
    shift
    for name in "$@"; do
        case $kind in
            command) command -v "$name" >/dev/null || return 1 ;;
            header) header_is_found "$name" || return 1 ;;
            nothing) ;;
            python) python3 -c "import $name" >/dev/null 2>&1 || return 1 ;;
        esac
    done
}

# Prints the rows whose tool or header is not there.
rows_not_found() {
    local row probe
    while IFS= read -r row; do
        read -r -a probe <<<"${row##*|}"
        is_found "${probe[@]}" || say "$row"
    done
}

print_table() {
    local format='  %-20s %-21s %-12s %-14s %s\n'
    # shellcheck disable=SC2059
    printf "$format" "Debian, Ubuntu" "Fedora, RHEL" "Spack" "usual module" "looked for"
    local debian fedora spack module probe
    while IFS='|' read -r _ debian fedora spack module probe; do
        # shellcheck disable=SC2059
        printf "$format" "$debian" "$fedora" "$spack" "$module" "$probe"
    done
}

go_on_with_what_is_there() {
    local rows lacking
    rows=$(rows_of_groups "$@")
    lacking=$(rows_not_found <<<"$rows")
    if [ -n "$lacking" ]; then
        complain "these are not found here (names differ a little between systems):"
        print_table <<<"$lacking" >&2
        complain "install or load them, then run the command again"
        exit 69
    fi
    say "packages: nothing installed; all tools and headers were found in this environment"
}

if [ $# = 0 ] || [ "$1" = --help ]; then
    sed -n '3,/^set /s/^# \{0,1\}//p' "$0"
    exit 64
fi
for group in "$@"; do
    if [ -z "$(rows_of_groups "$group")" ]; then
        complain "no group '$group'; there are: build kjv bench plots tests torch slurm style"
        exit 64
    fi
done

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    say "packages: this is not a Debian or Ubuntu system; what is needed here:"
    rows_of_groups "$@" | print_table
    go_on_with_what_is_there "$@"
    exit 0
fi

mapfile -t missing < <(rows_of_groups "$@" | missing_debian_packages)
if [ ${#missing[@]} = 0 ]; then
    say "packages: all there"
else
    say "packages: installing ${missing[*]}"
    apt_install "${missing[@]}" || go_on_with_what_is_there "$@"
fi
