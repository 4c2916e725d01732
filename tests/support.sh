# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034
#
# What the scripts that drive the program share; they begin with
#
#   source "$(dirname "$0")/support.sh"     sees the arguments PALIMPSEST MPIRUN...
#
# and then work in $work, an empty folder, beside $inputs, whose files must stay as they are; both
# are removed at the end. `finish` is the last line and gives the verdict.
set -u

sources=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
palimpsest=$(realpath "$1")
launcher=("${@:2}")
if [ ${#launcher[@]} = 0 ]; then
    launcher=(mpirun --allow-run-as-root --oversubscribe --bind-to none)
fi

# Ranks that share cores must not spin; tests need no threads.
export OMP_WAIT_POLICY=passive OMP_NUM_THREADS=1
export LC_ALL=C

folder=$(mktemp -d)
inputs=$folder/inputs
work=$folder/work
mkdir "$inputs" "$work"
cd "$work" || exit 70
mounted=()
shared=
failures=0
checks=0
longest_seconds=60

clean_up() {
    cd /
    local place
    for place in ${mounted[@]+"${mounted[@]}"}; do
        umount "$place" 2>/dev/null
    done
    rm -rf "$folder" ${shared:+"$shared"}
}
trap clean_up EXIT

# For tests that kill ranks: these leave the memory that they share, here in a folder of its own that
# is removed at the end.
share_memory_apart() {
    shared=$(mktemp -d /dev/shm/palimpsest.XXXXXX 2>/dev/null) || return 0
    export OMPI_MCA_btl_vader_backing_directory=$shared
}

# bad WHAT...: counts a failure and shows what the last run printed.
bad() {
    failures=$((failures + 1))
    printf 'FAILED: %s\n' "$*"
    if [ -f "$folder/out" ]; then
        sed 's/^/    out: /' "$folder/out" | cut -c 1-400 | head -n 8
        sed 's/^/    err: /' "$folder/err" | cut -c 1-400 | head -n 20
    fi
}

# check WHAT COMMAND...: the command must succeed.
check() {
    local what=$1
    shift
    checks=$((checks + 1))
    "$@" || bad "$what"
}

# file_says FILE WORDS...: it has all of them, else the end of it is shown.
file_says() {
    local file=$1 word
    shift
    for word in "$@"; do
        checks=$((checks + 1))
        grep -qF -- "$word" "$file" || {
            bad "$file does not say: $word"
            tail -n 8 "$file" | cut -c 1-200 | sed 's/^/    log: /'
        }
    done
}

# losses RUN: all that a training has logged, with every bit.
losses() { grep -oE '"(update|loss|compression_loss|nats)": [^,]*' "$1/metrics.jsonl"; }

skip() {
    printf 'skipped: %s\n' "$*"
}

finish() {
    printf '%d checks, %d failed, %d s\n' "$checks" "$failures" "$SECONDS"
    [ "$failures" = 0 ]
}

# run RANKS ARGUMENTS...: the program on so many ranks (1: without mpirun). Sets $status; its output
# is in $folder/out and $folder/err.
run() {
    local start=()
    if [ "$1" != 1 ]; then
        start=("${launcher[@]}" -n "$1")
    fi
    shift
    status=0
    timeout --kill-after=5 "$longest_seconds" ${start[@]+"${start[@]}"} "$palimpsest" "$@" \
        >"$folder/out" 2>"$folder/err" </dev/null || status=$?
}

# must RANKS ARGUMENTS...: a run that has to succeed.
must() {
    run "$@"
    checks=$((checks + 1))
    [ "$status" = 0 ] || bad "status $status of: palimpsest ${*:2} (on $1 ranks)"
}

# Everything in $work and $inputs, with sizes.
listing() {
    find "$work" "$inputs" -printf '%p %y %s\n' | sort
}

# The one message of a failed run has these words, and nothing else went wrong on the way.
has_one_message() {
    local lines word
    lines=$(grep -c '^palimpsest: ' "$folder/err")
    if [ "$lines" != 1 ]; then
        echo "    $lines messages instead of one"
        return 1
    fi
    local noise='HDF5-DIAG|MPI_ABORT|Sanitizer|runtime error|Signal:|rank [0-9]+:'
    if grep -qE "$noise" "$folder/err"; then
        echo "    noise of a library, or a crash"
        return 1
    fi
    for word in "$@"; do
        if ! grep '^palimpsest: ' "$folder/err" | grep -qF -- "$word"; then
            echo "    the message does not say '$word'"
            return 1
        fi
    done
}

# take_words WORDS... -- ANYTHING...: into the array $words of the caller, who then shifts.
take_words() {
    words=()
    while [ "$1" != -- ]; do
        words+=("$1")
        shift
    done
}

# ended STATUS WHERE ARGUMENTS...: the last run, of these arguments, ended so, with a message that
# has all $words.
ended() {
    local expected=$1 where=$2
    shift 2
    checks=$((checks + 1))
    if [ "$status" != "$expected" ]; then
        bad "status $status instead of $expected on $where: $*"
    elif ! has_one_message "${words[@]}"; then
        bad "message on $where: $*"
    else
        return 0
    fi
    return 1
}

# refused STATUS WORDS... -- ARGUMENTS...: on every number of ranks in $on (default 1) the program
# ends with this status, says so once with these words, and leaves all files as they were. With
# PALIMPSEST_TESTS_SHORT, which is set where every start is slow, only on the last of them.
refused() {
    local expected=$1 words before ranks
    shift
    take_words "$@"
    shift $((${#words[@]} + 1))
    local numbers=${on:-1}
    if [ -n "${PALIMPSEST_TESTS_SHORT:-}" ]; then
        numbers=${numbers##* }
    fi
    for ranks in $numbers; do
        before=$(listing)
        run "$ranks" "$@"
        ended "$expected" "$ranks ranks" "$@" || continue
        if [ "$(listing)" != "$before" ]; then
            diff <(echo "$before") <(listing)
            bad "left something behind on $ranks ranks: $*"
        fi
    done
}

# ---- a small text and a small model --------------------------------------------------------------

# some_text BYTES: always the same letters.
some_text() {
    awk -v bytes="$1" 'BEGIN {
        split("the whale sea and of old a ship night wind Ahab said upon dark water", words, " ")
        state = 1
        for (n = 0; n < bytes; n += length(word) + 1) {
            state = (state * 16807) % 2147483647
            word = words[state % 15 + 1]
            printf "%s ", word
        }
    }' | head -c "$1"
}

# write_text FOLDER: a few documents in the layout of PG-19.
write_text() {
    mkdir -p "$1"/{train,validation,test}
    local length name=100
    for length in 700 130 260 64 401 333; do
        name=$((name + 1))
        some_text $length >"$1/train/$name.txt"
    done
    some_text 150 >"$1/validation/201.txt"
    some_text 203 >"$1/test/301.txt"
    some_text 61 >"$1/test/302.txt"
}

# write_config FILE DATA [KEY=VALUE...]: the tiny model, with other values for some keys
# (section.key) or more keys.
write_config() {
    local file=$1 data=$2
    shift 2
    printf '%s\n' model.layers=2 model.width=8 model.heads=2 model.feed_forward=16 model.window=8 \
        model.memory=8 model.compressed_memory=4 model.compression_rate=4 "data.path=$data" \
        batch.rows=2 train.updates=3 train.seed=1 train.lr_peak=3e-3 train.warmup=2 \
        train.log_every=1 train.evaluate_every=0 parallel.threads=1 "$@" | awk -F= '{
        key = $1; sub(/^[^=]*=/, ""); value[key] = $0
        if (!(key in seen)) { order[++count] = key; seen[key] = 1 }
    } END {
        for (i = 1; i <= count; i++) {
            split(order[i], part, ".")
            lines[part[1]] = lines[part[1]] part[2] " = " value[order[i]] "\n"
        }
        for (section in lines) printf "[%s]\n%s", section, lines[section]
    }' >"$file"
}

# prepare_inputs: $inputs/text, data.h5, tiny.ini and a trained run in $inputs/run.
prepare_inputs() {
    write_text "$inputs/text"
    must 1 prepare "$inputs/text" -o "$inputs/data.h5"
    write_config "$inputs/tiny.ini" "$inputs/data.h5"
    must 1 train "$inputs/tiny.ini" --run "$inputs/run"
    if [ "$failures" != 0 ]; then
        echo "nothing works; giving up"
        exit 1
    fi
}
