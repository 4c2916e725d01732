/* SPDX-License-Identifier: Apache-2.0 */
#include "io/text/utf8.h"

/* Bytes of the character that begins here; 0: none does. No overlong forms, no surrogates, nothing
 * above U+10FFFF. */
static size_t character_length(const uint8_t *b, size_t left)
{
    static const struct {
        uint8_t first, last, low, high; /* of the first byte; of the second one */
        size_t length;
    } forms[] = {
        {0x00, 0x7F, 0, 0, 1},       {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
        {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
        {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (b[0] < forms[i].first || b[0] > forms[i].last) continue;
        size_t length = forms[i].length;
        if (length > left) return 0;
        if (length > 1 && (b[1] < forms[i].low || b[1] > forms[i].high)) return 0;
        for (size_t k = 2; k < length; k++)
            if ((b[k] & 0xC0) != 0x80) return 0;
        return length;
    }
    return 0;
}

size_t utf8_valid_length(const uint8_t *bytes, size_t count)
{
    size_t valid = 0;
    while (valid < count) {
        size_t length = bytes[valid] < 0x80 ? 1 : character_length(bytes + valid, count - valid);
        if (length == 0) break;
        valid += length;
    }
    return valid;
}

Status utf8_check(const uint8_t *bytes, size_t count, const char *path, int64_t offset)
{
    size_t valid = utf8_valid_length(bytes, count);
    if (valid == count) return PAL_OK;
    PAL_FAIL(PAL_ERROR_DATA,
             "%s: is no UTF-8: byte %lld is 0x%02X, which cannot stand there; convert it (e.g. "
             "iconv -f LATIN1 -t UTF-8), or keep such bytes as they are with --keep-invalid",
             path, (long long)(offset + (int64_t)valid), bytes[valid]);
}
