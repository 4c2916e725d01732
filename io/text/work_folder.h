/* SPDX-License-Identifier: Apache-2.0
 *
 * OUTPUT.work: what is ready of a data file that is being prepared, so that work which was stopped or
 * killed goes on where it was: the tokenizer, and a file for each unit of text that has become
 * tokens. It is removed when the data file is there.
 *
 * Everything in it bears a number that says what it was made from; what was made from something else
 * is made again. Numbers are as this machine writes them.
 */
#ifndef PAL_IO_WORK_FOLDER_H
#define PAL_IO_WORK_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "io/config.h"
#include "mpi/grid.h"
#include "src/base/status.h"

typedef struct WorkFolder {
    char path[PAL_PATH_SIZE];
    int lock; /* rank 0's; -1: none */
} WorkFolder;

/* Collective over the group: makes it, or goes on with the one that is there. Errors: another process
 * is writing there (72), it cannot be made or is not seen by all (73). */
Status work_folder_open(WorkFolder *folder, const char *output, const Group *group);
/* Collective over the group. Afterwards it is gone if the work is `done`, or if nothing in it is ready
 * that a later start could go on with; else the log says where it is. */
void work_folder_close(WorkFolder *folder, const Group *group, bool done);

/* What is known of a part of a text once it has become tokens. */
typedef struct PartCounts {
    int64_t tokens, words, lines, bytes;
    uint64_t sum; /* of its bytes */
} PartCounts;

/* --- a unit's file: written by one rank, to be read by any ------------------------------------ */

typedef struct UnitFile {
    char path[PAL_PATH_SIZE + 32], temporary[PAL_PATH_SIZE + 48];
    FILE *file;
    uint64_t made_from;
    int64_t num_parts, tokens;
    size_t token_bytes; /* 2 or 4 */
    int64_t passed;     /* tokens that have been read */
    uint64_t token_sum; /* of the tokens, as it is to be */
    void *sum;          /* running */
} UnitFile;

/* Local. Begins to write. unit_file_abandon is due after a failure of any of the three. */
Status unit_file_create(UnitFile *unit, const WorkFolder *folder, int64_t number,
                        uint64_t made_from, int64_t num_parts, size_t token_bytes);
Status unit_file_add(UnitFile *unit, const int32_t *tokens, size_t count);
/* Local. The file is there, whole, from now on. */
Status unit_file_publish(UnitFile *unit, const PartCounts *counts /* (num_parts) */);
void unit_file_abandon(UnitFile *unit);

/* Local. Opens what is ready, with its counts; false where there is nothing, or nothing that was
 * made from this. */
bool unit_file_open(UnitFile *unit, const WorkFolder *folder, int64_t number, uint64_t made_from,
                    int64_t num_parts, size_t token_bytes, PartCounts *counts);
/* Local. The next tokens, as they stand in the file; *count is 0 at the end. Error (65): not what
 * was written; the file is gone then. */
Status unit_file_next(UnitFile *unit, void *tokens, size_t room, size_t *count);
void unit_file_close(UnitFile *unit);

#endif
