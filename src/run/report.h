/* SPDX-License-Identifier: Apache-2.0
 *
 * The folder of `evaluate --report DIR`: for each measure NAME.csv, NAME.gp and NAME.svg (plot.h),
 * summary.json, and report.html, which shows all of it in one file of its own. One rank writes,
 * when everything is computed; what an earlier report has left there is replaced, nothing else.
 */
#ifndef PAL_RUN_REPORT_H
#define PAL_RUN_REPORT_H

#include "io/table.h"

enum { REPORT_SECTIONS = 4 };

/* One measure. A table without columns is not written: the text says why. */
typedef struct ReportSection {
    const char *title;
    char text[640];
    Table table;
    JsonText script; /* of its plot */
} ReportSection;

typedef struct Report {
    const char *title; /* borrowed */
    char protocol[512];
    const char *protocol_name; /* for columns of that name, borrowed */
    const char *plot_title;    /* of every picture, borrowed; NULL: none */
    Table facts;               /* two columns: what, and its value */
    const char *summary;       /* for summary.json, borrowed; NULL: none */
    ReportSection sections[REPORT_SECTIONS];
    int num_sections;
} Report;

/* Local, before the work: makes the folder, or finds it empty or with an earlier report.
 * Errors (PAL_ERROR_CANT_CREATE): it cannot be made or written to, or has something else. */
Status report_check(const char *folder);

/* Local. The next section, empty. */
ReportSection *report_section(Report *report, const char *title);

/* Local. Begins the script of the section's plot, which has the name of its table: plot_begin and
 * the report's title. */
JsonText *report_plot(const Report *report, ReportSection *section, int width, int height);

/* Local. Errors: those of whole_file_write. */
Status report_write(Report *report, const char *folder);
void report_destroy(Report *report);

#endif
