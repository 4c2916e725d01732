/* SPDX-License-Identifier: Apache-2.0
 *
 * The end for failures that no caller can handle: a bug, a library that broke, memory that ran out
 * in the middle of a step. One rank that dies alone would leave the others waiting, so the end is
 * the whole job's: mpi_start puts MPI_Abort here.
 */
#ifndef PAL_BASE_FATAL_H
#define PAL_BASE_FATAL_H

#include <stddef.h>

#include "src/base/status.h"

/* Prints the message with this rank's number and ends every rank with `status`. */
PAL_NORETURN void fatal(Status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* What ends the program; abort() until it is set. */
void fatal_set_end(void (*end)(int exit_status));

/* `count` zeroed elements of `size` bytes, for `purpose`, to be freed by the caller; never NULL.
 * For what a step needs and for small things whose absence leaves nothing to go on with. */
void *fatal_calloc(size_t count, size_t size, const char *purpose);

#endif
