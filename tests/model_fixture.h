/* SPDX-License-Identifier: Apache-2.0
 *
 * A tiny model with everything it needs, made in the process, and a schedule of synthetic windows,
 * for tests of the model. Weights are drawn large enough that every term of a gradient shows.
 *
 * The schedule: row 0 is one long document; in row 1 a document ends with a partial window after
 * every 4 windows, in row 2 after every 3; row 3 has no tokens left from window 2 on.
 *
 *     window   0  1  2  3  4  5  6  7          s starts, p partial, . whole, - empty
 *     row 0    s  .  .  .  .  .  .  .
 *     row 1    s  .  .  p  s  .  .  p
 *     row 2    s  .  p  s  .  p  s  .
 *     row 3    s  .  -  -  -  -  -  -
 */
#ifndef PAL_TESTS_MODEL_FIXTURE_H
#define PAL_TESTS_MODEL_FIXTURE_H

#include "src/model/model.h"

enum { FIXTURE_ROWS = 4, FIXTURE_WINDOW = 16 };

/* What a test builds. A zero stands for the value that fixture_options gives, but for M and N. */
typedef struct Setting {
    const char *name;
    ModelOptions model;
    int rows, threads;   /* 3, 1 */
    int groups, flights; /* 1, 1: row groups that the rows are divided into; see Placement */
    int64_t window;      /* 7: the window of the schedule to look at */
    bool evaluates, keeps_memory;
    NumberType operands;
} Setting;

typedef struct Fixture {
    ModelOptions options; /* complete */
    Device *device;
    Arena *arena;
    Traffic traffic;
    Group group; /* of one */
    Parameters parameters;
    Model model;
    LayerMemory *kept; /* (L) fixture_keep_memory */
} Fixture;

/* One window of the schedule. `view` points into it, so it stays where it is. */
typedef struct TestWindow {
    int32_t inputs[FIXTURE_ROWS * FIXTURE_WINDOW], targets[FIXTURE_ROWS * FIXTURE_WINDOW];
    int counted[FIXTURE_ROWS];
    bool starts[FIXTURE_ROWS];
    Window view;
} TestWindow;

/* L 2, D 12, H 3, F 10, V 11, T 4, c 2, dilations 1 and 2 */
ModelOptions fixture_options(ModelOptions options);

/* Fails the test on any error. Weights depend on their names only. */
void fixture_create(Fixture *fixture, const Setting *setting);
void fixture_destroy(Fixture *fixture);

void fixture_window(const Fixture *fixture, TestWindow *window, int64_t index);

/* The micro-batch of one row group, and the first of its rows. */
Window fixture_part(const Fixture *fixture, const Window *window, int group);
int fixture_first_row(const Fixture *fixture, int group);

/* model_backward where nobody waits for the layers' gradients; last: of an update. */
void fixture_backward(Model *model, int flight, bool last);

/* Every row group's forward and, with training, backward; as one update. */
void fixture_run_window(Fixture *fixture, const Window *window);

/* fixture_run_window of the schedule's windows 0 .. count - 1. */
void fixture_run_schedule(Fixture *fixture, int64_t count);

/* Of the micro-batch that flight 0 saw last, and their sum. */
Tensor fixture_tokens_nats(const Fixture *fixture);
double fixture_nats(const Fixture *fixture);

/* What a window of this row group that came now would see, by the mark of the layer in flight 0;
 * until the model's next step. */
MemoryView fixture_view(Fixture *fixture, int layer, int group);

/* Makes these the M slots that every row of the layer's memory holds: recent (all rows,M,D). */
void fixture_set_recent(Fixture *fixture, int layer, Tensor recent);

/* Memories with all that is known of them, put aside and taken back. */
void fixture_keep_memory(Fixture *fixture);
void fixture_restore_memory(Fixture *fixture);

/* Numbers of a standard normal distribution, another sequence for every name. */
void fixture_draw(Real *numbers, int64_t count, const char *name);

/* (f(at + h d) - f(at - h d)) / 2h, with `at` changed meanwhile; h = 1e-6. */
double central_difference(double (*f)(void *context), void *context, Real *at,
                          const Real *direction, int64_t count);

#endif
