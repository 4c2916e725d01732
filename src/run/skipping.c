/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/skipping.h"

#include <stdio.h>
#include <string.h>

#include "mpi/collectives.h"
#include "src/base/checked.h"
#include "src/base/log.h"

int skipping_empty_rows(Training *t)
{
    int all_rows = t->session->config.batch.rows, emptied = 0;
    int first = checked_int(t->rows.first), count = checked_int(t->rows.count);
    memset(t->bad_rows, 0, checked_size(all_rows));
    for (int row = 0; row < count; row++)
        t->bad_rows[first + row] = !model_row_is_finite(&t->model, row);
    group_or(&t->session->grid->world, t->bad_rows, all_rows);
    for (int row = 0; row < count; row++)
        if (t->bad_rows[first + row]) model_empty_row(&t->model, row);
    for (int row = 0; row < all_rows; row++) emptied += t->bad_rows[row];
    return emptied;
}

/* "loss nan, gradient norms nan and 0.1, learning rate 0.001" */
static const char *numbers_text(const UpdateReport *report, char text[192])
{
    snprintf(text, 192, "loss %g, gradient norms %g and %g, learning rate %g", report->loss,
             report->norms[GROUP_MAIN], report->norms[GROUP_COMPRESSION], report->learning_rate);
    return text;
}

void skipping_tell(const Training *t, const UpdateReport *report)
{
    char numbers[192], z[64] = "", rows[64] = "";
    if (report->verdict == STEP_SPIKE)
        snprintf(z, sizeof z, ", %.1f deviations above the last %d", report->loss_z,
                 PAL_RECENT_LOSSES);
    if (report->emptied_rows > 0)
        snprintf(rows, sizeof rows, "; %d of %d rows begin again with empty memory",
                 report->emptied_rows, t->session->config.batch.rows);
    log_warn("update %lld is skipped, %lld in a row (train.max_skips = %d): %s (%s%s)%s",
             (long long)report->update, (long long)t->bad_steps.history.skips,
             t->bad_steps.max_skips, bad_steps_text(report->verdict), numbers_text(report, numbers),
             z, rows);
}

void skipping_record(Metrics *metrics, const UpdateReport *report)
{
    if (report->verdict == STEP_GOOD) return;
    metrics_text(metrics, "skipped", bad_steps_name(report->verdict));
    metrics_number(metrics, "loss_z", report->loss_z);
    metrics_integer(metrics, "emptied_rows", report->emptied_rows);
}

Status skipping_diverged(const UpdateReport *report, const char *why)
{
    char numbers[192];
    PAL_FAIL(PAL_ERROR_INTERNAL,
             "update %lld: training has diverged: %s (%s)%s; try a lower train.lr_peak, a longer "
             "train.warmup or a smaller train.clip",
             (long long)report->update, bad_steps_text(report->verdict),
             numbers_text(report, numbers), why);
}

Status skipping_refuse(Training *t, UpdateReport *report)
{
    PAL_TRY(training_update(t, report));
    bool finite = report->verdict == STEP_GOOD || report->verdict == STEP_SPIKE;
    return finite ? PAL_OK : skipping_diverged(report, "");
}
