/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/fatal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "src/base/log.h"

static void (*end_program)(int exit_status);

void fatal_set_end(void (*end)(int exit_status)) { end_program = end; }

void fatal(Status status, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);

    log_error("%s", text);
    if (end_program == NULL) abort();
    end_program((int)status);
    _exit((int)status); /* Open MPI's MPI_Abort returns where another thread has called it */
}

void *fatal_calloc(size_t count, size_t size, const char *purpose)
{
    /* calloc(0, ...) may answer NULL without being out of memory. */
    void *start = calloc(count == 0 ? 1 : count, size);
    if (start == NULL)
        fatal(PAL_ERROR_UNAVAILABLE, "out of memory: %zu bytes for %s", count * size, purpose);
    return start;
}
