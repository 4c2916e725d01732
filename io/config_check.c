/* SPDX-License-Identifier: Apache-2.0
 *
 * What a single key cannot show.
 */
#include "io/config.h"
#include "src/base/log.h"

/* One entry holds for all layers; a list of equal entries becomes one again, so that equal
 * configurations are equal bytes. */
static Status spread(int *entries, int *count, int layers, const char *name)
{
    if (*count != 1 && *count != layers)
        PAL_FAIL(PAL_ERROR_CONFIG,
                 "model.%s has %d entries, expected 1, or %d as model.layers says", name, *count,
                 layers);
    bool equal = true;
    for (int l = 0; l < layers; l++) {
        if (*count == 1) entries[l] = entries[0];
        equal = equal && entries[l] == entries[0];
    }
    for (int l = layers; l < PAL_MAX_LAYERS; l++) entries[l] = 0;
    if (equal) *count = 1;
    return PAL_OK;
}

static bool compresses(const ModelOptions *model)
{
    for (int l = 0; l < model->layers; l++)
        if (model->compressed_memory[l] > 0) return true;
    return false;
}

static Status check_rate(const ModelOptions *model)
{
    int c = model->compression_rate;
    if (model->window % c != 0)
        PAL_FAIL(PAL_ERROR_CONFIG,
                 "model.compression_rate = %d does not divide model.window = %d; choose a window "
                 "that is a multiple of it, e.g. %d",
                 c, model->window, (model->window / c + 1) * c);
    for (int l = 0; l < model->layers; l++)
        if (model->memory[l] % c != 0)
            PAL_FAIL(PAL_ERROR_CONFIG,
                     "model.compression_rate = %d does not divide model.memory = %d of layer %d "
                     "(layers count from 0); choose a multiple of it, e.g. %d",
                     c, model->memory[l], l, (model->memory[l] / c + 1) * c);
    return PAL_OK;
}

static Status check_compression(const Config *config)
{
    const ModelOptions *model = &config->model;
    CompressionLossKind loss = model->compression_loss;
    bool has_weights =
        model->compression == COMPRESSION_CONV || model->compression == COMPRESSION_DILATED;
    PAL_TRY(check_rate(model));

    if (!has_weights && loss != COMPRESSION_LOSS_NONE)
        PAL_FAIL(PAL_ERROR_CONFIG,
                 "model.compression = mean, max and most_used have no weights that a "
                 "model.compression_loss could train; set model.compression_loss = none");
    if (loss == COMPRESSION_LOSS_TASK && config->train.update_every <= model->bptt_windows)
        PAL_FAIL(PAL_ERROR_CONFIG,
                 "model.compression_loss = task: train.update_every = %d, expected more than "
                 "model.bptt_windows = %d: within one update a later window must read what an "
                 "earlier one compressed",
                 config->train.update_every, model->bptt_windows);

    if (has_weights && loss == COMPRESSION_LOSS_NONE)
        log_warn("model.compression_loss = none: nothing trains the weights of the compression "
                 "function, they stay as they begin");
    if (loss == COMPRESSION_LOSS_ATTENTION)
        for (int l = 0; l < model->layers; l++)
            if (model->compressed_memory[l] > 0 && model->memory[l] == 0)
                log_warn("layer %d has no memory: model.compression_loss = attention has no query "
                         "there and trains nothing",
                         l);
    return PAL_OK;
}

static Status check_model(const ModelOptions *model)
{
    if (model->width % 2 != 0)
        PAL_FAIL(PAL_ERROR_CONFIG,
                 "model.width = %d is odd; positions need two equal halves, of sines and cosines",
                 model->width);
    if (model->width % model->heads != 0)
        PAL_FAIL(
            PAL_ERROR_CONFIG,
            "model.heads = %d does not divide model.width = %d; every head takes an equal part",
            model->heads, model->width);
    return PAL_OK;
}

static Status check_clusters(const ModelOptions *model)
{
    if (model->num_cutoffs == 1 && model->cutoffs[0] == 0) return PAL_OK; /* plain */
    int64_t scale = 1;
    for (int i = 0; i < model->num_cutoffs; i++) {
        int before = i == 0 ? 0 : model->cutoffs[i - 1];
        if (model->cutoffs[i] <= before)
            PAL_FAIL(PAL_ERROR_CONFIG,
                     "model.adaptive_cutoffs: %d follows %d, expected more than that: each is the "
                     "first token of a cluster; give them in rising order, from 1 on, or one 0 for "
                     "a softmax without clusters",
                     model->cutoffs[i], before);
        scale *= model->adaptive_divisor;
        if (scale > model->width || model->width % scale != 0)
            PAL_FAIL(PAL_ERROR_CONFIG,
                     "model.width = %d cannot be divided by %lld = model.adaptive_divisor^%d, as "
                     "cluster %d of model.adaptive_cutoffs wants; choose a multiple of it, a "
                     "smaller divisor or fewer cut-offs",
                     model->width, (long long)scale, i + 1, i + 1);
    }
    return PAL_OK;
}

Status config_set_vocabulary(Config *config, int vocabulary)
{
    ModelOptions *model = &config->model;
    model->vocabulary = vocabulary;
    for (int i = 0; i < model->num_cutoffs; i++)
        if (model->cutoffs[i] >= vocabulary)
            PAL_FAIL(PAL_ERROR_CONFIG,
                     "model.adaptive_cutoffs: %d is no token of a vocabulary of %d, expected %d at "
                     "most; leave that cut-off out",
                     model->cutoffs[i], vocabulary, vocabulary - 1);
    return PAL_OK;
}

Status config_check(Config *config)
{
    ModelOptions *model = &config->model;
    if (config->data.path[0] == '\0')
        PAL_FAIL(PAL_ERROR_CONFIG,
                 "data.path is missing: the data file, made by 'palimpsest prepare'");
    PAL_TRY(check_model(model));
    PAL_TRY(check_clusters(model));
    PAL_TRY(spread(model->memory, &config->counts.memory, model->layers, "memory"));
    PAL_TRY(spread(model->compressed_memory, &config->counts.compressed_memory, model->layers,
                   "compressed_memory"));
    if (compresses(model)) PAL_TRY(check_compression(config));

    if (config->train.decay == 0) config->train.decay = config->train.updates;
    return PAL_OK;
}
