#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Checkpoints that a run cannot go on from: each refused with one message and its status, or passed
# over for the one before; and what a killed save has left.
#
#   tests/test_wrong_checkpoint.sh build/palimpsest [MPIRUN...]
source "$(dirname "$0")/support.sh"

python=
for candidate in python3 /usr/bin/python3; do
    [ -z "$python" ] && $candidate -c 'import h5py' 2>/dev/null && python=$candidate
done

# Flips a bit in the middle of the first row of the largest tensor, the embedding.
damage() {
    $python - "$1" <<'PYTHON' 2>"$folder/err"
import sys
import h5py
with h5py.File(sys.argv[1]) as file:
    place = file["weights/embedding/table"].id.get_offset() + 40
with open(sys.argv[1], "r+b") as file:
    file.seek(place)
    byte = file.read(1)
    file.seek(place)
    file.write(bytes([byte[0] ^ 1]))
PYTHON
}

# copy_run: a run of six updates with checkpoints of 2, 4 and 6 in r.
copy_run() {
    rm -rf r
    cp -r "$inputs/six" r
}

warns() { grep -qF -- "$*" "$folder/err"; }
says() { grep -qF -- "$*" "$folder/out"; }
resume() { must 2 train "$inputs/tiny.ini" --run r --set train.updates=8 "$@"; }

prepare_inputs
must 1 train "$inputs/tiny.ini" --run "$inputs/six" --set train.updates=6 \
    --set checkpoint.every=2 --set checkpoint.keep=3
six=$inputs/six/checkpoints

# ---- what is refused ----------------------------------------------------------------------------

write_text "$inputs/other"
printf 'more' >>"$inputs/other/train/101.txt"
must 1 prepare "$inputs/other" -o "$inputs/other.h5"
on="1 2"
refused 66 "nothing.h5" "no such checkpoint" -- \
    train "$inputs/tiny.ini" --run r --resume nothing.h5
refused 65 "is a data file" -- train "$inputs/tiny.ini" --run r --resume "$inputs/data.h5"
refused 78 "batch.rows = 3" "saved with 2" -- \
    train "$inputs/tiny.ini" --run "$inputs/six" --set batch.rows=3
refused 78 "model.width = 16" "saved with 8" -- \
    train "$inputs/tiny.ini" --run "$inputs/six" --set model.width=16
refused 78 "model.compression = mean" "saved with conv" -- \
    train "$inputs/tiny.ini" --run "$inputs/six" --set model.compression=mean \
    --set model.compression_loss=none
refused 78 "model.layers = 3" "saved with 2" -- \
    train "$inputs/tiny.ini" --run r --resume "$inputs/six" --set model.layers=3
refused 65 "another text" "other.h5" -- \
    train "$inputs/tiny.ini" --run "$inputs/six" --set "data.path=$inputs/other.h5"
refused 64 "holds a run already" "--resume auto" -- \
    train "$inputs/tiny.ini" --run "$inputs/six" --resume none
refused 64 "holds a run already" "is no checkpoint" "--run" -- \
    train "$inputs/tiny.ini" --run "$inputs/run" --resume "$inputs/six"
cp "$inputs/data.h5" data.h5
echo precious >mine.safetensors
cp -r "$inputs/six" r
refused 73 "data.h5" "is a data file" "would be lost" -- convert "$inputs/six" -o data.h5
refused 73 "mine.safetensors" "would be lost" -- convert "$inputs/six" -o mine.safetensors
refused 73 "step-00000004.h5" "is a checkpoint" -- \
    convert r -o r/checkpoints/step-00000004.h5
rm -r data.h5 mine.safetensors r
must 1 train "$inputs/tiny.ini" --run "$inputs/half" --set model.compressed_memory=0,4
refused 78 "model.compressed_memory = 4" "layer 0" "leave it 0" -- \
    train "$inputs/tiny.ini" --run "$inputs/half" --set train.updates=8

# ---- damaged files ------------------------------------------------------------------------------

if [ -n "$python" ]; then
    must 2 verify "$inputs/six"
    check "verify says that it is whole" says "step-00000006.h5: whole"
    copy_run
    damage r/checkpoints/step-00000006.h5
    echo before >r/checkpoints/step-00000006.h5.unusable
    words=("step-00000006.h5" "is damaged" "/weights/embedding/table")
    for ranks in 1 2; do
        run $ranks verify r
        ended 65 "$ranks ranks" verify r
        run $ranks train "$inputs/tiny.ini" --run other --resume r
        ended 65 "$ranks ranks" train --resume r
        check "nothing is made" [ ! -e other ]
        run $ranks evaluate r --data "$inputs/data.h5"
        ended 65 "$ranks ranks" evaluate r
    done
    run 1 generate r --tokens 3
    ended 65 "1 rank" generate r
    resume
    check "the damaged one is named" warns "step-00000006.h5: is damaged"
    check "the one before is taken" says "resumed from r/checkpoints/step-00000004.h5"
    check "the damaged one is set aside" [ -s r/checkpoints/step-00000006.h5.unusable.2 ]
    check "and replaces none" grep -qx before r/checkpoints/step-00000006.h5.unusable
    check "and does not count as one that is kept" \
        [ "$(ls r/checkpoints)" = "$(printf '%s\n' latest step-00000004.h5 \
            step-00000006.h5.unusable step-00000006.h5.unusable.2 step-00000008.h5)" ]
    check "every update is logged once" \
        [ "$(grep -o '"update": [0-9]*' r/metrics.jsonl | sort -u | wc -l)" = 8 ]
    check "no update is logged twice" [ "$(wc -l <r/metrics.jsonl)" = 8 ]

    copy_run
    for update in 2 4 6; do
        damage "r/checkpoints/step-0000000$update.h5"
    done
    words=("none of the 3 checkpoints" "step-00000006.h5" "--run")
    run 2 train "$inputs/tiny.ini" --run r
    ended 65 "2 ranks" train "with damaged checkpoints alone"

    # A file of another version of the format.
    copy_run
    $python -c 'import h5py; h5py.File("r/checkpoints/step-00000006.h5", "a").attrs["version"] = 1'
    words=("step-00000006.h5" "version 1" "reads 7")
    run 2 evaluate r/checkpoints/step-00000006.h5 --data "$inputs/data.h5"
    ended 76 "2 ranks" evaluate "a file of version 1"
    run 2 train "$inputs/tiny.ini" --run r --set train.updates=8
    ended 76 "2 ranks" train "a run with a file of version 1"
    check "it is not set aside" [ "$(ls r/checkpoints)" = "$(ls "$six")" ]
else
    skip "damaged files need h5py"
fi

copy_run
cp r/checkpoints/step-0000000{4,7}.h5
resume
check "a file of another update than its name says is named" \
    warns "step-00000007.h5: is the checkpoint of update 4"
check "it is passed over" says "resumed from r/checkpoints/step-00000006.h5"
copy_run
rm r/checkpoints/step-0000000[26].h5
mv r/checkpoints/step-0000000{4,7}.h5
words=("none of the 1 checkpoints" "step-00000007.h5: is the checkpoint of update 4")
run 2 train "$inputs/tiny.ini" --run r
ended 65 "2 ranks" train "with such a file alone"
words=("step-00000007.h5: is the checkpoint of update 4" "call it step-00000004.h5")
run 2 train "$inputs/tiny.ini" --run r --resume r/checkpoints/step-00000007.h5
ended 65 "2 ranks" train "--resume of such a file"
check "it stays" [ -f r/checkpoints/step-00000007.h5 ]

copy_run
truncate -s -1 r/checkpoints/step-00000006.h5
: >r/checkpoints/step-00000004.h5
resume
check "cut and empty files are passed over" says "resumed from r/checkpoints/step-00000002.h5"

# ---- folders ------------------------------------------------------------------------------------

copy_run
ln -sfn step-00000099.h5 r/checkpoints/latest
resume
check "a pointer to nowhere is named" says "latest: points to step-00000099.h5"
check "the highest step is taken" says "resumed from r/checkpoints/step-00000006.h5"

copy_run
rm r/checkpoints/step-*
words=("latest: points to step-00000006.h5" "--resume none")
run 2 train "$inputs/tiny.ini" --run r
ended 66 "2 ranks" train "without the files that it had"
check "its lines stay" [ "$(wc -l <r/metrics.jsonl)" = 6 ]
"$palimpsest" train "$inputs/tiny.ini" --run r --resume none --set train.updates=1000000 \
    --set checkpoint.every=1000000 >"$folder/out" 2>"$folder/err" &
job=$!
for _ in {1..300}; do
    [ "$(wc -l <r/metrics.jsonl)" -le 6 ] || break
    sleep 0.1
done
kill -KILL $job
wait $job 2>/dev/null
must 1 train "$inputs/tiny.ini" --run r --set train.updates=1
check "what was given up is forgotten" [ "$(wc -l <r/metrics.jsonl)" = 1 ]

copy_run
resume --set checkpoint.every=3 --set checkpoint.memory_type=bfloat16
check "keys that change are named" says "resuming: checkpoint.every = 3, when it was saved 2"
resume --set train.updates=9
check "rounded memory is" says "has the memory as bfloat16"

copy_run
rm r/metrics.jsonl
resume
check "lines that are lost are named" warns "has no lines of updates 1 to 6"

copy_run
rm r/checkpoints/latest
resume
check "no pointer is needed" says "resumed from r/checkpoints/step-00000006.h5"

copy_run
ln -sfn step-00000002.h5 r/checkpoints/latest
resume --set train.updates=3
check "where latest points is said" says "latest: points to step-00000002.h5"
check "the newest counts" says "resumed from r/checkpoints/step-00000006.h5"
check "latest points to it" [ "$(readlink r/checkpoints/latest)" = step-00000006.h5 ]

copy_run
ln -sfn ./step-00000004.h5 r/checkpoints/latest
must 1 verify r
check "readers go by latest, however it is spelled" says "step-00000004.h5: whole"

# It cannot be moved: then the highest step counts, and old ones go as always.
copy_run
rm r/checkpoints/latest
mkdir r/checkpoints/latest
resume --set checkpoint.every=1
check "that latest cannot be moved is said" warns "latest: cannot be pointed to step-00000008.h5"
check "it is saved all the same" says "saved r/checkpoints/step-00000008.h5"
check "old ones are removed" \
    [ "$(cd r/checkpoints && echo step*)" = "step-00000007.h5 step-00000008.h5" ]

# On from an older one, to its end at once: the later ones are of a branch that was left.
copy_run
must 2 train "$inputs/tiny.ini" --run r --resume ./r/checkpoints/step-00000002.h5 \
    --set train.updates=2
resume
check "the branch goes on" says "resumed from r/checkpoints/step-00000002.h5"
check "later ones are left under another name" [ "$(ls r/checkpoints)" = "$(printf '%s\n' latest \
    step-00000002.h5 step-00000004.h5.left step-00000006.h5.left step-00000008.h5)" ]
check "every update of it is logged" \
    [ "$(grep -o '"update": [0-9]*' r/metrics.jsonl | tr -dc '0-9')" = 12345678 ]

on=1 refused 64 "step-00000004.h5.left" "take what stands after .h5 from the name" -- \
    train "$inputs/tiny.ini" --run r --resume r/checkpoints/step-00000004.h5.left

# Where the start of a branch fails, the run is as it was.
for culprit in config.ini log.txt; do
    copy_run
    rm r/$culprit
    mkdir r/$culprit
    files=$(ls r/checkpoints)
    words=("$culprit" "Is a directory")
    run 2 train "$inputs/tiny.ini" --run r --resume r/checkpoints/step-00000002.h5
    check "$culprit cannot be written: status $status" [ "$status" = 73 -o "$status" = 74 ]
    ended "$status" "2 ranks" train "where $culprit cannot be written"
    check "all checkpoints stay" [ "$(ls r/checkpoints)" = "$files" ]
    check "all metrics stay" cmp r/metrics.jsonl "$inputs/six/metrics.jsonl"
done

copy_run
must 1 train "$inputs/tiny.ini" --run r --resume r/checkpoints/step-00000004.h5 \
    --set train.updates=2
check "that nothing is left to do is said" says "nothing is left to train"

copy_run
resume --set model.compressed_memory=0
check "weights that are left are named" warns "weights for compressed memory are in no checkpoint"

# On from another run's: that is this run's first one, and nobody else's metrics are its own.
mkdir branch
cp "$inputs/six/metrics.jsonl" branch
must 2 train "$inputs/tiny.ini" --run branch --resume "$inputs/six" --set train.updates=7
check "its metrics are its own" [ "$(grep -o '"update": [0-9]*' branch/metrics.jsonl)" = '"update": 7' ]
check "it has the checkpoint that it begins with" [ "$(ls branch/checkpoints)" = "$(printf '%s\n' latest \
    step-00000006.h5 step-00000007.h5)" ]
rm -r branch

# Names that are not quite those of checkpoints.
copy_run
cp "$six/step-00000002.h5" r/checkpoints/step-8.h5
cp "$six/step-00000002.h5" r/checkpoints/step-0008.h5
: >r/checkpoints/step-99999999999999999999.h5
mkdir r/checkpoints/step-00000007.h5
must 1 verify r
resume
check "the newest stays" [ -f r/checkpoints/step-00000008.h5 ]
check "and one before it" [ -f r/checkpoints/step-00000006.h5 ]
check "and what was not of this program" [ -f r/checkpoints/step-8.h5 ]

# Lines of metrics that somebody has spoiled or removed.
copy_run
sed -i '3s/.*/garbage/' r/metrics.jsonl
resume
check "a foreign line is named" warns "1 of its lines are not of this program"
check "the lines after it stay" [ "$(grep -c '"kind": "train"' r/metrics.jsonl)" = 7 ]
copy_run
sed -i '4,$d' r/metrics.jsonl
resume
check "lines that are missing are named" warns "has no lines of updates 4 to 6"

copy_run
head -c 5000 "$six/step-00000006.h5" >r/checkpoints/step-00000008.h5.part
ln -s step-00000008.h5 r/checkpoints/latest.part
cp "$six/step-00000006.h5" r/checkpoints/mine.h5.part
cp "$six/step-00000006.h5" r/checkpoints/step-00000006.h5.partner
printf '{"kind": "train", "upda' >>r/metrics.jsonl
resume
check "what a killed save has left is removed" [ ! -e r/checkpoints/latest.part ]
for name in mine.h5.part step-00000006.h5.partner; do
    check "and not $name" cmp "$six/step-00000006.h5" r/checkpoints/$name
done
check "half a line of metrics is removed" [ "$(grep -c '^{.*}$' r/metrics.jsonl)" = 8 ]

mkdir lost
ln -s /dev/full lost/metrics.jsonl
run 1 train "$inputs/tiny.ini" --run lost --set train.updates=1000000 --set train.minutes=0.002
check "lost lines: status $status" [ "$status" = 75 ]
check "lost lines of metrics are counted at an early end" warns "lines could not be written"

# MPI-IO may take the beginning of such a name for something else.
cp -r "$inputs/six" "$inputs/at:noon"
refused 78 "at:noon" "without ':'" "checkpoint.transfer = direct" -- \
    train "$inputs/tiny.ini" --run "$inputs/at:noon" --set checkpoint.transfer=collective
must 2 train "$inputs/tiny.ini" --run "$inputs/at:noon" --set train.updates=7

# Saved into a folder that cannot be written any more: the run goes on, its end says so.
# goes_on RANKS WORDS...: from r, for two more updates, none of which can be saved.
goes_on() {
    local ranks=$1
    shift
    words=("step-00000008.h5" "$@")
    run "$ranks" train "$inputs/tiny.ini" --run r --set train.updates=8 --set checkpoint.every=1
    ended "$expected" "$ranks ranks" train "where nothing can be saved: $*"
    check "it goes on after the first save that failed" warns "no checkpoint of update 7"
    check "every update is logged" [ "$(grep -c '"kind": "train"' r/metrics.jsonl)" = 8 ]
    check "what was saved before stays" cmp "$six/step-00000006.h5" r/checkpoints/step-00000006.h5
}

copy_run
if [ "$(id -u)" = 0 ] && mount --bind r/checkpoints r/checkpoints 2>/dev/null; then
    mounted+=("$work/r/checkpoints")
    mount -o remount,bind,ro r/checkpoints
    for ranks in 1 2; do
        expected=73 goes_on $ranks "Read-only file system"
        cp "$inputs/six/metrics.jsonl" r/metrics.jsonl
    done
    umount r/checkpoints
else
    skip "a read-only folder: no permission to mount one"
fi

# Files may have 20 MiB, which is enough for what MPI libraries make, and too little for this one.
copy_run
limit=$(ulimit -S -f)
ulimit -S -f 20480
words=("step-00000008.h5" "File too large")
run 1 train "$inputs/tiny.ini" --run r --set train.updates=8 --set checkpoint.every=1 \
    --set model.memory=65536 --set model.compressed_memory=65536
ulimit -S -f "$limit"
ended 74 "1 rank" train "where files may not grow"
check "it goes on after the first save that failed" warns "no checkpoint of update 7"

copy_run
chmod a-w r/checkpoints
if [ "$(id -u)" != 0 ]; then
    expected=73 goes_on 2 "Permission denied"
elif setpriv --reuid=65534 --clear-groups test -x "$palimpsest" 2>/dev/null; then
    # Root may write anywhere; nobody may write into a folder of root.
    chmod -R a+rX "$folder" && chmod -R a+w r && chmod a-w r/checkpoints
    cat >"$folder/as-nobody" <<SCRIPT
#!/bin/sh
export TMPDIR=/tmp OMPI_MCA_orte_tmpdir_base=/tmp
exec setpriv --reuid=65534 --clear-groups "$palimpsest" "\$@"
SCRIPT
    chmod a+rx "$folder/as-nobody"
    as_root=$palimpsest
    palimpsest=$folder/as-nobody
    expected=73 goes_on 1 "Permission denied"
    # What cannot be read is neither absent nor damaged.
    for place in r/checkpoints r/checkpoints/step-00000006.h5; do
        copy_run
        chown -R 65534 r
        chmod a-r $place
        on=1 refused 66 "$place" "Permission denied" -- \
            train "$inputs/tiny.ini" --run r --set train.updates=8
    done
    palimpsest=$as_root
else
    skip "a folder of somebody else: no way to run as another user"
fi
chmod -R u+w r

# A run that is at its end has nothing to do.
copy_run
must 2 train "$inputs/tiny.ini" --run r --set train.updates=6
check "its files stay" cmp "$six/step-00000006.h5" r/checkpoints/step-00000006.h5
finish
