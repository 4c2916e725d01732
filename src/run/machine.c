/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/machine.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "mpi/collectives.h"
#include "src/base/fatal.h"
#include "src/base/host.h"
#include "src/base/statistics.h"
#include "src/base/timer.h"

enum { PRODUCT_SIZE = 1024, MOST_RUNS = 64, MOST_PRODUCTS = 200 };

/* As long as a run takes at least, if need be with several products: a GPU does one in less than it
 * takes to begin it and to hear that it has ended. */
static const double RUN_SECONDS = 2e-3;

/* Three matrices and what is needed to multiply them outside of any update. */
typedef struct Products {
    Device *device;
    PhaseTimes *times;
    Real *numbers;  /* of all three; NULL: there is no memory for them */
    Tensor a, b, c; /* a, b of one number type, c float32 */
} Products;

static void products_begin(Products *p, Device *device, NumberType type)
{
    const int64_t n = PRODUCT_SIZE;
    size_t one = (size_t)(n * n) * number_size(type), result = (size_t)(n * n) * sizeof(Real);
    *p = (Products){.device = device, .times = device->times};
    p->numbers = device->op->allocate(device, 2 * one + result);
    if (p->numbers == NULL) return;
    device->times = NULL;
    p->c = tensor_2d(p->numbers, n, n);
    Tensor operands = {p->numbers + n * n, type, 1, {2 * n * n}};
    p->a = tensor_part_2d(operands, 0, n, n);
    p->b = tensor_part_2d(operands, n * n, n, n);
    device->op->fill(device, p->a, 0.5);
    device->op->fill(device, p->b, 0.25);
}

static void multiply(const Products *p, int times)
{
    if (p->numbers == NULL) return;
    for (int i = 0; i < times; i++)
        p->device->op->matmul(p->device, p->c, p->a, p->b, (MatmulOptions){0});
    p->device->op->synchronize(p->device);
}

/* Local. Seconds of so many products one after another. */
static double time_products(const Products *p, int times)
{
    double start = timer_seconds();
    multiply(p, times);
    return timer_seconds() - start;
}

static void products_end(Products *p)
{
    p->device->times = p->times;
    p->device->op->release(p->device, p->numbers);
}

static int products_of_a_run(double seconds_of_one)
{
    double products = seconds_of_one > 0.0 ? ceil(RUN_SECONDS / seconds_of_one) : 1.0;
    return products < MOST_PRODUCTS ? (int)products : MOST_PRODUCTS;
}

double machine_product_rate(Device *device, NumberType type, int runs)
{
    const double n = PRODUCT_SIZE;
    double seconds[MOST_RUNS];
    Products products;
    if (runs > MOST_RUNS) runs = MOST_RUNS;
    products_begin(&products, device, type);
    multiply(&products, 1);
    for (int i = 0, each = 1; i < runs; i++) {
        seconds[i] = time_products(&products, each) / each;
        if (i == 0) each = products_of_a_run(seconds[0]);
    }
    bool measured = products.numbers != NULL;
    products_end(&products);
    return measured ? 2.0 * n * n * n / statistics_median(seconds, runs) : 0.0;
}

const char *machine_product_name(NumberType type)
{
    return type == NUMBER_BFLOAT16 ? "1024^3 bfloat16 product" : "1024^3 product";
}

double machine_lockstep_gain(const Group *group, Device *device, NumberType type, int runs)
{
    double together = 0.0, alone = 0.0;
    Products products;
    products_begin(&products, device, type);
    multiply(&products, 1);
    for (int i = 0; i < runs; i++) {
        group_barrier(group);
        double start = timer_seconds();
        multiply(&products, 1);
        group_barrier(group);
        together += timer_seconds() - start;
        for (int rank = 0; rank < group->size; rank++) {
            start = timer_seconds();
            if (rank == group->rank) multiply(&products, 1);
            if (rank == group->rank) alone += timer_seconds() - start;
            group_barrier(group);
        }
    }
    products_end(&products);
    group_sum_double(group, &alone, 1);
    group_max_double(group, &together, 1);
    return together > 0.0 ? alone / together : 0.0;
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

char *machine_hosts(const Group *group)
{
    size_t bytes = (size_t)group->size * PAL_HOST_SIZE;
    char *hosts = fatal_calloc(1, bytes, "the names of hosts");
    snprintf(hosts + (size_t)group->rank * PAL_HOST_SIZE, PAL_HOST_SIZE, "%s", host_name());
    group_or(group, (unsigned char *)hosts, (int)bytes);
    return hosts;
}
