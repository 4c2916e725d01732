/* SPDX-License-Identifier: Apache-2.0 */
#include "io/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void json_append(JsonText *json, const char *text)
{
    size_t more = strlen(text);
    if (json->length + more + 1 > json->room) {
        size_t room = 2 * (json->length + more + 256);
        char *grown = realloc(json->text, room);
        if (grown == NULL) {
            json->lost = true;
            return;
        }
        json->text = grown;
        json->room = room;
    }
    memcpy(json->text + json->length, text, more + 1);
    json->length += more;
}

void json_append_string(JsonText *json, const char *text)
{
    json_append(json, "\"");
    for (const char *c = text; *c != '\0'; c++) {
        char piece[8] = {*c, '\0'};
        if (*c == '"' || *c == '\\')
            snprintf(piece, sizeof piece, "\\%c", *c);
        else if ((unsigned char)*c < 0x20)
            snprintf(piece, sizeof piece, "\\u%04x", (unsigned)(unsigned char)*c);
        json_append(json, piece);
    }
    json_append(json, "\"");
}
