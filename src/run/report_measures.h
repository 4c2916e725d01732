/* SPDX-License-Identifier: Apache-2.0
 *
 * The report of one evaluation: facts, documents, frequency, attention, compression; with plots.
 */
#ifndef PAL_RUN_REPORT_MEASURES_H
#define PAL_RUN_REPORT_MEASURES_H

#include "src/run/evaluation_result.h"
#include "src/run/measures.h"
#include "src/run/report.h"

/* Local, after measures_end. checkpoint, data: paths for people; all borrowed. */
void report_evaluation(Report *report, const EvaluationResult *result, const Measures *measures,
                       const char *checkpoint, int64_t update, const char *data);

enum { SIZES_TEXT = 256 };

/* Local. "window 512, memory 512, compressed memory 512 at rate 3"; sizes that differ by layer as
 * lists: "512,256,256". */
void report_sizes_text(const ModelOptions *options, char text[3 * SIZES_TEXT]);

/* Sections of it (report_model.c). */
void report_attention(Report *report, const Measures *measures);
void report_compression(Report *report, const Measures *measures);

#endif
