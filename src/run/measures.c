/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/measures.h"

#include <string.h>

#include "mpi/collectives.h"
#include "src/base/checked.h"

/* Ranks may read different copies of the file: frequency is measured where all have counts. */
static Status read_counts(Measures *m, Arena *arena, Dataset *dataset)
{
    size_t vocabulary = checked_size(dataset->tokenizer.vocabulary);
    int64_t *counts = arena_host(arena, PURPOSE_DATA, vocabulary * sizeof *counts);
    m->frequency.bucket_of = arena_host(arena, PURPOSE_DATA, vocabulary);
    bool found = false;
    Status status = PAL_OK;
    if (counts != NULL && m->frequency.bucket_of != NULL) /* else arena_seal() says so */
        status = dataset_read_counts(dataset, counts, &found);
    found = found && dataset->splits[SPLIT_TRAIN].tokens > 0; /* else all of them are 0 */
    PAL_TRY(group_agree(&m->grid->world, status));
    double missing = !found;
    group_max_double(&m->grid->world, &missing, 1);
    m->has_frequency = missing == 0.0;
    if (m->has_frequency) frequency_sort(&m->frequency, counts, dataset->tokenizer.vocabulary);
    return PAL_OK;
}

static bool has_compression_loss(const ModelOptions *options)
{
    return model_compressing_layers(options) > 0 &&
           compression_loss_find(options->compression_loss)->apply != NULL;
}

Status measures_create(Measures *m, const Grid *grid, Arena *arena, Model *model, Dataset *dataset,
                       int micro_batches)
{
    size_t layers = checked_size(model->options.layers);
    *m = (Measures){.grid = grid, .model = model};
    attention_measure_create(&m->attention, grid, arena, model, micro_batches);
    m->has_compression = has_compression_loss(&model->options);
    model_measure_compression(model, arena);
    m->compression = arena_host(arena, PURPOSE_DATA, layers * sizeof *m->compression);
    return read_counts(m, arena, dataset);
}

/* Of this stage's layers, to those of all. */
static void take_compression(Measures *m)
{
    const Placement *place = &m->model->place;
    for (int l = 0; l < place->layers; l++) {
        LossSum *sum = &m->model->compression_sums[l];
        m->compression[place->first_layer + l].sum += sum->sum;
        m->compression[place->first_layer + l].count += sum->count;
        *sum = (LossSum){0};
    }
}

void measures_begin(Measures *m)
{
    attention_measure_begin(&m->attention);
    take_compression(m);
    memset(m->compression, 0, checked_size(m->model->options.layers) * sizeof *m->compression);
}

void measures_after(Measures *m)
{
    take_compression(m);
    attention_measure_share(&m->attention, false);
}

void measures_end(Measures *m)
{
    take_compression(m);
    group_sum_double(&m->grid->world, (double *)m->compression, 2 * m->model->options.layers);
    attention_measure_end(&m->attention);
}
