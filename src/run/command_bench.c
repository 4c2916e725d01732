/* SPDX-License-Identifier: Apache-2.0
 *
 * palimpsest bench CONFIG.ini: how fast training updates are, as a fraction of what the same
 * machine reaches in a plain matrix product, and where the time goes.
 *
 * Counted operations are 2 m n k of every product that training needs: projections, feed-forward,
 * output, compression, positions, forward and backward; for attention 3 products per visible
 * (query, key) pair forward and 6 backward. What backward computes a second time, so as not to
 * store it, and masked pairs are not counted; nor is anything that is not a product.
 */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "mpi/collectives.h"
#include "src/base/log.h"
#include "src/base/statistics.h"
#include "src/run/bench_saves.h"
#include "src/run/commands.h"
#include "src/run/machine.h"
#include "src/run/skipping.h"
#include "src/run/training.h"

static const double PRODUCT_OPERATIONS = 2.0 * 1024 * 1024 * 1024;
enum {
    MOST_UPDATES = 1000,
    MOST_SWEEP = 16,
    RATE_RUNS = 5,
    LOCKSTEP_RUNS = 20,
    BYTE_VOCABULARY = 257,
    MOST_TOKENS = 1 << 24
};

typedef struct BenchArguments {
    const char *config;
    TextList sets;
    int64_t updates;
    int64_t vocabulary;
    const char *sweep;
    const char *save; /* folder; NULL: no checkpoints are timed */
} BenchArguments;

/* Of one configuration; medians over the timed updates. */
typedef struct BenchResult {
    double seconds, tokens, operations; /* per update; operations: mean over the ranks */
    double products;       /* 1024^3 products that the same machine does in the time of an update */
    double rate, fraction; /* product rate; operations rate over it */
    double phase_seconds[PHASE_COUNT], phase_operations[PHASE_COUNT]; /* means */
    double exact_seconds; /* per update of those that the phases are from; median */
    Traffic traffic;      /* mean per update and rank */
    double lockstep;      /* machine_lockstep_gain() */
    double processor;     /* timer_processor_seconds() per update, of the rank where it is most */
    double idle; /* share of the pipeline's time in which stages wait, mean over the ranks */
} BenchResult;

/* Updates until every memory is full: only then does every update do all the work. */
static int64_t warm_up_updates(const Training *training)
{
    const ModelOptions *o = &training->model.options;
    int64_t most = 0, window = o->window;
    for (int l = 0; l < o->layers; l++) {
        int64_t compressed = (int64_t)o->compressed_memory[l] * o->compression_rate;
        int64_t windows = (o->memory[l] + window - 1) / window + (compressed + window - 1) / window;
        if (windows > most) most = windows;
    }
    return most / training->session->config.train.update_every + 1;
}

/* To the end of what the device does in it. */
static Status time_update(Training *training, UpdateReport *report)
{
    Device *device = training->session->device;
    PAL_TRY(skipping_refuse(training, report));
    double start = timer_seconds();
    device->op->synchronize(device);
    report->seconds += timer_seconds() - start;
    return PAL_OK;
}

/* The mean over `updates` updates of what has been counted. */
static void take_phases(PhaseTimes *times, int64_t updates, BenchResult *result)
{
    for (int p = 0; p < PHASE_COUNT; p++) {
        result->phase_seconds[p] = times->seconds[p] / (double)updates;
        result->phase_operations[p] = times->operations[p] / (double)updates;
    }
}

/* Updates of their own for the phases of a device that runs ahead of the host: the host waits for it
 * at every change of phase. */
static Status time_phases(Training *training, int64_t updates, BenchResult *result)
{
    Session *session = training->session;
    double seconds[MOST_UPDATES];
    UpdateReport report;
    phase_clear(&session->times);
    session->exact_phases = true;
    for (int64_t i = 0; i < updates; i++) {
        PAL_TRY(time_update(training, &report));
        seconds[i] = report.seconds;
        log_progress("phases: update %lld of %lld: %.3f s", (long long)i + 1, (long long)updates,
                     report.seconds);
    }
    session->exact_phases = false;
    result->exact_seconds = statistics_median(seconds, updates);
    take_phases(&session->times, updates, result);
    return PAL_OK;
}

/* Every update is followed by a measurement of the product rate, so that each pair sees the machine
 * in the same state. */
static Status time_updates(Training *training, int64_t updates, BenchResult *result)
{
    double seconds[MOST_UPDATES], rates[MOST_UPDATES], fractions[MOST_UPDATES];
    double products[MOST_UPDATES], idle[MOST_UPDATES], lockstep[MOST_UPDATES];
    double processor[MOST_UPDATES];
    NumberType type = training->session->config.train.type;
    const Group *world = &training->session->grid->world;
    PhaseTimes *times = &training->session->times;
    UpdateReport report;
    result->traffic = (Traffic){0};
    for (int64_t i = warm_up_updates(training); i > 0; i--) {
        PAL_TRY(skipping_refuse(training, &report));
        log_progress("filling the memory: %lld updates to go", (long long)i);
    }
    phase_clear(times);

    for (int64_t i = 0; i < updates; i++) {
        processor[i] = timer_processor_seconds();
        PAL_TRY(time_update(training, &report));
        processor[i] = timer_processor_seconds() - processor[i];
        group_max_double(world, &processor[i], 1);
        seconds[i] = report.seconds;
        rates[i] = group_mean_double(
            world, machine_product_rate(training->session->device, type, RATE_RUNS));
        lockstep[i] = world->size == 1 ? 1.0
                                       : machine_lockstep_gain(world, training->session->device,
                                                               type, LOCKSTEP_RUNS);
        fractions[i] = report.operations / report.seconds / rates[i];
        products[i] = report.seconds * rates[i] / PRODUCT_OPERATIONS;
        idle[i] = report.traffic.wait_seconds[TRAFFIC_PIPELINE] / report.pipeline_seconds;
        for (int k = 0; k < TRAFFIC_COUNT; k++) {
            result->traffic.bytes[k] += report.traffic.bytes[k] / (double)updates;
            result->traffic.wait_seconds[k] += report.traffic.wait_seconds[k] / (double)updates;
        }
        log_progress("update %lld of %lld: %.3f s", (long long)i + 1, (long long)updates,
                     report.seconds);
    }
    result->seconds = statistics_median(seconds, updates);
    result->rate = statistics_median(rates, updates);
    result->fraction = statistics_median(fractions, updates);
    result->products = statistics_median(products, updates);
    result->idle = statistics_median(idle, updates);
    result->lockstep = statistics_median(lockstep, updates);
    result->processor = statistics_median(processor, updates);
    result->tokens = (double)report.tokens;
    result->operations = report.operations;
    take_phases(times, updates, result);
    result->exact_seconds = result->seconds;
    return training->session->device->shares_memory ? PAL_OK
                                                    : time_phases(training, updates, result);
}

static void print_phases(const Session *session, const BenchResult *result)
{
    double total = 0.0;
    for (int p = 0; p < PHASE_COUNT; p++) total += result->phase_seconds[p];
    log_info("%-26s %10s %7s %10s %10s %9s",
             session->grid->world.size > 1 ? "phase, on rank 0" : "phase", "ms", "share", "GFLOP",
             "GFLOP/s", "of rate");
    for (int p = 0; p < PHASE_COUNT; p++) {
        double seconds = result->phase_seconds[p], operations = result->phase_operations[p];
        if (seconds == 0.0) continue;
        if (operations > 0.0)
            log_info("%-26s %10.2f %6.1f%% %10.3f %10.1f %8.2f", phase_name((Phase)p),
                     1e3 * seconds, 100.0 * seconds / total, 1e-9 * operations,
                     1e-9 * operations / seconds, operations / seconds / result->rate);
        else
            log_info("%-26s %10.2f %6.1f%% %10s", phase_name((Phase)p), 1e3 * seconds,
                     100.0 * seconds / total, "-");
    }
    if (!session->device->shares_memory)
        log_info("phases are of updates that wait for the device at every change of phase: %.1f ms "
                 "each (median)",
                 1e3 * result->exact_seconds);
}

/* What an update sends and waits for; nothing with one rank. */
static void print_traffic(const BenchResult *result)
{
    const Traffic *traffic = &result->traffic;
    if (traffic_bytes(traffic) == 0.0) return;
    log_info("%-26s %14s %10s %7s", "sent per rank", "bytes", "wait ms", "share");
    for (int k = 0; k < TRAFFIC_COUNT; k++)
        log_info("%-26s %14.0f %10.2f %6.1f%%", traffic_name((TrafficKind)k), traffic->bytes[k],
                 1e3 * traffic->wait_seconds[k],
                 100.0 * traffic->wait_seconds[k] / result->seconds);
    log_info("%-26s %14.0f %10.2f %6.1f%%", "all", traffic_bytes(traffic),
             1e3 * traffic_seconds(traffic), 100.0 * traffic_seconds(traffic) / result->seconds);
}

/* What stages wait for each other, beside what the schedule alone would have them wait. */
static void print_pipeline(const Training *training, const BenchResult *result)
{
    const Session *session = training->session;
    int stages = session->grid->pipeline.size;
    int micro_batches = training->place.row_groups * session->config.train.update_every;
    if (stages == 1) return;
    log_info("pipeline: %d stages, %d micro-batches: idle %.1f%% of its time (median), %.1f%% by "
             "the schedule",
             stages, micro_batches, 100.0 * result->idle,
             100.0 * pipeline_idle_share(stages, micro_batches));
}

/* Numbers of a GPU are not in the processes' memory. */
static void print_peak(const Session *session)
{
    bool on_gpu = !session->device->shares_memory;
    double of_gpu = (double)arena_device_bytes(session->arena);
    double of_run = (double)arena_total_bytes(session->arena) - (on_gpu ? of_gpu : 0.0);
    double most[] = {machine_peak_bytes(), of_run};
    group_max_double(&session->grid->world, most, 2);
    log_info("peak resident memory %.1f MiB, of which %.1f MiB numbers of the run%s",
             most[0] / MEBIBYTE, most[1] / MEBIBYTE, on_gpu ? " that are not on the GPU" : "");
}

static void print_result(const Session *session, const BenchResult *result)
{
    print_phases(session, result);
    print_traffic(result);
    log_info("update: %.1f ms (median), %.0f tokens/s, %.2f GFLOP counted%s", 1e3 * result->seconds,
             result->tokens / result->seconds, 1e-9 * result->operations,
             session->grid->world.size > 1 ? " per rank" : "");
    log_info("processor: %.1f ms of an update, waits for other ranks included, on the busiest rank "
             "(median)",
             1e3 * result->processor);
    log_info("rate: %.1f GFLOP/s per rank of %.1f GFLOP/s in a %s: fraction %.3f (median of "
             "pairs)",
             1e-9 * result->operations / result->seconds, 1e-9 * result->rate,
             machine_product_name(session->config.train.type), result->fraction);
    if (session->grid->world.size > 1)
        log_info("machine: %d ranks that wait for each other after every %s do %.3f times the work "
                 "of one (median)",
                 session->grid->world.size, machine_product_name(session->config.train.type),
                 result->lockstep);
    print_peak(session);
}

static Status bench_one(Grid *grid, const BenchArguments *arguments, const TextList *sets,
                        BenchResult *result)
{
    Session session;
    Training training = {0};
    Saving saving = {0};
    if (arguments->save != NULL) PAL_TRY(bench_saves_check(&grid->world, arguments->save));
    PAL_TRY(session_read_config(&session, grid, arguments->config, sets));
    if (arguments->save != NULL)
        PAL_TRY(saving_check_folder(&session.config.checkpoint, arguments->save));
    PAL_TRY(config_set_vocabulary(&session.config, (int)arguments->vocabulary));
    session.config.train.update_every_after = 0; /* every update spans its windows */
    Status status = session_start(&session);
    if (status == PAL_OK) status = training_create(&training, &session, TEXT_RANDOM, SPLIT_TRAIN);
    if (status == PAL_OK && arguments->save != NULL)
        status = saving_create(&saving, &training, arguments->save, NULL);
    if (status == PAL_OK) status = session_seal(&session);
    if (status == PAL_OK) {
        training_start(&training);
        if (arguments->save != NULL) saving_start(&saving);
        training_initialize(&training);
        status = time_updates(&training, arguments->updates, result);
    }
    if (status == PAL_OK) print_result(&session, result);
    if (status == PAL_OK) print_pipeline(&training, result);
    if (status == PAL_OK && arguments->save != NULL)
        status = bench_saves(&training, &saving, arguments->save);
    saving_destroy(&saving);
    training_destroy(&training);
    session_stop(&session);
    return status;
}

/* How far the times are from the straight line through them (least squares of the distances
 * relative to the times, as they are printed). Times are counted in 1024^3 products measured beside
 * them, so that a machine that others slow down does not bend the line. */
static void print_line(const double *slots, const double *products, const double *seconds,
                       int count)
{
    double s1 = 0, sx = 0, sy = 0, sxx = 0, sxy = 0, worst = 0;
    for (int i = 0; i < count; i++) {
        double weight = 1.0 / (products[i] * products[i]);
        s1 += weight;
        sx += weight * slots[i];
        sy += weight * products[i];
        sxx += weight * slots[i] * slots[i];
        sxy += weight * slots[i] * products[i];
    }
    double slope = (s1 * sxy - sx * sy) / (s1 * sxx - sx * sx);
    double start = (sy - slope * sx) / s1;
    log_info("%8s %14s %16s %16s %8s", "M + N", "ms (median)", "1024^3 products", "straight line",
             "off by");
    for (int i = 0; i < count; i++) {
        double line = start + slope * slots[i], off = products[i] / line - 1.0;
        if (fabs(off) > worst) worst = fabs(off);
        log_info("%8.0f %14.1f %16.1f %16.1f %7.1f%%", slots[i], 1e3 * seconds[i], products[i],
                 line, 100.0 * off);
    }
    log_info("time per update = (%.1f + %.4f x (M + N)) products, within %.1f %%", start, slope,
             100.0 * worst);
}

/* "0,512,1024" into sizes; returns their number. */
static Status parse_sizes(const char *list, long sizes[MOST_SWEEP], int *count)
{
    const char *at = list;
    char *end = NULL;
    *count = 0;
    do {
        long size = strtol(at, &end, 10);
        bool ends_well = end != at && (*end == ',' || *end == '\0');
        if (!ends_well || size < 0 || size > INT_MAX || *count == MOST_SWEEP)
            PAL_FAIL(PAL_ERROR_USAGE,
                     "bench: --sweep wants 2 to %d sizes like 0,512,1024, not '%s'", MOST_SWEEP,
                     list);
        if (*count > 0 && size <= sizes[*count - 1])
            PAL_FAIL(PAL_ERROR_USAGE, "bench: --sweep wants ascending sizes, not '%s'", list);
        sizes[(*count)++] = size;
        at = end + 1;
    } while (*end == ',');
    if (*count < 2)
        PAL_FAIL(PAL_ERROR_USAGE, "bench: --sweep '%s' is one size; a line needs two or more",
                 list);
    return PAL_OK;
}

/* The keys that make M + N this size, half of it compressed memory. */
typedef struct SizeKeys {
    char memory[64], compressed[64];
    TextList sets; /* those of the command line, and these two */
} SizeKeys;

static void set_size(SizeKeys *keys, const TextList *sets, long size)
{
    snprintf(keys->memory, sizeof keys->memory, "model.memory=%ld", size - size / 2);
    snprintf(keys->compressed, sizeof keys->compressed, "model.compressed_memory=%ld", size / 2);
    keys->sets = *sets;
    keys->sets.texts[keys->sets.count++] = keys->memory;
    keys->sets.texts[keys->sets.count++] = keys->compressed;
}

/* Local. Before the first run, so that none is made in vain. */
static Status check_sizes(const BenchArguments *arguments, const long *sizes, int count)
{
    for (int i = 0; i < count; i++) {
        SizeKeys keys;
        Config config;
        set_size(&keys, &arguments->sets, sizes[i]);
        Status status = config_read(&config, arguments->config, keys.sets.texts, keys.sets.count);
        if (status == PAL_OK) continue;
        char message[1024];
        snprintf(message, sizeof message, "%s", status_message());
        PAL_FAIL(status, "bench: --sweep: M + N = %ld: %s", sizes[i], message);
    }
    return PAL_OK;
}

/* One bench for every size in the list, half of it memory and half compressed memory. */
static Status bench_sweep(Grid *grid, const BenchArguments *arguments)
{
    long sizes[MOST_SWEEP];
    double slots[MOST_SWEEP], products[MOST_SWEEP], seconds[MOST_SWEEP];
    int count = 0;
    PAL_TRY(parse_sizes(arguments->sweep, sizes, &count));
    if (arguments->sets.count > PAL_MAX_LISTED - 2)
        PAL_FAIL(PAL_ERROR_USAGE, "bench: too many --set beside --sweep");
    bool checks = group_is_root(&grid->world);
    PAL_TRY(group_agree(&grid->world, checks ? check_sizes(arguments, sizes, count) : PAL_OK));

    for (int i = 0; i < count; i++) {
        SizeKeys keys;
        set_size(&keys, &arguments->sets, sizes[i]);
        log_info("--- M + N = %ld", sizes[i]);
        BenchResult result;
        PAL_TRY(bench_one(grid, arguments, &keys.sets, &result));
        slots[i] = (double)sizes[i];
        products[i] = result.products;
        seconds[i] = result.seconds;
    }
    print_line(slots, products, seconds, count);
    return PAL_OK;
}

Status command_bench(const Command *command, Grid *grid, int argc, char **argv)
{
    BenchArguments arguments = {.updates = 5, .vocabulary = BYTE_VOCABULARY};
    /* No text is read; the key must have a value all the same. */
    arguments.sets.texts[arguments.sets.count++] = "data.path=(random tokens)";
    const Option options[] = {
        {"set", OPTION_LIST, &arguments.sets, "SECTION.KEY=VALUE", "change one key"},
        {"updates", OPTION_INTEGER, &arguments.updates, "N", "timed updates (default 5)"},
        {"vocabulary", OPTION_INTEGER, &arguments.vocabulary, "N",
         "tokens, drawn by Zipf's law (default 257, those of bytes)"},
        {"sweep", OPTION_TEXT, &arguments.sweep, "SIZES",
         "M + N of each run, e.g. 0,512,1024,2048,4096"},
        {"save", OPTION_TEXT, &arguments.save, "DIR",
         "also time checkpoints, written into DIR and removed"},
    };
    bool helped;
    PAL_TRY(arguments_parse(command, options, 5, argc, argv, &arguments.config, 1,
                            group_is_root(&grid->world), &helped));
    if (helped) return PAL_OK;
    if (arguments.updates < 1 || arguments.updates > MOST_UPDATES)
        PAL_FAIL(PAL_ERROR_USAGE, "bench: --updates is 1 to %d", MOST_UPDATES);
    if (arguments.vocabulary < 1 || arguments.vocabulary > MOST_TOKENS)
        PAL_FAIL(PAL_ERROR_USAGE, "bench: --vocabulary is %lld, expected 1 to %d",
                 (long long)arguments.vocabulary, MOST_TOKENS);
    if (arguments.sweep != NULL) return bench_sweep(grid, &arguments);
    BenchResult result;
    return bench_one(grid, &arguments, &arguments.sets, &result);
}
