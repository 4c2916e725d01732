/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "src/run/machine.h"

#include <omp.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "mpi/collectives.h"
#include "src/base/log.h"
#include "src/base/statistics.h"
#include "src/base/timer.h"

enum { PRODUCT_SIZE = 1024, MOST_RUNS = 64 };

/* The cores that any rank of this node may use. Collective over the node. */
static int cores_of_node(const Grid *grid)
{
    cpu_set_t cores;
    CPU_ZERO(&cores);
    if (sched_getaffinity(0, sizeof cores, &cores) != 0) return omp_get_num_procs();
    group_or(&grid->node, (unsigned char *)&cores, sizeof cores);
    return CPU_COUNT(&cores);
}

int machine_threads(const Grid *grid, int wanted)
{
    int ranks = grid->node.size;
    int usable = omp_get_num_procs(); /* by this process: its own binding counts */
    int together = cores_of_node(grid);
    bool bound = ranks > 1 && together >= ranks * usable; /* each rank has cores of its own */
    int share = bound ? usable : together / ranks;
    int threads = wanted > 0 ? wanted : share > 0 ? share : 1;
    if (threads > (bound ? usable : together / ranks))
        log_warn("%d x %d threads (ranks x parallel.threads) on %d cores of this node: expect them "
                 "to wait for each other; start fewer ranks or set parallel.threads",
                 ranks, threads, together);
    int online = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (wanted == 0 && together < online && ranks * threads <= together)
        log_info(
            "%d of the node's %d cores may be used; if that is mpirun's binding, --bind-to none "
            "or --map-by slot:PE=n gives more",
            together, online);

    /* Sums are cut by threads: replicas take equal steps only with equally many. */
    double fewest = -threads;
    group_max_double(&grid->world, &fewest, 1);
    return (int)-fewest;
}

static double time_products(Device *device, Tensor c, Tensor a, Tensor b, int runs)
{
    double seconds[MOST_RUNS];
    if (runs > MOST_RUNS) runs = MOST_RUNS;
    device->op->matmul(device, c, a, b, (MatmulOptions){0});
    for (int i = 0; i < runs; i++) {
        double start = timer_seconds();
        device->op->matmul(device, c, a, b, (MatmulOptions){0});
        seconds[i] = timer_seconds() - start;
    }
    return statistics_median(seconds, runs);
}

double machine_product_rate(Device *device, int runs)
{
    const int64_t n = PRODUCT_SIZE;
    Real *numbers = device->op->allocate(device, 3 * (size_t)(n * n) * sizeof(Real));
    if (numbers == NULL) return 0.0;
    PhaseTimes *times = device->times;
    device->times = NULL; /* these products are no part of any update */

    Tensor a = tensor_2d(numbers, n, n), b = tensor_2d(numbers + n * n, n, n);
    Tensor c = tensor_2d(numbers + 2 * n * n, n, n);
    device->op->fill(device, a, 0.5);
    device->op->fill(device, b, 0.25);
    double seconds = time_products(device, c, a, b, runs);

    device->times = times;
    device->op->release(device, numbers);
    return 2.0 * (double)n * (double)n * (double)n / seconds;
}

double machine_peak_bytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? 1024.0 * (double)usage.ru_maxrss : 0.0;
}
