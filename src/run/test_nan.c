/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/test_nan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/number.h"
#include "mpi/collectives.h"
#include "src/base/log.h"

#define VARIABLE "PALIMPSEST_TEST_NAN"

/* "7:0:3" to three numbers, the third of which may be missing. */
static bool parse(const char *text, int64_t numbers[3])
{
    enum { LONGEST = 63 };
    char copy[LONGEST + 1];
    if (strlen(text) > LONGEST) return false;
    memcpy(copy, text, strlen(text) + 1);
    int count = 0;
    for (char *part = copy, *end; part != NULL; part = end, count++) {
        end = strchr(part, ':');
        if (end != NULL) *end++ = '\0';
        if (count == 3 || !integer_parse(part, &numbers[count])) return false;
    }
    return count >= 2;
}

static Status read(TestNan *nan, int rows)
{
    int64_t numbers[3] = {0, 0, 1};
    const char *text = getenv(VARIABLE);
    *nan = (TestNan){0};
    if (text == NULL) return PAL_OK;
    if (!parse(text, numbers) || numbers[0] < 0 || numbers[1] < 0 || numbers[1] >= rows ||
        numbers[2] < 1 || numbers[0] > INT64_MAX - numbers[2])
        PAL_FAIL(PAL_ERROR_USAGE,
                 VARIABLE "=%s: expected WINDOW:ROW[:COUNT] with WINDOW >= 0, ROW below batch.rows "
                          "= %d and COUNT >= 1; unset it unless this is a test",
                 text, rows);
    *nan = (TestNan){.first = numbers[0], .row = numbers[1], .count = numbers[2]};
    return PAL_OK;
}

Status test_nan_read(TestNan *nan, const Group *world, int rows)
{
    return group_agree(world, read(nan, rows));
}

/* A row of padding alone may have another row's number. */
static void spoil(void *context, const Window *window, Tensor h)
{
    const TestNan *nan = context;
    int64_t b = nan->row - window->first_row, since = window->index - nan->first;
    if (b < 0 || b >= window->rows || window->counted[b] == 0) return;
    if (since < 0 || since >= nan->count) return;
    Tensor number = tensor_part_1d(h, b * h.dims[1] * h.dims[2], 1);
    nan->device->op->fill(nan->device, number, NAN);
}

void test_nan_install(TestNan *nan, Training *t)
{
    if (nan->count == 0) return;
    log_warn(VARIABLE ": row %lld is spoilt in windows %lld to %lld; this is a test",
             (long long)nan->row, (long long)nan->first, (long long)(nan->first + nan->count - 1));
    nan->device = t->session->device;
    /* Of a tensor group the first rank has the first position. */
    if (t->place.has_embedding && t->place.tensor_part == 0)
        t->model.hook = (EmbeddingHook){spoil, nan};
}
