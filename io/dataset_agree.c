/* SPDX-License-Identifier: Apache-2.0
 *
 * Do all ranks read the same text? Copies on the nodes may be of different days.
 */
#include <string.h>

#include "io/dataset.h"
#include "io/running_sum.h"
#include "mpi/collectives.h"
#include "src/base/host.h"

enum { MOST_TOKENS = 4096 }; /* of each end of a split */

static void add_integer(uint64_t *sum, int64_t value)
{
    running_sum_add(sum, &value, sizeof value);
}

static Status add_tokens(uint64_t *sum, Dataset *dataset, Split split, int64_t first, int64_t count)
{
    int32_t tokens[MOST_TOKENS];
    PAL_TRY(dataset_read_tokens(dataset, split, 0, first, count, tokens));
    running_sum_add(sum, tokens, (size_t)count * sizeof *tokens);
    return PAL_OK;
}

static Status add_split(uint64_t *sum, Dataset *dataset, Split s)
{
    const DataSplit *split = &dataset->splits[s];
    int64_t ends = split->tokens < MOST_TOKENS ? split->tokens : MOST_TOKENS;
    add_integer(sum, split->documents);
    add_integer(sum, split->tokens);
    running_sum_add(sum, split->offsets, (size_t)(split->documents + 1) * sizeof *split->offsets);
    for (int64_t d = 0; d < split->documents; d++)
        running_sum_add(sum, split->names[d], strlen(split->names[d]) + 1);
    PAL_TRY(add_tokens(sum, dataset, s, 0, ends));
    return add_tokens(sum, dataset, s, split->tokens - ends, ends);
}

Status dataset_checksum(Dataset *dataset, int64_t *sum)
{
    uint64_t running = 0;
    add_integer(&running, tokenizer_model_checksum(&dataset->tokenizer));
    for (int s = 0; s < SPLIT_COUNT; s++) PAL_TRY(add_split(&running, dataset, (Split)s));
    *sum = (int64_t)running;
    return PAL_OK;
}

Status dataset_agree(Dataset *dataset, Status mine, const Group *group)
{
    if (group->size == 1) return mine;
    int64_t own = 0;
    if (mine == PAL_OK) mine = dataset_checksum(dataset, &own);
    PAL_TRY(group_agree(group, mine));

    int64_t first = own;
    group_broadcast(group, &first, sizeof first, 0);
    if (own != first) {
        mine =
            PAL_FAILURE(PAL_ERROR_DATA,
                        "%s: rank %d on host %s reads another text there than rank 0, expected "
                        "the same on all ranks; is it an old copy? Copy it again, or name one on "
                        "a file system that all nodes share",
                        dataset->path, group->rank, host_name());
    }
    return group_agree(group, mine);
}
