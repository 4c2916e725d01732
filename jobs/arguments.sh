# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What the arguments of `palimpsest train` say to the scripts that pass them on. `most_failures` needs
# policy.sh too.

# each_option NAME ARGUMENTS...: the values of this option of `palimpsest train`, one a line, and
# those that are no option's for the name "".
each_option() {
    local wanted=$1 name
    shift
    while [ $# -gt 0 ]; do
        name=${1#-}
        name=${name#-}
        case $1 in
            -*=*) [ "${name%%=*}" != "$wanted" ] || echo "${name#*=}" ;;
            -run | --run | -set | --set | -resume | --resume)
                [ "$name" != "$wanted" ] || echo "${2:-}"
                [ $# -lt 2 ] || shift
                ;;
            -*) ;;
            *) [ -n "$wanted" ] || echo "$1" ;;
        esac
        shift
    done
}

# run_folder ARGUMENTS of `palimpsest train`...: as the program chooses it.
run_folder() {
    local config folder
    folder=$(each_option run "$@" | tail -n 1)
    config=$(each_option "" "$@" | head -n 1)
    config=${config##*/}
    folder=${folder:-runs/${config%.ini}}
    case $folder in
        -*) folder=./$folder ;;
    esac
    echo "$folder"
}

# most_failures ARGUMENTS of `palimpsest train`...: jobs.max_failures.
most_failures() {
    local asked
    asked=$(each_option set "$@" | sed -nE 's/^ *jobs\.max_failures *= *([0-9]+) *$/\1/p' | tail -n 1)
    echo "${asked:-$(configured "$(each_option "" "$@" | head -n 1)" max_failures 3)}"
}

# without_resume: $arguments without --resume FILE.
without_resume() {
    local kept=() skips=false argument
    for argument in "${arguments[@]}"; do
        if [ "$skips" = true ]; then
            skips=false
            continue
        fi
        case $argument in
            -resume=* | --resume=*) ;;
            -resume | --resume) skips=true ;;
            *) kept+=("$argument") ;;
        esac
    done
    arguments=("${kept[@]}")
}

# is_own FILE RUN: it is one of this run's checkpoints, or its folder.
is_own() {
    local place
    place=$(realpath -m -- "$2")
    case $(realpath -m -- "$1")/ in
        "$place"/*) return 0 ;;
    esac
    return 1
}
