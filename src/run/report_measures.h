/* SPDX-License-Identifier: Apache-2.0
 *
 * The report of one evaluation: facts, documents, frequency, attention, compression; with plots.
 */
#ifndef PAL_RUN_REPORT_MEASURES_H
#define PAL_RUN_REPORT_MEASURES_H

#include "src/run/evaluation_result.h"
#include "src/run/measures.h"
#include "src/run/report.h"

/* Local, after measures_end. */
void report_evaluation(Report *report, const EvaluationResult *result, const Measures *measures,
                       const EvaluationOrigin *origin);

/* Sections of it (report_model.c). */
void report_attention(Report *report, const Measures *measures);
void report_compression(Report *report, const Measures *measures);

#endif
