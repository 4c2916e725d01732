/* SPDX-License-Identifier: Apache-2.0
 *
 * The device that the ranks compute on: all of them the same kind, since those of unlike speed would
 * wait for the slowest. The GPUs of a node go to its ranks in turn.
 */
#ifndef PAL_RUN_DEVICE_CHOICE_H
#define PAL_RUN_DEVICE_CHOICE_H

#include <stddef.h>

#include "io/config.h"
#include "mpi/grid.h"
#include "src/run/cores.h"
#include "src/tensor/device.h"

/* Collective over all ranks. `why`: what a log line says about the choice. With DEVICE_AUTO ranks
 * take GPUs if every rank gets one, and the log says why not. Errors: a GPU was asked for and a rank
 * gets none (all ranks have its message), out of memory (this rank alone). */
Status device_choice_take(const Grid *grid, DeviceName wish, int threads, Device **device,
                          const char **why);

/* Collective over all ranks. "2 ranks x 1 thread, each rank on its own cores", or "2 ranks x 1 GPU:
 * NVIDIA ..."; warns where ranks have the same GPU. Returns `text`. */
const char *device_choice_describe(const Grid *grid, const Device *device, const Cores *cores,
                                   char *text, size_t size);

#endif
