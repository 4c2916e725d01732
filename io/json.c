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

/* Bytes of the character of UTF-8 that begins here (RFC 3629); 0 where none does. */
static size_t character_length(const unsigned char *c)
{
    static const struct {
        unsigned char first, last; /* of the first byte */
        unsigned char low, high;   /* of the second */
        size_t length;
    } forms[] = {
        {0x01, 0x7f, 0x00, 0xff, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
        if (c[0] < forms[f].first || c[0] > forms[f].last) continue;
        if (forms[f].length > 1 && (c[1] < forms[f].low || c[1] > forms[f].high)) return 0;
        for (size_t i = 2; i < forms[f].length; i++)
            if ((c[i] & 0xc0) != 0x80) return 0;
        return forms[f].length;
    }
    return 0;
}

void json_append_string(JsonText *json, const char *text)
{
    const unsigned char *c = (const unsigned char *)text;
    json_append(json, "\"");
    while (*c != '\0') {
        size_t length = character_length(c);
        char piece[8] = "";
        if (length == 0)
            snprintf(piece, sizeof piece, "\\ufffd");
        else if (*c == '"' || *c == '\\')
            snprintf(piece, sizeof piece, "\\%c", *c);
        else if (*c < 0x20)
            snprintf(piece, sizeof piece, "\\u%04x", (unsigned)*c);
        else
            memcpy(piece, c, length);
        json_append(json, piece);
        c += length > 0 ? length : 1;
    }
    json_append(json, "\"");
}
