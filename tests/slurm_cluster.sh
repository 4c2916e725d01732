# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# A real SLURM of two nodes on one machine, and two partitions, of which jobs in `urgent` take the
# nodes from those in `main`, the default. Each node is a network namespace with an address, a host
# name and a /dev/shm of its own; the controller is a third host. Nothing of the machine's own SLURM
# or MUNGE, where it has one, is touched. For root alone.
#
#   source slurm_cluster.sh
#   cluster_missing          what this machine lacks for it; empty: nothing
#   cluster_up FOLDER        starts it; from then on sbatch, srun, squeue, ... speak to it
#   cluster_down             takes everything down; fine if nothing is up
#   cluster_begin WHAT       all of it for a test script
#
#   node_processes NODE      the processes on it that are not SLURM's
#   node_kill NODE           the node dies, with all that runs on it
#   node_start NODE          it comes back
#   node_cut NODE, node_join NODE      its network is gone, and there again
#   controller_stop, controller_start  SLURM's controller

cluster_nodes=(pal1 pal2)
cluster_network=10.213.77
cluster_folder=

cluster_missing() {
    local tool
    [ "$(id -u)" = 0 ] || echo "root"
    for tool in slurmctld slurmd sbatch srun munged ip nsenter unshare; do
        command -v "$tool" >/dev/null || echo "$tool"
    done
    unshare --net --uts --mount true 2>/dev/null || echo "network namespaces"
}

# A key and a socket of its own: --force, as the folder is not one of the system's.
cluster_start_munge() {
    local place=$cluster_folder/munge
    mkdir -m 711 "$place"
    head -c 128 /dev/urandom >"$place/key"
    chmod 400 "$place/key"
    munged --force --socket="$place/socket" --key-file="$place/key" --pid-file="$place/pid" \
        --log-file="$place/log" --seed-file="$place/seed"
}

cluster_write_config() {
    local node number=1
    {
        cat <<CONFIG
ClusterName=palimpsest
SlurmctldHost=palctl($cluster_network.1)
SlurmctldPort=27817
SlurmdPort=27818
AuthType=auth/munge
AuthInfo=socket=$cluster_folder/munge/socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$cluster_folder/state
SlurmdSpoolDir=$cluster_folder/spool/%n
TmpFS=$cluster_folder/tmp/%n
SlurmctldPidFile=$cluster_folder/slurmctld.pid
SlurmdPidFile=$cluster_folder/slurmd.%n.pid
SlurmctldLogFile=$cluster_folder/slurmctld.log
SlurmdLogFile=$cluster_folder/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=pmix
JobRequeue=1
ReturnToService=2
SlurmdTimeout=10
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=5
SchedulerParameters=batch_sched_delay=1,sched_interval=2
CONFIG
        for node in "${cluster_nodes[@]}"; do
            number=$((number + 1))
            echo "NodeName=$node NodeAddr=$cluster_network.$number NodeHostname=$node CPUs=4"
        done
        echo "PartitionName=main Nodes=ALL Default=YES PriorityTier=1 GraceTime=20"
        echo "PartitionName=urgent Nodes=ALL PriorityTier=2 PreemptMode=OFF"
    } >"$SLURM_CONF"
}

cluster_start_network() {
    local node number=1
    ip link add palbridge type bridge || return 1
    ip address add "$cluster_network.1/24" dev palbridge
    ip link set palbridge up
    for node in "${cluster_nodes[@]}"; do
        number=$((number + 1))
        ip netns add "$node"
        ip link add "v$node" type veth peer name eth0 netns "$node"
        ip link set "v$node" master palbridge up
        ip -netns "$node" address add "$cluster_network.$number/24" dev eth0
        ip -netns "$node" link set eth0 up
        ip -netns "$node" link set lo up
    done
}

# controller_start [-i]: -i forgets what it knew.
controller_start() { unshare --uts sh -c "hostname palctl && exec slurmctld ${1-}"; }
controller_stop() {
    local process
    process=$(cat "$cluster_folder/slurmctld.pid")
    kill "$process"
    cluster_wait 10 are_gone "$process"
}

node_start() {
    # `ip netns exec` would mount another /sys, in which slurmd does not find its control groups.
    nsenter --net="/run/netns/$1" unshare --mount --uts \
        sh -c "hostname $1 && mount -t tmpfs tmpfs /dev/shm && exec slurmd -N $1"
}

node_processes() {
    local process
    for process in $(ip netns pids "$1"); do
        grep -qE '^(slurmd|slurmstepd)$' "/proc/$process/comm" 2>/dev/null || echo "$process"
    done
}

node_kill() { ip netns pids "$1" | xargs -r kill -KILL 2>/dev/null; }
node_cut() { ip link set "v$1" down; }
node_join() { ip link set "v$1" up; }

# cluster_wait SECONDS COMMAND...: until it succeeds; status 1 when it never does. Tried every
# $cluster_poll seconds, 0.2.
cluster_wait() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep "${cluster_poll:-0.2}"
    done
}

cluster_is_idle() {
    [ "$(sinfo --noheader --partition=main --format=%T 2>/dev/null)" = idle ]
}

cluster_up() {
    local node
    if ip link show palbridge >/dev/null 2>&1; then
        echo "another such cluster is up on this machine" >&2
        return 1
    fi
    cluster_folder=$(realpath "$1")
    export SLURM_CONF=$cluster_folder/slurm.conf
    mkdir "$cluster_folder/state"
    for node in "${cluster_nodes[@]}"; do
        mkdir -p "$cluster_folder/spool/$node" "$cluster_folder/tmp/$node"
    done
    cluster_start_munge && cluster_write_config && cluster_start_network || return 1
    controller_start -i
    for node in "${cluster_nodes[@]}"; do
        node_start "$node"
    done
    cluster_wait 30 cluster_is_idle
}

are_gone() {
    local process
    for process in "$@"; do
        [ ! -e "/proc/$process" ] || return 1
    done
}

cluster_down() {
    local node
    [ -n "$cluster_folder" ] || return 0
    for node in "${cluster_nodes[@]}"; do
        node_kill "$node"
        ip netns delete "$node"
    done
    local daemons
    daemons="$(cat "$cluster_folder/slurmctld.pid") $(cat "$cluster_folder/munge/pid")"
    # shellcheck disable=SC2086
    kill $daemons
    # shellcheck disable=SC2086
    cluster_wait 10 are_gone $daemons # they write into their folder to the end
    ip link delete palbridge
    cluster_folder=
} 2>/dev/null

# cluster_begin WHAT: for scripts that have sourced support.sh. Brings it up in $folder until the
# script ends; else ends the script, with status 77 where this machine lacks something for WHAT.
cluster_begin() {
    local lacking
    lacking=$(cluster_missing | paste -sd ' ')
    if [ -n "$lacking" ]; then
        skip "$1; this machine lacks: $lacking"
        exit 77
    fi
    trap 'cluster_down; clean_up' EXIT
    mkdir "$folder/slurm"
    if ! cluster_up "$folder/slurm"; then
        tail -n 5 "$folder"/slurm/*.log
        check "two nodes are up" false
        finish
        exit 1
    fi
}
