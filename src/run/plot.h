/* SPDX-License-Identifier: Apache-2.0
 *
 * Plots of a report: NAME.gp, a script for gnuplot that reads NAME.csv beside it and draws
 * NAME.svg. The script stays, so that anybody can draw the picture anew or otherwise:
 *
 *     cd REPORT && gnuplot NAME.gp
 */
#ifndef PAL_RUN_PLOT_H
#define PAL_RUN_PLOT_H

#include <stdbool.h>

#include "io/json.h"
#include "src/base/status.h"

enum { COLUMN_WIDTH = 480, PLOT_HEIGHT = 300 }; /* of a paper's column, in pixels */

typedef struct Plotter {
    const char *folder; /* borrowed */
    bool unavailable;   /* gnuplot is not there, and a warning has said so */
} Plotter;

/* Local. How all scripts begin: size, fonts, colours, CSV; `width` x `height` in pixels. */
void plot_begin(JsonText *script, const char *name, int width, int height);

/* Local. One more line. */
void plot_line(JsonText *script, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Local. Writes FOLDER/NAME.gp and runs gnuplot on it, in the folder. *drawn: FOLDER/NAME.svg is
 * there. Where gnuplot is missing (said once) or fails a warning says what to do, and *drawn is
 * false. Errors: those of whole_file_write. */
Status plot_draw(Plotter *plotter, const char *name, const JsonText *script, bool *drawn);

#endif
