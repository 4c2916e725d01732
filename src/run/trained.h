/* SPDX-License-Identifier: Apache-2.0
 *
 * A trained model from a checkpoint, for evaluation and generation: its configuration with the
 * changes of --set, and its weights. Window and memory sizes may differ from training.
 */
#ifndef PAL_RUN_TRAINED_H
#define PAL_RUN_TRAINED_H

#include "io/checkpoint.h"
#include "io/dataset.h"
#include "src/run/evaluation_result.h"
#include "src/run/session.h"
#include "src/tensor/parameters.h"

typedef struct Trained {
    Session session;
    Parameters parameters;
    Checkpoint *checkpoint;
    char path[PAL_PATH_SIZE];
    char trained_with[PAL_PATH_SIZE]; /* the data file of training */
    int64_t update;
} Trained;

typedef enum TrainedUse {
    USE_READS, /* the rows follow from the ranks; `parameters` has the weights' place in the arena */
    USE_TRAINS /* batch.rows is that of the configuration; training.h takes the weights' place */
} TrainedUse;

/* Collective over all ranks. Opens the checkpoint (a file, or a run folder for its latest) and
 * starts the session. On failure trained_close is still due. */
Status trained_open(Trained *trained, Grid *grid, const char *path, const TextList *sets,
                    TrainedUse use);

/* Local. What an evaluation of `data` with these sizes is of. */
EvaluationOrigin trained_origin(const Trained *trained, const char *data,
                                const ModelOptions *model);

/* Local, the same on every rank. Error (PAL_ERROR_CONFIG), with the key and the layer: a model that
 * was saved as `then` does not have all weights that `now` wants. */
Status trained_has_weights(const char *path, const ModelOptions *now, const ModelOptions *then);

/* Collective over all ranks. The model with one assignment more ("model.window=64") than `sets`, on
 * the grid as it is. Errors (PAL_ERROR_CONFIG): it cannot be, or lacks weights. */
Status trained_try(const Trained *trained, const TextList *sets, const char *assignment,
                   ModelOptions *options);

/* Local. Warns where `then` has weights that `now` does not want, which a training that goes on
 * would lose. */
void trained_tell_left_weights(const char *path, const ModelOptions *now, const ModelOptions *then);

/* Local, the same on every rank. Error: the data file has another vocabulary than the model. */
Status trained_check_vocabulary(const Trained *trained, const Dataset *dataset, const char *data);

/* Collective over all ranks, after the arena was sealed. Reads the weights to their place. */
Status trained_load(Trained *trained, const Parameters *parameters);

/* Collective over all ranks. */
void trained_close(Trained *trained);

#endif
