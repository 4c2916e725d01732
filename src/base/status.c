/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "src/base/fatal.h"

static _Thread_local char message[2048];

const char *status_message(void) { return message; }

void status_set_message(const char *text) { snprintf(message, sizeof message, "%s", text); }

void status_fail(const char *file, int line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);

    /* The place in the source helps developers only; users asked for one clear message. */
    if (getenv("PALIMPSEST_TRACE") != NULL && length >= 0 && (size_t)length < sizeof message)
        snprintf(message + length, sizeof message - (size_t)length, " [%s:%d]", file, line);
}

void status_assert_failed(const char *file, int line, const char *what)
{
    fatal(PAL_ERROR_INTERNAL, "internal error at %s:%d: expected %s", file, line, what);
}
