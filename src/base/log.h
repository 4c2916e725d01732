/* SPDX-License-Identifier: Apache-2.0
 *
 * The log: lines for people, from rank 0 alone, to the terminal and into RUN/log.txt.
 * Numbers that a plot needs go to metrics.jsonl, not here.
 *
 * A progress line on a terminal is redrawn in place; in a file every line stands alone.
 */
#ifndef PAL_BASE_LOG_H
#define PAL_BASE_LOG_H

#include <stdbool.h>

#include "src/base/status.h"

/* Only a rank with `speaks` prints log_info, log_warn and log_progress. */
void log_set_rank(int rank, bool speaks);

/* log_info goes to stderr from now on: stdout is for a command's own output, e.g. text. */
void log_to_stderr(void);

/* Also appends everything to this file from now on. When it cannot be written any more, a
 * warning says so once and the program goes on without it. */
Status log_open_file(const char *path);
void log_close_file(void);

/* One line; the newline is added. */
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* From any rank, with its number in front when there are several. */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A line that the next line of any kind replaces on a terminal; nothing in files. */
void log_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool log_is_terminal(void);

#endif
