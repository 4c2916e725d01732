/* SPDX-License-Identifier: Apache-2.0 */
#include "io/number.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

const char *number_text(double value, char text[32])
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, 32, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    return text;
}

static bool only_blanks(const char *text)
{
    while (isspace((unsigned char)*text)) text++;
    return *text == '\0';
}

bool number_parse(const char *text, double *value)
{
    char *end;
    errno = 0;
    double parsed = strtod(text, &end);
    bool too_large = errno == ERANGE && (parsed > 1.0 || parsed < -1.0);
    if (end == text || !only_blanks(end) || too_large || parsed != parsed) return false;
    *value = parsed;
    return true;
}

bool integer_parse(const char *text, int64_t *value)
{
    char *end;
    errno = 0;
    long long parsed = strtoll(text, &end, 10);
    if (end == text || !only_blanks(end) || errno == ERANGE) return false;
    *value = parsed;
    return true;
}
