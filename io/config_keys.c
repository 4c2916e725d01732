/* SPDX-License-Identifier: Apache-2.0 */
#include "io/config_keys.h"

#include <stdio.h>
#include <string.h>

#define AT(member)           offsetof(Config, member)
#define LIST(member, length) AT(member), AT(length)

/* clang-format off */
const ConfigKey config_keys[] = {
    {"model", "layers", KEY_INT, AT(model.layers), 0, 0, "[1, 256]", "6", "L"},
    {"model", "width", KEY_INT, AT(model.width), 0, 0, "[2, 65536]", "512",
     "D; even, and divisible by heads"},
    {"model", "heads", KEY_INT, AT(model.heads), 0, 0, "[1, 1024]", "8", "H"},
    {"model", "feed_forward", KEY_INT, AT(model.feed_forward), 0, 0, "[1, 262144]", "2048",
     "F, width of the hidden layer between two attentions"},
    {"model", "window", KEY_INT, AT(model.window), 0, 0, "[1, 65536]", "512",
     "T, tokens that are read and predicted together"},
    {"model", "memory", KEY_LIST, LIST(model.memory, counts.memory), PAL_MAX_LAYERS,
     "[0, 1048576]", "512", "M, memory slots per layer: one number, or one for each layer"},
    {"model", "compressed_memory", KEY_LIST,
     LIST(model.compressed_memory, counts.compressed_memory), PAL_MAX_LAYERS, "[0, 1048576]", "512",
     "N, compressed memory slots per layer: one number, or one for each layer; "
     "0: Transformer-XL"},
    {"model", "compression_rate", KEY_INT, AT(model.compression_rate), 0, 0, "[1, 65536]", "4",
     "c, memories that become one compressed memory; divides window and memory"},
    {"model", "compression", KEY_CHOICE, AT(model.compression), 0, 0,
     "mean|max|conv|dilated|most_used", "conv", "the compression function"},
    {"model", "compression_loss", KEY_CHOICE, AT(model.compression_loss), 0, 0,
     "none|attention|autoencoding|task", "attention",
     "what trains the compression function; none for mean, max and most_used"},
    {"model", "bptt_windows", KEY_INT, AT(model.bptt_windows), 0, 0, "[1, 1024]", "1",
     "compression_loss = task: windows back whose compression the task loss reaches"},
    {"model", "dilations", KEY_LIST, LIST(model.dilations, model.num_dilations), PAL_MAX_DILATIONS,
     "[1, 65536]", "1, 2, 4", "compression = dilated: distances of its convolutions"},
    {"model", "norm", KEY_CHOICE, AT(model.norm), 0, 0, "pre|post", "pre",
     "where layer normalisation stands"},
    {"model", "activation", KEY_CHOICE, AT(model.activation), 0, 0, "relu|gelu", "relu",
     "of the feed-forward layers"},
    {"model", "positions", KEY_CHOICE, AT(model.positions), 0, 0, "separate|contiguous|temporal",
     "separate", "how far away compressed memories count as"},
    {"model", "empty_memory", KEY_CHOICE, AT(model.empty_memory), 0, 0, "masked|zeros", "masked",
     "slots that hold nothing yet are left out, or attended to as zeros"},
    {"model", "tie_embeddings", KEY_BOOL, AT(model.tie_embeddings), 0, 0, NULL, "true",
     "the output layer uses the embedding table"},
    {"model", "adaptive_cutoffs", KEY_LIST, LIST(model.cutoffs, model.num_cutoffs),
     PAL_MAX_CUTOFFS, "[0, 16777215]", "0",
     "adaptive inputs and softmax: the first token of each cluster but the first one, rising, e.g. "
     "20000, 40000, 200000; 0: one softmax over all tokens"},
    {"model", "adaptive_divisor", KEY_INT, AT(model.adaptive_divisor), 0, 0, "[1, 1024]", "4",
     "adaptive_cutoffs: a cluster's embeddings are so many times narrower than the one's before"},
    {"model", "dropout", KEY_REAL, AT(model.dropout), 0, 0, "[0, 1)", "0",
     "rate on embeddings and on what layers add"},
    {"model", "attention_dropout", KEY_REAL, AT(model.attention_dropout), 0, 0, "[0, 1)", "0",
     "rate on attention weights"},

    {"data", "path", KEY_PATH, AT(data.path), 0, 0, NULL, NULL,
     "data.h5, made by palimpsest prepare"},
    {"data", "reset_memory", KEY_CHOICE, AT(data.reset_memory), 0, 0, "document|never", "document",
     "when memory is emptied: at the beginning of a document, or never (one long stream)"},
    {"data", "shuffle", KEY_BOOL, AT(data.shuffle), 0, 0, NULL, "true",
     "training documents in a new random order in every epoch"},

    {"batch", "rows", KEY_INT, AT(batch.rows), 0, 0, "[1, 1048576]", "8",
     "R, documents read side by side, over all ranks"},

    {"train", "updates", KEY_LONG, AT(train.updates), 0, 0, "[0, 1000000000]", "10000",
     "updates of the weights in all; 0 writes the initial checkpoint"},
    {"train", "seed", KEY_LONG, AT(train.seed), 0, 0, "[0, 9007199254740992]", "1",
     "of initial weights, dropout and the order of documents"},
    {"train", "lr_start", KEY_REAL, AT(train.lr_start), 0, 0, "[0, 100]", "1e-6",
     "learning rate before the first update"},
    {"train", "lr_peak", KEY_REAL, AT(train.lr_peak), 0, 0, "[0, 100]", "3e-4",
     "learning rate at the end of warmup"},
    {"train", "lr_end", KEY_REAL, AT(train.lr_end), 0, 0, "[0, 100]", "1e-6",
     "learning rate from update decay on"},
    {"train", "warmup", KEY_LONG, AT(train.warmup), 0, 0, "[0, 1000000000]", "1000",
     "updates in which the learning rate rises"},
    {"train", "decay", KEY_LONG, AT(train.decay), 0, 0, "[0, 1000000000]", "0",
     "update at which the cosine has fallen to lr_end; 0: the last one"},
    {"train", "clip", KEY_REAL, AT(train.clip), 0, 0, "[0, inf)", "0.1",
     "largest norm of the gradient of each parameter group; 0: no clipping"},
    {"train", "spike_z", KEY_REAL, AT(train.spike_z), 0, 0, "[0, inf)", "0",
     "an update is skipped whose loss is so many deviations above the last 128; 0: off"},
    {"train", "max_skips", KEY_INT, AT(train.max_skips), 0, 0, "[1, 1000000]", "5",
     "updates skipped in a row after which the run goes back to its newest checkpoint"},
    {"train", "weight_decay", KEY_REAL, AT(train.weight_decay), 0, 0, "[0, 100]", "0",
     "decoupled from the gradient"},
    {"train", "update_every", KEY_INT, AT(train.update_every), 0, 0, "[1, 4096]", "1",
     "windows of every row in one update, from update_every_after on; before that, 1"},
    {"train", "update_every_after", KEY_LONG, AT(train.update_every_after), 0, 0,
     "[0, 1000000000]", "0", "update from which update_every holds"},
    {"train", "log_every", KEY_LONG, AT(train.log_every), 0, 0, "[1, 1000000000]", "10",
     "updates between two lines for people; metrics.jsonl has all"},
    {"train", "evaluate_every", KEY_LONG, AT(train.evaluate_every), 0, 0, "[0, 1000000000]", "1000",
     "updates between two evaluations of the validation split; 0: none while training"},
    {"train", "recompute", KEY_CHOICE, AT(train.recompute), 0, 0, "none|attention|layer", "none",
     "what backward computes again to save memory"},
    {"train", "type", KEY_CHOICE, AT(train.type), 0, 0, "float32|bfloat16", "float32",
     "of the numbers that products and attention read, and of the memory; sums are float32"},
    {"train", "minutes", KEY_REAL, AT(train.minutes), 0, 0, "[0, inf)", "0",
     "stop with a checkpoint after this time; 0: no limit"},

    {"parallel", "data", KEY_AUTO, AT(parallel.data), 0, 0, "[1, 1048576]", "auto",
     "replicas that share the rows"},
    {"parallel", "pipeline", KEY_AUTO, AT(parallel.pipeline), 0, 0, "[1, 256]", "auto",
     "ranks that share the layers"},
    {"parallel", "tensor", KEY_AUTO, AT(parallel.tensor), 0, 0, "[1, 1024]", "auto",
     "ranks that share each layer"},
    {"parallel", "layers_per_stage", KEY_LIST,
     LIST(parallel.layers_per_stage, parallel.num_stages), PAL_MAX_LAYERS, "[0, 256]", "0",
     "layers of each pipeline stage, e.g. 5,7; 0: balanced by cost"},
    {"parallel", "row_groups", KEY_AUTO, AT(parallel.row_groups), 0, 0, "[1, 1048576]", "auto",
     "groups of a replica's rows that follow each other through the pipeline"},
    {"parallel", "run_ahead", KEY_INT, AT(parallel.run_ahead), 0, 0, "[0, 1024]", "1",
     "micro-batches that a stage is ahead of 1F1B, so that it waits less; each takes memory"},
    {"parallel", "threads", KEY_AUTO, AT(parallel.threads), 0, 0, "[1, 4096]", "auto",
     "threads of each rank; auto: cores / ranks of the node"},
    {"parallel", "bind", KEY_BOOL, AT(parallel.bind), 0, 0, NULL, "true",
     "each rank keeps to its share of the node's cores, unless the launcher has bound it"},

    {"checkpoint", "every", KEY_LONG, AT(checkpoint.every), 0, 0, "[0, 1000000000]", "1000",
     "updates between two checkpoints; 0: only the last one"},
    {"checkpoint", "minutes", KEY_REAL, AT(checkpoint.minutes), 0, 0, "[0, inf)", "0",
     "minutes between two checkpoints; 0: not by time"},
    {"checkpoint", "keep", KEY_INT, AT(checkpoint.keep), 0, 0, "[2, 1000000]", "2",
     "newest checkpoints that stay"},
    {"checkpoint", "async", KEY_BOOL, AT(checkpoint.async), 0, 0, NULL, "true",
     "write in the background while training goes on"},
    {"checkpoint", "transfer", KEY_CHOICE, AT(checkpoint.transfer), 0, 0,
     "direct|independent|collective", "direct",
     "to the disk: each rank by itself, the same through MPI-IO, or MPI-IO of all together"},
    {"checkpoint", "memory_type", KEY_CHOICE, AT(checkpoint.memory_type), 0, 0, "float32|bfloat16",
     "float32", "of the memory in the file"},

    {"jobs", "lead", KEY_AUTO, AT(jobs.lead), 0, 0, "[1, 86400]", "auto",
     "seconds before the batch job's end at which training stops with a checkpoint; auto: twice "
     "the longest update and save, and some"},
    {"jobs", "max_failures", KEY_INT, AT(jobs.max_failures), 0, 0, "[1, 1000]", "3",
     "failures in a row without a newer checkpoint, after which the job script gives up"},
    {"jobs", "straggler_factor", KEY_REAL, AT(jobs.straggler_factor), 0, 0, "[0, inf)", "1.5",
     "ranks that compute longer than so many times the median are named in the log; 0: none"},
    {"jobs", "straggler_seconds", KEY_REAL, AT(jobs.straggler_seconds), 0, 0, "[0, inf)", "60",
     "seconds of computing between two such comparisons, which are made at lines of the log"},

    {"watchdog", "start", KEY_REAL, AT(watchdog.start), 0, 0, "[0, inf)", "1200",
     "seconds without progress from the start on, then the job ends with status 71; 0: no limit"},
    {"watchdog", "step", KEY_REAL, AT(watchdog.step), 0, 0, "[0, inf)", "600",
     "the same in updates: for each micro-batch and for the optimizer's step"},
    {"watchdog", "save", KEY_REAL, AT(watchdog.save), 0, 0, "[0, inf)", "1200",
     "the same while training waits for a checkpoint: for each block that is written"},
    {"watchdog", "evaluation", KEY_REAL, AT(watchdog.evaluation), 0, 0, "[0, inf)", "600",
     "the same in evaluations: for each window"},

    {"device", "name", KEY_CHOICE, AT(device.name), 0, 0, "auto|cpu|cuda", "auto",
     "what computes"},
    {"device", "mpi", KEY_CHOICE, AT(device.mpi), 0, 0, "auto|direct|staged", "auto",
     "MPI sends a GPU's numbers from its memory, or through host memory; auto: direct where MPI says "
     "that it can"},
};
/* clang-format on */
const int num_config_keys = (int)(sizeof config_keys / sizeof *config_keys);

const ConfigKey *config_key_find(const char *section, const char *name)
{
    for (int i = 0; i < num_config_keys; i++)
        if (strcmp(config_keys[i].section, section) == 0 && strcmp(config_keys[i].name, name) == 0)
            return &config_keys[i];
    return NULL;
}

bool config_section_exists(const char *section)
{
    for (int i = 0; i < num_config_keys; i++)
        if (strcmp(config_keys[i].section, section) == 0) return true;
    return false;
}

bool config_section_begins(int key)
{
    return key == 0 || strcmp(config_keys[key].section, config_keys[key - 1].section) != 0;
}

const char *config_section_names(char text[256])
{
    size_t length = 0;
    text[0] = '\0';
    for (int i = 0; i < num_config_keys && length < 256; i++)
        if (config_section_begins(i))
            length += (size_t)snprintf(text + length, 256 - length, "%s%s", i > 0 ? ", " : "",
                                       config_keys[i].section);
    return text;
}

/* Levenshtein: insertions, deletions and exchanges that turn a into b; one row of the table at a
 * time. Only the first 63 letters count. */
static int edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 63 };
    int cost[LONGEST + 1];
    int length = (int)strnlen(b, LONGEST);
    for (int j = 0; j <= length; j++) cost[j] = j;
    for (int i = 0; i < LONGEST && a[i] != '\0'; i++) {
        int diagonal = cost[0];
        cost[0] = i + 1;
        for (int j = 1; j <= length; j++) {
            int best = diagonal + (a[i] != b[j - 1]);
            if (cost[j] + 1 < best) best = cost[j] + 1;
            if (cost[j - 1] + 1 < best) best = cost[j - 1] + 1;
            diagonal = cost[j];
            cost[j] = best;
        }
    }
    return cost[length];
}

const ConfigKey *config_key_nearest(const char *section, const char *name)
{
    const ConfigKey *nearest = NULL;
    int best = 0;
    for (int i = 0; i < num_config_keys; i++) {
        /* The right key in the wrong section is nearer than another key. */
        int distance = 2 * edit_distance(name, config_keys[i].name) +
                       (strcmp(section, config_keys[i].section) != 0);
        if (nearest == NULL || distance < best) {
            nearest = &config_keys[i];
            best = distance;
        }
    }
    return nearest;
}
