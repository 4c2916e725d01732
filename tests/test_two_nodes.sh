#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Ranks on two nodes, unequally many: all choose the same grid, tensor groups stay within a node
# where the choice is the program's, and results are those of one node. The nodes are two daemons of
# Open MPI on this machine, which believe that they are far from each other.
#
#   tests/test_two_nodes.sh build/palimpsest
source "$(dirname "$0")/support.sh"

cat >"$folder/agent" <<'SH'
#!/bin/sh
# HOST COMMAND...: starts a daemon here, whatever the host.
shift
exec sh -c "$*"
SH
chmod +x "$folder/agent"

# on_nodes HOSTS: sets how `run` starts ranks from now on. (Segments of shared memory have the names
# of hosts, so the two would take them from each other: messages go by TCP.)
on_nodes() {
    launcher=(mpirun --allow-run-as-root --bind-to none --host "$1"
        --mca plm_rsh_agent "$folder/agent" --mca plm_rsh_no_tree_spawn 1
        --mca oob_tcp_if_include lo --mca btl_tcp_if_include lo --mca btl self,tcp)
}

# must_on_nodes RANKS ARGUMENTS...: as `must`. Two daemons of one machine may lose each other before
# any rank has started, and mpirun then waits for ever; nothing has been printed by then. So once
# more.
must_on_nodes() {
    run "$@"
    for again in 1 2; do
        [ "$status" = 124 ] && [ ! -s "$folder/out" ] || break
        skip "try $again: the daemons did not start the ranks"
        run "$@"
    done
    checks=$((checks + 1))
    [ "$status" = 0 ] || bad "status $status of: palimpsest ${*:2} (on $1 ranks)"
}

says() { grep -qF -- "$*" "$folder/out" "$folder/err"; }
same_losses() { diff <(losses "$1") <(losses "$2"); }

on_nodes nodea:3,nodeb:1
for try in 1 2 3; do # for the same reason
    timeout 20 "${launcher[@]}" -n 4 true >"$folder/out" 2>&1 && break
    if [ $try = 3 ]; then
        skip "this MPI library does not start daemons so"
        exit 77
    fi
done

write_text "$inputs/text"
must 1 prepare "$inputs/text" -o "$inputs/data.h5"
write_config "$inputs/one_row.ini" "$inputs/data.h5" model.layers=4 batch.rows=1
write_config "$inputs/rows.ini" "$inputs/data.h5" model.layers=4 model.heads=4 model.window=16 \
    model.memory=16 batch.rows=4 \
    train.updates=6

# With three ranks on one node and one on the other, no two ranks of each could be a tensor group.
must_on_nodes 4 train "$inputs/one_row.ini" --run unequal
check "three and one: no tensor group" says "data 1 x pipeline 4 x tensor 1"

on_nodes nodea:2,nodeb:2
must_on_nodes 4 train "$inputs/one_row.ini" --run equal
check "two and two: a tensor group on each node" \
    says "data 1 x pipeline 2 x tensor 2, each tensor group within one node"

# A tensor group across nodes is done as asked, with a warning.
must_on_nodes 4 train "$inputs/rows.ini" --run across --set parallel.tensor=4
check "a tensor group across nodes is warned about" says "warning: a tensor group spans nodes"

# The way of the messages is no part of the result; nor is it of a checkpoint.
must_on_nodes 4 train "$inputs/rows.ini" --run nodes --set parallel.data=2 --set parallel.tensor=2 \
    --set train.updates=4 --set train.decay=6
must_on_nodes 4 train "$inputs/rows.ini" --run nodes --set parallel.data=2 --set parallel.tensor=2 \
    --set train.decay=6
launcher=(mpirun --allow-run-as-root --oversubscribe --bind-to none)
must 4 train "$inputs/rows.ini" --run one_node --set parallel.data=2 --set parallel.tensor=2 \
    --set train.decay=6
check "two nodes and one have the same losses" same_losses nodes one_node
must 2 verify nodes

finish
