/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON text, built piece by piece.
 */
#ifndef PAL_IO_JSON_H
#define PAL_IO_JSON_H

#include <stdbool.h>
#include <stddef.h>

/* {0} is empty. Who owns it frees `text`. */
typedef struct JsonText {
    char *text; /* ends with 0; NULL before the first append */
    size_t length, room;
    bool lost; /* memory ran out: the text lacks something */
} JsonText;

/* Local. As it is. */
void json_append(JsonText *json, const char *text);
/* Local. As a string in quotes; characters of UTF-8 stay, and what is none becomes
 * U+FFFD. */
void json_append_string(JsonText *json, const char *text);

#endif
