/* SPDX-License-Identifier: Apache-2.0
 *
 * A small checkpoint, spread over all ranks, for the tests of io/checkpoint*.c. The verdict of a
 * test is agreed on by all ranks before cmocka hears of it.
 */
#ifndef PAL_TESTS_CHECKPOINT_FIXTURE_H
#define PAL_TESTS_CHECKPOINT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/checkpoint.h"

enum { ROWS = 5, SLOTS = 7, WIDTH = 6 };

/* All ranks, and a temporary folder of theirs; for fixture_run's tests. */
extern Grid grid;
extern char fixture_folder[256];

/* Collective: starts MPI, runs the tests, stops. What main() returns. */
#define fixture_run(argc, argv, tests)                                                   \
    (fixture_start(argc, argv) ? fixture_stop(cmocka_run_group_tests(tests, NULL, NULL)) \
                               : fixture_stop(1))
bool fixture_start(int *argc, char ***argv);
int fixture_stop(int failed);

bool is_root(void);
/* A path in the temporary folder; good until the next call. */
const char *file_name(const char *name);

/* Local. Remembers the first thing that was not as expected; end_test() tells all ranks. */
bool expect(bool good, const char *what);
void expect_refused(Status found, Status wanted, const char *piece);
/* Collective. */
void end_test(void);

const char *long_configuration(void);

/* The value of element i of tensor t: 0 the weights, 1 the memory. */
float element(int t, int64_t i);

/* Collective. Saves the checkpoint of `update` into a run's folder, by every way in turn: each call
 * takes the next one. path: its name; may be NULL. */
Status save(const char *run, int64_t update, char path[PAL_PATH_SIZE]);
bool step_exists(const char *run, int64_t update);

#endif
