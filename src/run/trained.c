/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/trained.h"

#include <stdio.h>
#include <string.h>

#include "mpi/collectives.h"
#include "src/base/log.h"
#include "src/run/placing.h"
#include "src/run/snapshot.h"

enum { MOST_TOKENS = 1 << 24, OWN_RANKS = 6 };

/* The vocabulary is that of the stored embedding; of clusters, the last one's and what is before. */
static Status read_vocabulary(Trained *trained)
{
    ModelOptions *model = &trained->session.config.model;
    int64_t before = 0;
    Shape shape;
    char name[64] = "/weights/embedding/table";
    if (model_is_adaptive(model)) {
        int last = model_clusters(model) - 1;
        snprintf(name, sizeof name, "/weights/embedding/cluster_%d/table", last);
        before = model->cutoffs[last - 1];
    }
    PAL_TRY(checkpoint_shape(trained->checkpoint, name, &shape));
    if (shape.num_dims != 2 || shape.dims[0] < 1 || shape.dims[0] > MOST_TOKENS - before)
        PAL_FAIL(PAL_ERROR_DATA,
                 "%s: %s is no table of 1 to %d tokens; was it written by palimpsest?",
                 trained->path, name, MOST_TOKENS - (int)before);
    return config_set_vocabulary(&trained->session.config, (int)(before + shape.dims[0]));
}

/* Ranks and threads are those of this start, not of training, unless --set says otherwise. */
static Status own_ranks(const TextList *sets, TextList *all)
{
    *all = (TextList){.texts = {"parallel.data=auto", "parallel.pipeline=auto",
                                "parallel.tensor=auto", "parallel.threads=auto",
                                "parallel.layers_per_stage=0", "parallel.row_groups=auto"},
                      .count = OWN_RANKS};
    if (all->count + sets->count > PAL_MAX_LISTED)
        PAL_FAIL(PAL_ERROR_USAGE, "more than %d times --set", PAL_MAX_LISTED - all->count);
    for (int i = 0; i < sets->count; i++) all->texts[all->count++] = sets->texts[i];
    return PAL_OK;
}

/* What a layer with compressed memory has weights for. */
typedef struct CompressedWeights {
    bool positions, function, decoder;
    int dilations;
} CompressedWeights;

static CompressedWeights weights_of(const ModelOptions *model, int layer)
{
    CompressionKind kind = model->compression;
    if (model->compressed_memory[layer] == 0) return (CompressedWeights){0};
    return (CompressedWeights){
        .positions = model->positions == POSITIONS_SEPARATE,
        .function = kind == COMPRESSION_CONV || kind == COMPRESSION_DILATED,
        .decoder = model->compression_loss == COMPRESSION_LOSS_AUTOENCODING,
        .dilations = kind == COMPRESSION_DILATED ? model->num_dilations : 0,
    };
}

/* The key by which the model wants weights now that nobody trained; NULL when it has all. */
static const char *lacking_key(CompressedWeights now, CompressedWeights then)
{
    if (now.positions && !then.positions) return "positions";
    if (now.function && !then.function) return "compression";
    if (now.dilations > then.dilations) return "dilations";
    return now.decoder && !then.decoder ? "compression_loss" : NULL;
}

Status trained_has_weights(const char *path, const ModelOptions *now, const ModelOptions *then)
{
    for (int l = 0; l < now->layers; l++) {
        const char *key = lacking_key(weights_of(now, l), weights_of(then, l));
        if (key == NULL) continue;
        if (then->compressed_memory[l] == 0)
            PAL_FAIL(PAL_ERROR_CONFIG,
                     "model.compressed_memory = %d: layer %d of %s was trained without "
                     "compressed memory and has no weights for it; leave it 0 there",
                     now->compressed_memory[l], l, path);
        PAL_FAIL(PAL_ERROR_CONFIG,
                 "model.%s wants weights in layer %d that %s does not have; leave it as it "
                 "was trained",
                 key, l, path);
    }
    return PAL_OK;
}

void trained_tell_left_weights(const char *path, const ModelOptions *now, const ModelOptions *then)
{
    for (int l = 0; l < now->layers; l++) {
        if (lacking_key(weights_of(then, l), weights_of(now, l)) == NULL) continue;
        log_warn("model.compressed_memory = %d in layer %d, when %s was saved %d: its weights for "
                 "compressed memory are in no checkpoint from now on",
                 now->compressed_memory[l], l, path, then->compressed_memory[l]);
        return;
    }
}

static bool same_cutoffs(const ModelOptions *a, const ModelOptions *b)
{
    return a->num_cutoffs == b->num_cutoffs &&
           memcmp(a->cutoffs, b->cutoffs, sizeof a->cutoffs) == 0;
}

/* Memory and window may differ from training; what the weights were trained to be may not. */
static Status check_changes(Trained *trained, const TextList *own)
{
    Config stored;
    const ModelOptions *now = &trained->session.config.model, *then = &stored.model;
    PAL_TRY(config_parse_text(&stored, trained->checkpoint->state.configuration, trained->path,
                              own->texts, own->count));
    const struct {
        const char *key;
        bool differs, refused;
    } changes[] = {
        {"layers", now->layers != then->layers, true},
        {"heads", now->heads != then->heads, true},
        {"norm", now->norm != then->norm, true},
        {"activation", now->activation != then->activation, true},
        {"tie_embeddings", now->tie_embeddings != then->tie_embeddings, true},
        {"adaptive_cutoffs", !same_cutoffs(now, then), true},
        {"adaptive_divisor", now->adaptive_divisor != then->adaptive_divisor, true},
        {"positions", now->positions != then->positions, false},
        {"compression", now->compression != then->compression, false},
        {"empty_memory", now->empty_memory != then->empty_memory, false},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        if (changes[i].differs && changes[i].refused)
            PAL_FAIL(PAL_ERROR_CONFIG,
                     "--set model.%s differs from what %s was trained with; only sizes of window "
                     "and memory may, and how memory is kept",
                     changes[i].key, trained->path);
        if (changes[i].differs)
            log_warn("model.%s differs from what %s was trained with", changes[i].key,
                     trained->path);
    }
    snprintf(trained->trained_with, sizeof trained->trained_with, "%s", stored.data.path);
    if (trained->session.config.data.reset_memory != stored.data.reset_memory)
        log_warn("data.reset_memory differs from what %s was trained with", trained->path);
    return trained_has_weights(trained->path, now, then);
}

/* On one rank. */
static Status try_assignment(const Trained *trained, const TextList *sets, const char *assignment,
                             ModelOptions *options)
{
    TextList all, own;
    const TextList none = {0};
    Config now, then;
    const char *text = trained->checkpoint->state.configuration;
    PAL_TRY(own_ranks(&none, &own));
    PAL_TRY(own_ranks(sets, &all));
    if (all.count == PAL_MAX_LISTED)
        PAL_FAIL(PAL_ERROR_USAGE, "more than %d times --set", all.count - OWN_RANKS - 1);
    all.texts[all.count++] = assignment;
    PAL_TRY(config_parse_text(&then, text, trained->path, own.texts, own.count));
    PAL_TRY(config_parse_text(&now, text, trained->path, all.texts, all.count));
    int groups = now.model.window / now.model.compression_rate;
    int ranks = trained->session.grid->tensor.size;
    if (groups % ranks != 0 || now.model.window % now.model.compression_rate != 0)
        PAL_FAIL(PAL_ERROR_CONFIG,
                 "model.window = %d has %d groups of model.compression_rate = %d, which %d ranks "
                 "of a tensor group cannot share; choose another parallel.tensor",
                 now.model.window, groups, now.model.compression_rate, ranks);
    PAL_TRY(trained_has_weights(trained->path, &now.model, &then.model));
    *options = now.model;
    options->vocabulary = trained->session.config.model.vocabulary;
    return PAL_OK;
}

Status trained_try(const Trained *trained, const TextList *sets, const char *assignment,
                   ModelOptions *options)
{
    const Group *world = &trained->session.grid->world;
    Status status = PAL_OK;
    if (group_is_root(world)) status = try_assignment(trained, sets, assignment, options);
    PAL_TRY(group_agree(world, status));
    group_broadcast(world, options, sizeof *options, 0);
    return PAL_OK;
}

Status trained_open(Trained *trained, Grid *grid, const char *path, const TextList *sets,
                    TrainedUse use)
{
    *trained = (Trained){0};
    trained->session.grid = grid;
    TextList all_sets;
    PAL_TRY(own_ranks(sets, &all_sets));
    Status status = PAL_OK;
    PAL_TRY(checkpoint_find_for(&grid->world, path, trained->path));
    PAL_TRY(checkpoint_open(&trained->checkpoint, trained->path, &grid->world));
    trained->update = trained->checkpoint->state.update;

    PAL_TRY(session_parse_config(&trained->session, grid, trained->checkpoint->state.configuration,
                                 trained->path, &all_sets, use == USE_TRAINS));
    if (group_is_root(&grid->world)) {
        all_sets.count = OWN_RANKS;
        status = check_changes(trained, &all_sets);
    }
    PAL_TRY(group_agree(&grid->world, status));
    PAL_TRY(read_vocabulary(trained));
    PAL_TRY(session_start(&trained->session));
    if (use == USE_TRAINS) return PAL_OK;
    Placement place = placing_make(grid, &trained->session.config, 1, 1, 0);
    parameters_create(&trained->parameters, trained->session.arena, &trained->session.config.model,
                      &place, false);
    return PAL_OK;
}

Status trained_check_vocabulary(const Trained *trained, const Dataset *dataset, const char *data)
{
    const TokenizerModel *ours = &trained->checkpoint->state.tokenizer,
                         *theirs = &dataset->tokenizer;
    if (tokenizer_model_checksum(theirs) == tokenizer_model_checksum(ours)) return PAL_OK;
    bool differ = strcmp(theirs->kind, ours->kind) != 0 || theirs->vocabulary != ours->vocabulary;
    PAL_FAIL(PAL_ERROR_DATA,
             "%s has the tokenizer %s with a vocabulary of %d, the model in %s was trained with %s "
             "of %d%s; prepare the text with the model's own: prepare --tokenizer-from %s",
             data, theirs->kind, theirs->vocabulary, trained->path, ours->kind, ours->vocabulary,
             differ ? "" : ", learned from another text", trained->path);
}

EvaluationOrigin trained_origin(const Trained *trained, const char *data, const ModelOptions *model)
{
    return (EvaluationOrigin){.checkpoint = trained->path,
                              .data = data,
                              .trained_with = trained->trained_with,
                              .update = trained->update,
                              .model = model};
}

Status trained_load(Trained *trained, const Parameters *parameters)
{
    PAL_TRY(checkpoint_verify(trained->checkpoint, "/weights/", NULL));
    const Session *session = &trained->session;
    return snapshot_load_weights(trained->checkpoint, &session->grid->world, session->device,
                                 &session->config.model, parameters);
}

void trained_close(Trained *trained)
{
    checkpoint_close(&trained->checkpoint);
    session_stop(&trained->session);
}
