/* SPDX-License-Identifier: Apache-2.0
 *
 * Every MPI call is checked in every build; a failure ends the whole job, never one rank.
 */
#ifndef PAL_MPI_CHECK_H
#define PAL_MPI_CHECK_H

#include <mpi.h>

_Noreturn void mpi_failed(int error, const char *call, const char *file, int line);

#define PAL_MPI(call)                                                                           \
    do {                                                                                        \
        int pal_mpi_error = (call);                                                             \
        if (pal_mpi_error != MPI_SUCCESS) mpi_failed(pal_mpi_error, #call, __FILE__, __LINE__); \
    } while (0)

#endif
