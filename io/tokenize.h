/* SPDX-License-Identifier: Apache-2.0
 *
 * A text to tokens, by all ranks of a group at once: the bytes of all documents are cut into one
 * equal part for each rank, which reads it and writes its tokens where they belong in the output. A
 * token is a byte, so what is written does not depend on the cuts, and a word that goes over one is
 * counted where it begins.
 */
#ifndef PAL_IO_TOKENIZE_H
#define PAL_IO_TOKENIZE_H

#include <stdint.h>

#include "io/text_source.h"
#include "mpi/grid.h"
#include "mpi/shared_file.h"
#include "src/base/status.h"

/* Collective over the group; every rank has the same source and a handle on the same file, opened
 * for direct transfers. places[s]: where in it the tokens of split s begin, 16 bits each.
 * words[s] (documents of split s, zeroed) become the numbers of words, the same on every rank.
 * Shows progress.
 * Errors, the same on every rank: of reading (text_reader.h) and writing; PAL_STOPPED_EARLY when
 * any rank was asked to stop. */
Status tokenize(const TextSource *source, const Group *group, SharedFile *file,
                const int64_t places[SPLIT_COUNT], double *const words[SPLIT_COUNT]);

#endif
