/* SPDX-License-Identifier: Apache-2.0
 *
 * Times the kernels of a training, at the sizes of a model, beside their rooflines: the time that
 * the bytes of one take at the bandwidth of a large copy, or its operations at the rate of a large
 * product, whichever is longer. Both are measured here, on the same device. Each run finds empty
 * caches; times are medians. There is a line for each, of columns with tabs between:
 *
 *     sizes  kernel  ms  roofline ms  roofline / time  what bounds it  GB/s  GFLOP/s
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/statistics.h"
#include "tests/gpu/device_clock.h"
#include "tests/gpu/stage.h"

static const char usage[] =
    "use: bench_kernels [--device cuda|cpu] [--sizes pg19,enwik8,tiny] [--runs N] [--rows N]\n"
    "                   [--type float32|bfloat16] [--yardsticks] [--work]\n"
    "  --rows N      rows of the batch (default: 8)\n"
    "  --type T      of what products and attention read (default: float32)\n"
    "  --yardsticks  only the copy and the product that kernels are compared with\n"
    "  --work        sizes, kernel, bytes, operations; no device is needed, nothing is timed\n";

enum { MOST_RUNS = 101, WARM_UP = 2 };

typedef struct Arguments {
    const char *device;
    char sizes[64];
    NumberType operands;
    int runs, rows; /* rows 0: those of the sizes */
    bool yardsticks, work;
} Arguments;

typedef struct Bench {
    Device *device;
    DeviceClock *clock;
    const Arguments *arguments;
    PhaseTimes times;
    Tensor evicted, evicted_sums;
    double bandwidth, rate; /* bytes, operations per second */
    int failures;
} Bench;

enum { NUM_GROUPS = 4 };
static const KernelGroup *const groups[NUM_GROUPS] = {&attention_kernels, &product_kernels,
                                                      &layer_kernels, &optimiser_kernels};

/* --- measuring -------------------------------------------------------------------------------- */

/* By reading: what caches hold of writes would go to memory in the time of the kernel. The device
 * is still busy with it when the host begins the kernel, so no time is lost between the two. */
static void empty_caches(Bench *bench)
{
    bench->device->op->add_column_sums(bench->device, bench->evicted_sums, bench->evicted);
}

static double median_seconds(Bench *bench, Stage *stage, void (*run)(Stage *))
{
    double seconds[MOST_RUNS];
    for (int i = -WARM_UP; i < bench->arguments->runs; i++) {
        empty_caches(bench);
        device_clock_start(bench->clock);
        run(stage);
        device_clock_stop(bench->clock);
        double taken = device_clock_seconds(bench->clock);
        if (i >= 0) seconds[i] = taken;
    }
    return statistics_median(seconds, bench->arguments->runs);
}

static void print_line(const Bench *bench, const Sizes *sizes, const char *name, Work work,
                       double seconds)
{
    double of_memory = work.bytes / bench->bandwidth, of_products = work.operations / bench->rate;
    double roofline = fmax(of_memory, of_products);
    printf("%s\t%s\t%.4f\t%.4f\t%.3f\t%s\t%.1f\t%.1f\n", sizes->name, name, 1e3 * seconds,
           1e3 * roofline, roofline / seconds, of_products > of_memory ? "products" : "memory",
           1e-9 * work.bytes / seconds, 1e-9 * work.operations / seconds);
    fflush(stdout);
}

static void print_skipped(const Sizes *sizes, const char *name)
{
    printf("%s\t%s\tno memory\t-\t-\t-\t-\t-\n", sizes->name, name);
}

static void copy_run(Stage *stage) { device_copy(stage->device, stage->dx, stage->x); }

static void product_run(Stage *stage)
{
    stage->device->op->matmul(stage->device, stage->x, stage->a, stage->square, (MatmulOptions){0});
}

/* What the device itself reaches. false: it has no memory for it. */
static bool measure_device(Bench *bench, Stage *stage)
{
    const Sizes *s = stage->sizes;
    Work copy = {bytes_of(2 * (double)s->copied), 0};
    double n = (double)s->product;
    Work product = {operand_bytes(s, 2 * n * n) + bytes_of(n * n), 2 * n * n * n};
    stage->x = stage_1d(stage, s->copied);
    stage->dx = stage_1d(stage, s->copied);
    if (stage->full) return false;
    double copied_in = median_seconds(bench, stage, copy_run);
    stage_clear(stage);
    stage->x = stage_2d(stage, s->product, s->product);
    stage->a = stage_operand_2d(stage, s->product, s->product);
    stage->square = stage_operand_2d(stage, s->product, s->product);
    if (stage->full) return false;
    double multiplied_in = median_seconds(bench, stage, product_run);
    stage_clear(stage);
    bench->bandwidth = copy.bytes / copied_in;
    bench->rate = product.operations / multiplied_in;
    print_line(bench, s, "yardstick: copy", copy, copied_in);
    print_line(bench, s, "yardstick: product", product, multiplied_in);
    return true;
}

/* The device's own count of operations has to be that of the work. */
static void check_count(Bench *bench, Stage *stage, const Kernel *kernel, Work work)
{
    bench->times.operations[bench->times.current] = 0;
    bench->device->times = &bench->times;
    kernel->run(stage);
    bench->device->times = NULL;
    double counted = bench->times.operations[bench->times.current];
    if (!kernel->counted || fabs(counted - work.operations) <= 1e-9 * work.operations) return;
    fprintf(stderr, "bench_kernels: %s: the device counts %.0f operations, expected %.0f\n",
            kernel->name, counted, work.operations);
    bench->failures++;
}

static void time_group(Bench *bench, Stage *stage, const KernelGroup *group)
{
    group->prepare(stage);
    for (int i = 0; i < group->count; i++) {
        const Kernel *kernel = &group->kernels[i];
        if (stage->full) {
            print_skipped(stage->sizes, kernel->name);
            continue;
        }
        Work work = kernel->work(stage->sizes);
        check_count(bench, stage, kernel, work);
        print_line(bench, stage->sizes, kernel->name, work,
                   median_seconds(bench, stage, kernel->run));
    }
    stage_clear(stage);
}

static void time_sizes(Bench *bench, const Sizes *sizes)
{
    Stage evicted, stage;
    stage_begin(&evicted, bench->device, sizes);
    bench->evicted = stage_2d(&evicted, sizes->evicted / sizes->width, sizes->width);
    bench->evicted_sums = stage_1d(&evicted, sizes->width);
    stage_begin(&stage, bench->device, sizes);
    if (evicted.full || !measure_device(bench, &stage)) {
        print_skipped(sizes, "yardsticks");
        bench->failures++;
    } else if (!bench->arguments->yardsticks) {
        for (int g = 0; g < NUM_GROUPS; g++) time_group(bench, &stage, groups[g]);
    }
    stage_end(&stage);
    stage_end(&evicted);
}

static void print_work(const Sizes *sizes)
{
    for (int g = 0; g < NUM_GROUPS; g++)
        for (int i = 0; i < groups[g]->count; i++) {
            Work work = groups[g]->kernels[i].work(sizes);
            printf("%s\t%s\t%.0f\t%.0f\n", sizes->name, groups[g]->kernels[i].name, work.bytes,
                   work.operations);
        }
}

/* --- arguments -------------------------------------------------------------------------------- */

static void refuse(const char *what)
{
    fprintf(stderr, "bench_kernels: %s\n%s", what, usage);
    exit(PAL_ERROR_USAGE);
}

static int number_in(const char *text, const char *option, int most)
{
    char *end, message[128];
    long n = strtol(text, &end, 10);
    snprintf(message, sizeof message, "%s takes a number from 1 to %d, not '%.40s'", option, most,
             text);
    if (*end != '\0' || n < 1 || n > most) refuse(message);
    return (int)n;
}

static NumberType number_type(const char *text)
{
    if (strcmp(text, "bfloat16") == 0) return NUMBER_BFLOAT16;
    if (strcmp(text, "float32") != 0) refuse("--type is float32 or bfloat16");
    return NUMBER_FLOAT32;
}

static Arguments parse(int count, char **words)
{
    Arguments a = {.device = "cuda", .sizes = "pg19,enwik8", .runs = 11};
    for (int i = 1; i < count; i++) {
        const char *next = i + 1 < count ? words[i + 1] : "";
        if (strcmp(words[i], "--yardsticks") == 0)
            a.yardsticks = true;
        else if (strcmp(words[i], "--work") == 0)
            a.work = true;
        else if (strcmp(words[i], "--device") == 0)
            a.device = words[++i];
        else if (strcmp(words[i], "--type") == 0)
            i++, a.operands = number_type(next);
        else if (strcmp(words[i], "--sizes") == 0)
            snprintf(a.sizes, sizeof a.sizes, "%s", words[++i] != NULL ? words[i] : "");
        else if (strcmp(words[i], "--runs") == 0)
            i++, a.runs = number_in(next, "--runs", MOST_RUNS);
        else if (strcmp(words[i], "--rows") == 0)
            i++, a.rows = number_in(next, "--rows", 4096);
        else
            refuse(words[i]);
    }
    if (a.device == NULL || (strcmp(a.device, "cpu") != 0 && strcmp(a.device, "cuda") != 0))
        refuse("--device is cuda or cpu");
    return a;
}

static Status create_device(Bench *bench)
{
    if (bench->arguments->work) return PAL_OK;
    if (strcmp(bench->arguments->device, "cpu") == 0)
        PAL_TRY(device_create_cpu(&bench->device, 1));
    else
        PAL_TRY(device_create_cuda(&bench->device, 0));
    bench->clock = device_clock_create(bench->device);
    fprintf(stderr, "device: %s %s\n", bench->device->op->name, bench->device->description);
    return PAL_OK;
}

int main(int count, char **words)
{
    Arguments arguments = parse(count, words);
    Bench bench = {.arguments = &arguments};
    char *rest = NULL;
    Status status = create_device(&bench);
    if (status != PAL_OK) {
        fprintf(stderr, "bench_kernels: %s\n", status_message());
        return (int)status;
    }
    for (char *name = strtok_r(arguments.sizes, ",", &rest); name != NULL;
         name = strtok_r(NULL, ",", &rest)) {
        const Sizes *found = sizes_find(name);
        if (found == NULL) refuse("--sizes is a list of pg19, enwik8 and tiny");
        Sizes sizes = *found;
        sizes.operands = arguments.operands;
        if (arguments.rows > 0) sizes.rows = arguments.rows;
        if (arguments.work)
            print_work(&sizes);
        else
            time_sizes(&bench, &sizes);
    }
    if (bench.device != NULL) device_clock_destroy(&bench.clock);
    device_destroy(&bench.device);
    return bench.failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
