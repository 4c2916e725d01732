#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What the job scripts decide and understand, without SLURM: the verdict on every exit status, and
# the arguments of `palimpsest train`.
#
#   tests/test_policy.sh build/palimpsest
source "$(dirname "$0")/support.sh"
source "$sources/jobs/arguments.sh"
source "$sources/jobs/policy.sh"
export SLURM_JOB_ID=9 SLURM_JOB_NAME=mine
source "$sources/jobs/job.sh"

# gives WANTED COMMAND...: it prints that.
gives() {
    local wanted=$1 found
    shift
    found=$("$@" 2>>messages)
    check "$* gives '$found' instead of '$wanted'" [ "$found" = "$wanted" ]
}

# ---- arguments -----------------------------------------------------------------------------------

gives r run_folder c.ini --run r
gives r run_folder -run=r c.ini
gives r run_folder --set x.y=z c.ini --run a --run r
gives runs/c run_folder --resume f some/c.ini
gives 'two words' run_folder c.ini --run 'two words'
gives ./-y run_folder c.ini --run=-y
printf '[train]\nupdates = 10\n[jobs]\nmax_failures = 4\n' >c.ini
gives 4 most_failures c.ini
gives 7 most_failures c.ini --set train.lr_peak=1 --set=jobs.max_failures=7
gives 7 most_failures c.ini --set ' jobs.max_failures = 7 '
gives 3 most_failures missing.ini
printf '[jobs]\n\tmax_failures\t= 5\n' >tabs.ini
gives 5 most_failures tabs.ini
gives "" each_option run c.ini --run
arguments=(c.ini --resume f --set a.b=c --resume=g -resume h 'two words')
without_resume
gives 'c.ini --set a.b=c two words' echo "${arguments[*]}"
check "four arguments" [ ${#arguments[@]} = 4 ]

# ---- verdicts ------------------------------------------------------------------------------------

saves() { touch "$(printf 'r/checkpoints/step-%08d.h5' "$1")"; }
begin() {
    rm -rf r
    mkdir -p r/checkpoints
    cp c.ini r/config.ini
}
stopped_says() { check "stopped.txt says: $*" grep -qF -- "$*" r/stopped.txt; }

begin
for status in 64 65 76 78; do
    gives doomed judge r $status "wrong $status" 3 -1
    stopped_says "  job 9 (mine): status $status: wrong $status"
done

begin
saves 5
gives again judge r 75 stopped 1 -1 # stops that have brought something are no failures
saves 6
gives again judge r 75 stopped 1 5
gives doomed judge r 75 stopped 1 6
stopped_says "1 starts in a row without a checkpoint after update 6"

begin
for status in 1 70 71 73 74 137; do
    saves $status # each fails, but comes further
    gives again judge r $status failed 1 -1
done
gives again judge r 137 "one" 2 137
gives doomed judge r 137 "the last" 2 137
stopped_says "after update 137 (-1: none); the last one had status 137: the last"

begin
gives again judge r 1 failed 2 -1
gives doomed judge r 1 failed 2 -1
stopped_says "after update -1"

begin
saves 5 # by another job
gives again judge r 1 failed 2 5
gives doomed judge r 1 failed 2 5

begin
saves 5
gives again judge r 1 failed 2 5
saves 6 # by a start that nobody has judged: its node died
gives again judge r 1 failed 2 6
gives doomed judge r 1 failed 2 6

begin
echo "1 -1 8" >r/failures.txt # of another job
gives again judge r 1 failed 2 -1
gives doomed judge r 1 failed 2 -1

begin
export SLURM_JOB_NAME=palimpsest-chain-r
gives again judge r 1 failed 2 -1
job=10
gives doomed judge r 1 failed 2 -1
export SLURM_JOB_NAME=mine job=9

begin
mkdir r/failures.txt.part # as on a full disk
gives again judge r 73 "disk full" 2 -1
restarts=1 gives doomed judge r 73 "disk full" 2 -1
stopped_says "status 73: disk full"
saves 5
restarts=2 gives again judge r 73 "disk full" 2 -1

begin
echo 'no numbers' >r/failures.txt
gives again judge r 1 failed 2 -1

begin
gives again judge r 0 "" 3 -1 # the launcher is mistaken
saves 10
gives "done" judge r 0 "" 3 -1
check "nothing is counted any more" [ ! -e r/failures.txt ]

begin
saves 10
echo "1 10 9" >r/failures.txt
echo old >r/stopped.txt
cp -r r before
for most in 1 2; do
    gives busy judge r 72 "somebody writes" $most 10
done
check "another job's folder is left as it was" diff -r before r

begin
for status in 75 1 0; do
    echo old >r/stopped.txt
    saves 10
    judge r $status stopped 9 10 >/dev/null 2>&1
    check "what goes on after $status has not stopped" [ ! -e r/stopped.txt ]
done

begin
saves 6
gives again judge r 75 stopped 1 -1
rm r/checkpoints/*
saves 5
gives again judge r 75 "after a rewind" 1 6

# ---- checkpoints ---------------------------------------------------------------------------------

begin
gives -1 newest_step r
gives -1 newest_step missing
saves 0
touch r/checkpoints/{step-00000900.h5.part,latest,step-x.h5}
gives 0 newest_step r
saves 99999999
saves 100000001
gives 100000001 newest_step r
mv r/checkpoints elsewhere
ln -s ../elsewhere r/checkpoints
gives 100000001 newest_step r
rm -r elsewhere

# ---- the time limit ------------------------------------------------------------------------------

source "$sources/jobs/launch.sh"

# at_limit STATUS STARTED_AT: what it makes of a command that was started then.
at_limit() {
    status=$1 started_at=$2 message=before ended=nowhere
    at_time_limit
    echo "$status $message"
}
limit="71 the time limit came before training had stopped"
gives "75 before" at_limit 75 ""
gives "$limit" at_limit 75 $SECONDS
gives "72 before" at_limit 72 ""
gives "72 before" at_limit 72 $SECONDS
gives "$limit" at_limit 72 $((SECONDS - 61))

# ---- messages ------------------------------------------------------------------------------------

cat >errors <<'END'
srun: job 9 queued
watchdog: no reports
watchdog: rank 1 on n2 hangs
palimpsest: first
palimpsest: second
srun: error: n1: task 0: Exited
END
gives 'palimpsest: first' message_of errors
sed -i '/^palimpsest/d' errors
gives 'watchdog: rank 1 on n2 hangs' message_of errors
sed 's/^/ 0: /' errors >labelled
gives ' 0: watchdog: rank 1 on n2 hangs' message_of labelled
sed -i '/^watchdog/d' errors
gives 'srun: job 9 queued' message_of errors
: >errors
gives 'no message' message_of errors
finish
