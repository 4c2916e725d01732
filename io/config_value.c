/* SPDX-License-Identifier: Apache-2.0
 *
 * One value of the configuration from and to text, by the kind of its key.
 */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/config_keys.h"
#include "io/number.h"

static void *member(const ConfigKey *key, Config *config) { return (char *)config + key->offset; }

const char *config_key_expected(const ConfigKey *key, char text[256])
{
    static const char *const formats[] = {
        [KEY_INT] = "a whole number in %s",
        [KEY_LONG] = "a whole number in %s",
        [KEY_AUTO] = "auto, or a whole number in %s",
        [KEY_REAL] = "a number in %s",
        [KEY_BOOL] = "true or false",
        [KEY_CHOICE] = "one of %s",
        [KEY_LIST] = "whole numbers in %s, separated by commas",
        [KEY_PATH] = "a file name",
    };
    const char *format = formats[key->kind];
    const char *hole = strstr(format, "%s");
    int used = 0;
    if (key->kind == KEY_LIST) used = snprintf(text, 256, "up to %lld ", (long long)key->capacity);
    size_t left = 256 - (size_t)used;
    if (hole == NULL)
        snprintf(text, left, "%s", format);
    else
        snprintf(text + used, left, "%.*s%s%s", (int)(hole - format), format, key->allowed,
                 hole + 2);
    return text;
}

static Status refuse(const ConfigKey *key, const char *value, const char *where)
{
    char expected[256];
    PAL_FAIL(PAL_ERROR_CONFIG, "%s: %s.%s = %.200s: expected %s", where, key->section, key->name,
             value, config_key_expected(key, expected));
}

/* Is value in "[low, high]"? A round bracket leaves the bound itself out. */
/* long double holds every 64-bit integer. */
static bool in_range(const char *range, long double value)
{
    char *comma;
    long double low = strtold(range + 1, &comma);
    char *end;
    long double high = strtold(comma + 1, &end);
    bool above = *range == '[' ? value >= low : value > low;
    bool below = *end == ']' ? value <= high : value < high;
    return above && below;
}

static bool parse_long(const ConfigKey *key, const char *value, int64_t *number)
{
    return integer_parse(value, number) && in_range(key->allowed, (long double)*number);
}

static bool parse_int(const ConfigKey *key, const char *value, int *number)
{
    int64_t wide;
    if (!parse_long(key, value, &wide) || wide > INT_MAX || wide < INT_MIN) return false;
    *number = (int)wide;
    return true;
}

static bool parse_auto(const ConfigKey *key, const char *value, int *number)
{
    if (strcmp(value, "auto") != 0) return parse_int(key, value, number);
    *number = PAL_AUTO;
    return true;
}

static bool parse_bool(const char *value, bool *flag)
{
    static const struct {
        const char *text;
        bool flag;
    } words[] = {{"true", true},   {"yes", true}, {"on", true},   {"1", true},
                 {"false", false}, {"no", false}, {"off", false}, {"0", false}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(value, words[i].text) != 0) continue;
        *flag = words[i].flag;
        return true;
    }
    return false;
}

/* The place of `value` in "a|b|c". */
static bool parse_choice(const char *choices, const char *value, int *index)
{
    size_t length = strlen(value);
    int place = 0;
    for (const char *choice = choices; choice != NULL; place++) {
        size_t width = strcspn(choice, "|");
        if (width == length && strncmp(choice, value, width) == 0) {
            *index = place;
            return true;
        }
        choice = choice[width] == '|' ? choice + width + 1 : NULL;
    }
    return false;
}

static bool parse_list(const ConfigKey *key, const char *value, int *entries, int *length)
{
    int parsed[PAL_MAX_LAYERS];
    int count = 0;
    for (const char *at = value; at != NULL;) {
        size_t width = strcspn(at, ",");
        char entry[32];
        if (width >= sizeof entry || count == key->capacity) return false;
        snprintf(entry, sizeof entry, "%.*s", (int)width, at);
        if (!parse_int(key, entry, &parsed[count])) return false;
        count++;
        at = at[width] == ',' ? at + width + 1 : NULL;
    }
    memset(entries, 0, (size_t)key->capacity * sizeof *entries);
    memcpy(entries, parsed, (size_t)count * sizeof *entries);
    *length = count;
    return true;
}

/* What a line of an INI file can hold and give back unchanged. */
static bool parse_path(const char *value, char *path)
{
    size_t length = strlen(value);
    if (length == 0 || length >= PAL_PATH_SIZE) return false;
    if (strpbrk(value, "\r\n") != NULL) return false;
    if (strchr(" \t;", value[0]) != NULL || strchr(" \t", value[length - 1]) != NULL) return false;
    for (const char *c = strchr(value, ';'); c != NULL; c = strchr(c + 1, ';'))
        if (strchr(" \t", c[-1]) != NULL) return false; /* a comment to inih */
    memset(path, 0, PAL_PATH_SIZE);
    memcpy(path, value, length + 1);
    return true;
}

Status config_key_parse(const ConfigKey *key, Config *config, const char *value, const char *where)
{
    void *to = member(key, config);
    bool good = false;
    double number;
    int index;
    switch (key->kind) {
    case KEY_INT: good = parse_int(key, value, to); break;
    case KEY_LONG: good = parse_long(key, value, &(int64_t){0}) && integer_parse(value, to); break;
    case KEY_AUTO: good = parse_auto(key, value, to); break;
    case KEY_REAL:
        good = number_parse(value, &number) && isfinite(number) && in_range(key->allowed, number);
        if (good) *(double *)to = number;
        break;
    case KEY_BOOL: good = parse_bool(value, to); break;
    case KEY_CHOICE:
        good = parse_choice(key->allowed, value, &index);
        if (good) memcpy(to, &index, sizeof index);
        break;
    case KEY_LIST:
        good = parse_list(key, value, to, (int *)(void *)((char *)config + key->length_offset));
        break;
    case KEY_PATH: good = parse_path(value, to); break;
    }
    return good ? PAL_OK : refuse(key, value, where);
}

static void choice_text(const char *choices, int index, char *text)
{
    const char *choice = choices;
    for (int i = 0; i < index; i++) choice += strcspn(choice, "|") + 1;
    snprintf(text, PAL_VALUE_SIZE, "%.*s", (int)strcspn(choice, "|"), choice);
}

static void list_text(const int *entries, int length, char *text)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < length; i++)
        used += (size_t)snprintf(text + used, PAL_VALUE_SIZE - used, "%s%d", i > 0 ? ", " : "",
                                 entries[i]);
}

const char *config_key_text(const ConfigKey *key, const Config *config, char text[PAL_VALUE_SIZE])
{
    const void *from = (const char *)config + key->offset;
    char number[32];
    switch (key->kind) {
    case KEY_AUTO:
        if (*(const int *)from == PAL_AUTO) {
            snprintf(text, PAL_VALUE_SIZE, "auto");
            break;
        } /* fall through */
    case KEY_INT: snprintf(text, PAL_VALUE_SIZE, "%d", *(const int *)from); break;
    case KEY_LONG: snprintf(text, PAL_VALUE_SIZE, "%lld", (long long)*(const int64_t *)from); break;
    case KEY_REAL:
        snprintf(text, PAL_VALUE_SIZE, "%s", number_text(*(const double *)from, number));
        break;
    case KEY_BOOL:
        snprintf(text, PAL_VALUE_SIZE, "%s", *(const bool *)from ? "true" : "false");
        break;
    case KEY_CHOICE: choice_text(key->allowed, *(const int *)from, text); break;
    case KEY_LIST:
        list_text(from, *(const int *)(const void *)((const char *)config + key->length_offset),
                  text);
        break;
    case KEY_PATH: snprintf(text, PAL_VALUE_SIZE, "%s", (const char *)from); break;
    }
    return text;
}
