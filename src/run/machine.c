/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/machine.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "src/base/statistics.h"
#include "src/base/timer.h"

enum { PRODUCT_SIZE = 1024, MOST_RUNS = 64 };

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

double machine_process_age(void)
{
    /* proc(5): after the name in brackets, field 22 of /proc/self/stat is when it was started, in
     * ticks since the system was. */
    char line[1024] = "";
    FILE *file = fopen("/proc/self/stat", "r");
    if (file == NULL) return 0.0;
    bool got = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    const char *at = got ? strrchr(line, ')') : NULL;
    for (int field = 3; field <= 22 && at != NULL; field++) at = strchr(at + 1, ' ');
    struct timespec now;
    unsigned long long ticks;
    if (at == NULL || sscanf(at, "%llu", &ticks) != 1 || clock_gettime(CLOCK_BOOTTIME, &now) != 0)
        return 0.0;
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec -
           (double)ticks / (double)sysconf(_SC_CLK_TCK);
}
