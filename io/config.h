/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration: one table of keys (config_keys.c: section, name, type, range, default, help)
 * drives reading INI files, `--set section.key=value`, the help text and the complete config.ini
 * that a run writes. Numbers come back from config.ini with every bit.
 *
 * Config is plain data without pointers: one rank reads, the bytes are broadcast.
 * Wrong configuration is PAL_ERROR_CONFIG with file, line and key; a file that is not there is
 * PAL_ERROR_NO_INPUT.
 */
#ifndef PAL_IO_CONFIG_H
#define PAL_IO_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "mpi/shared_file.h"
#include "mpi/staging.h"
#include "src/base/status.h"
#include "src/tensor/placement.h"

enum {
    PAL_PATH_SIZE = 4096, /* bytes of a path with its final 0 */
    PAL_AUTO = 0          /* of a number that may be given as "auto" */
};

typedef enum ResetMemory { RESET_DOCUMENT, RESET_NEVER } ResetMemory;

typedef enum DeviceName { DEVICE_AUTO, DEVICE_CPU, DEVICE_CUDA } DeviceName;

typedef struct DataConfig {
    char path[PAL_PATH_SIZE]; /* data.h5 */
    ResetMemory reset_memory; /* at the beginning of a document */
    bool shuffle;             /* documents in a new random order in every epoch */
} DataConfig;

typedef struct BatchConfig {
    int rows; /* R */
} BatchConfig;

typedef struct TrainConfig {
    int64_t updates;
    int64_t seed;
    double lr_start, lr_peak, lr_end;
    int64_t warmup, decay; /* updates */
    double clip;           /* largest gradient norm of a group; 0: no clipping */
    double spike_z;        /* deviations above the recent losses that skip an update; 0: none */
    int max_skips;         /* updates that are skipped in a row before the run goes back */
    double weight_decay;
    int update_every; /* windows per update, from update_every_after on */
    int64_t update_every_after;
    int64_t log_every;      /* updates */
    int64_t evaluate_every; /* updates; 0: never while training */
    Recompute recompute;
    NumberType type;
    double minutes; /* stop with a checkpoint after these; 0: no limit */
} TrainConfig;

typedef struct ParallelConfig {
    int data, pipeline, tensor;                       /* ranks, or PAL_AUTO */
    int layers_per_stage[PAL_MAX_LAYERS], num_stages; /* one 0: balanced by cost */
    int row_groups;                                   /* micro-batches of one window, or PAL_AUTO */
    int run_ahead;                                    /* micro-batches beyond 1F1B's own */
    int threads;                                      /* OpenMP threads per rank, or PAL_AUTO */
    bool bind;                                        /* each rank to its share of the cores */
} ParallelConfig;

typedef struct CheckpointConfig {
    int64_t every;  /* updates; 0: only at the end */
    double minutes; /* 0: not by time */
    int keep;       /* newest so many stay */
    bool async;
    FileTransfer transfer;
    NumberType memory_type;
} CheckpointConfig;

typedef struct JobsConfig {
    int lead;         /* seconds before the batch job's end at which training stops, or PAL_AUTO */
    int max_failures; /* without a newer checkpoint, then the job script gives up */
    double straggler_factor, straggler_seconds;
} JobsConfig;

/* Seconds without progress; 0: no limit. */
typedef struct WatchdogConfig {
    double start, step, save, evaluation;
} WatchdogConfig;

typedef struct DeviceConfig {
    DeviceName name;
    DeviceMpi mpi;
} DeviceConfig;

/* How many entries the lists of ModelOptions were given with: 1 or L. */
typedef struct ConfigCounts {
    int memory, compressed_memory;
} ConfigCounts;

typedef struct Config {
    ModelOptions model; /* vocabulary is not a key: the data file gives it */
    DataConfig data;
    BatchConfig batch;
    TrainConfig train;
    ParallelConfig parallel;
    CheckpointConfig checkpoint;
    JobsConfig jobs;
    WatchdogConfig watchdog;
    DeviceConfig device;
    ConfigCounts counts;
} Config;

/* Local; for config.c and tests. Every key at its default; data.path is empty (it has none). */
void config_defaults(Config *config);

/* Local; call it on one rank and broadcast the Config. Defaults, then the file, then the
 * assignments "section.key=value" (a later one of a key wins), then config_check(). */
Status config_read(Config *config, const char *path, const char *const *sets, int num_sets);

/* Local. The same from a text in memory, e.g. of a checkpoint; `name` stands in messages. */
Status config_parse_text(Config *config, const char *text, const char *name,
                         const char *const *sets, int num_sets);

/* Local; for config.c and tests. One assignment "section.key=value"; config_check() must follow. */
Status config_set(Config *config, const char *assignment);

/* Local. What a single key cannot show: c divides T and every M, and so on. Spreads one-entry lists
 * of model.memory and model.compressed_memory over all layers. Refuses what this version lacks. */
Status config_check(Config *config);

/* Local. V, which the data file or a checkpoint gives. Error: a cut-off of the adaptive softmax that
 * is no token. */
Status config_set_vocabulary(Config *config, int vocabulary);

/* Local. The complete configuration as INI text with the help as comments; config_read() and
 * config_parse_text() give back an equal Config. Error: PAL_ERROR_IO. */
Status config_write(const Config *config, FILE *out);

/* Local. The same as text; the caller frees *text. */
Status config_text(const Config *config, char **text);

/* Local. Calls `differs` for every key that has another value in b than in a, as "section.key" with
 * both values as text. */
void config_compare(const Config *a, const Config *b,
                    void (*differs)(void *context, const char *key, const char *in_a,
                                    const char *in_b),
                    void *context);

/* Local. All keys with type, range, default and help. */
void config_print_help(FILE *out);

#endif
