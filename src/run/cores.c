/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/cores.h"

#include <hwloc.h>
#include <omp.h>
#include <stdlib.h>

#include "mpi/collectives.h"
#include "mpi/partition.h"
#include "src/base/fatal.h"
#include "src/base/log.h"

/* Words of a set of processing units as ranks exchange it: room for 4096 of them. */
enum { SET_WORDS = 64 };

typedef struct UnitSet {
    unsigned long words[SET_WORDS];
} UnitSet;

/* The ranks that were started on the same cores as this one. */
typedef struct Sharers {
    int count, place; /* how many, and which of them this rank is */
    bool all_alike;   /* false: some ranks share only a part of their cores */
    bool alone;       /* no two ranks of this node share cores */
} Sharers;

/* With OMP_PROC_BIND and the like OpenMP has pinned this thread before main(), so that the system
 * no longer says what the process was given; OpenMP's places do. */
static bool places_of_openmp(hwloc_bitmap_t units)
{
    if (omp_get_proc_bind() == omp_proc_bind_false) return false;
    for (int place = 0; place < omp_get_num_places(); place++) {
        int count = omp_get_place_num_procs(place);
        int *ids = fatal_calloc((size_t)count + 1, sizeof *ids, "cores of a place");
        omp_get_place_proc_ids(place, ids);
        for (int i = 0; i < count; i++) hwloc_bitmap_set(units, (unsigned)ids[i]);
        free(ids);
    }
    return omp_get_num_places() > 0;
}

/* The cores that this process may use, and nothing else of the machine. Sets *online to the cores
 * that the machine has. */
static hwloc_topology_t usable_cores(int *online)
{
    hwloc_topology_t machine;
    hwloc_bitmap_t usable = hwloc_bitmap_alloc();
    if (usable == NULL || hwloc_topology_init(&machine) != 0 ||
        hwloc_topology_set_io_types_filter(machine, HWLOC_TYPE_FILTER_KEEP_NONE) != 0 ||
        hwloc_topology_set_flags(machine, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED) != 0 ||
        hwloc_topology_load(machine) != 0)
        fatal(PAL_ERROR_INTERNAL, "hwloc cannot read what cores this machine has");
    *online = hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_CORE);
    if (places_of_openmp(usable) || hwloc_get_cpubind(machine, usable, HWLOC_CPUBIND_PROCESS) == 0)
        hwloc_topology_restrict(machine, usable, 0);
    hwloc_bitmap_free(usable);
    return machine;
}

/* Places where a thread can run at full speed: cores, or processing units where the machine does
 * not say what its cores are. */
static hwloc_obj_type_t core_type(hwloc_topology_t cores)
{
    return hwloc_get_nbobjs_by_type(cores, HWLOC_OBJ_CORE) > 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
}

/* Collective over the node. */
static Sharers find_sharers(const Group *node, hwloc_topology_t cores)
{
    UnitSet *sets = fatal_calloc((size_t)node->size, sizeof *sets, "cores of the node's ranks");
    UnitSet *mine = &sets[node->rank];
    hwloc_bitmap_to_ulongs(hwloc_topology_get_topology_cpuset(cores), SET_WORDS, mine->words);
    group_or(node, (unsigned char *)sets, node->size * (int)sizeof *sets);

    Sharers sharers = {.all_alike = true, .alone = true};
    for (int a = 0; a < node->size; a++) {
        for (int b = 0; b < a; b++) {
            bool meet = false, alike = true;
            for (int w = 0; w < SET_WORDS; w++) {
                meet |= (sets[a].words[w] & sets[b].words[w]) != 0;
                alike &= sets[a].words[w] == sets[b].words[w];
            }
            if (!meet) continue;
            sharers.alone = false;
            sharers.all_alike &= alike;
            sharers.count += a == node->rank || b == node->rank;
            sharers.place += a == node->rank;
        }
    }
    sharers.count++;
    free(sets);
    return sharers;
}

/* Local. The calling thread, and all threads that it starts from here on, run on this rank's share
 * of the cores. */
static bool bind_to_share(hwloc_topology_t cores, Range share)
{
    hwloc_bitmap_t units = hwloc_bitmap_alloc();
    if (units == NULL) return false;
    for (int64_t i = share.first; i < share.first + share.count; i++) {
        hwloc_obj_t core = hwloc_get_obj_by_type(cores, core_type(cores), (unsigned)i);
        hwloc_bitmap_or(units, units, core->cpuset);
    }
    bool bound = hwloc_set_cpubind(cores, units, HWLOC_CPUBIND_THREAD) == 0;
    hwloc_bitmap_free(units);
    return bound;
}

Cores cores_take(const Grid *grid, int wanted, bool bind)
{
    int online, ranks = grid->node.size;
    hwloc_topology_t cores = usable_cores(&online);
    int usable = hwloc_get_nbobjs_by_type(cores, core_type(cores));
    Sharers sharers = find_sharers(&grid->node, cores);
    Range share = partition_range(usable, sharers.count, sharers.place);

    /* Sums are cut by threads: replicas take equal steps only with equally many. The longer shares
     * come first, so the last one says how many there are for all. */
    double fewest = -(wanted > 0 ? wanted : usable / sharers.count);
    group_max_double(&grid->world, &fewest, 1);
    Cores taken = {.threads = fewest < -1 ? (int)-fewest : 1, .binding = ""};

    bool placed_by_user = omp_get_proc_bind() != omp_proc_bind_false;
    bool fit = sharers.count * taken.threads <= usable;
    if (placed_by_user && sharers.count > 1)
        log_warn("OMP_PROC_BIND is set and %d ranks share cores: their threads pin themselves to "
                 "the same ones; unset it, or let the launcher bind the ranks (mpirun --map-by "
                 "slot:PE=n, srun --cpu-bind=cores)",
                 sharers.count);
    else if (!fit)
        log_warn("%d x %d threads (ranks x parallel.threads) on %d core%s of this node: expect "
                 "them to wait for each other; start fewer ranks or set parallel.threads",
                 sharers.count, taken.threads, usable, usable == 1 ? "" : "s");
    if (wanted == 0 && fit && sharers.alone && ranks * usable < online)
        log_info("%d rank%s may use %d of the node's %d cores; if that is mpirun's binding, "
                 "--bind-to none or --map-by slot:PE=n gives more",
                 ranks, ranks == 1 ? "" : "s", ranks * usable, online);

    /* One rank that cannot be bound leaves the others free to make room for it. */
    double cannot = !(bind && fit && sharers.all_alike && !placed_by_user);
    group_max_double(&grid->node, &cannot, 1);
    if (ranks > 1 && sharers.alone)
        taken.binding = ", bound by the launcher";
    else if (ranks > 1 && cannot == 0.0 && bind_to_share(cores, share))
        taken.binding = ", each rank on its own cores";
    else if (ranks > 1)
        taken.binding = ", where the launcher put them";
    hwloc_topology_destroy(cores);
    return taken;
}
