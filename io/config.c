/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading: defaults, then the text of a file, then assignments of the command line.
 */
#include "io/config.h"

#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/config_keys.h"

void config_defaults(Config *config)
{
    memset(config, 0, sizeof *config);
    for (int i = 0; i < num_config_keys; i++) {
        const ConfigKey *key = &config_keys[i];
        if (key->fallback == NULL) continue;
        Status status = config_key_parse(key, config, key->fallback, "defaults");
        PAL_ASSERT(status == PAL_OK);
        (void)status;
    }
}

/* --- the text of a file ---------------------------------------------------------------------- */

typedef struct IniText {
    Config *config;
    const char *name;
    const char *next; /* what has not been read yet */
    const char *line; /* the current line, all of it */
    size_t length;    /* of the current line */
    bool cut;         /* it was too long for inih's buffer */
    int number;       /* of the current line, from 1 */
    int *seen;        /* line of each key, 0: not yet */
    Status status;    /* of the first failure, at line failed_at */
    int failed_at;
} IniText;

static void remember(IniText *text, Status status)
{
    if (text->status != PAL_OK || status == PAL_OK) return;
    text->status = status;
    text->failed_at = text->number;
}

/* inih drops what follows a section's ']' without a word; only a comment may. */
static Status check_section(const IniText *text)
{
    static const char mark[] = "\xef\xbb\xbf"; /* of UTF-8; some editors begin files with it */
    const char *line = text->line, *end = text->line + text->length;
    if (text->number == 1 && strncmp(line, mark, strlen(mark)) == 0) line += strlen(mark);
    if (line == end || *line != '[') return PAL_OK;
    const char *rest = memchr(line, ']', (size_t)(end - line));
    if (rest == NULL) return PAL_OK;
    rest++;
    size_t name = (size_t)(rest - line);
    rest += strspn(rest, " \t\r");
    if (rest >= end || *rest == ';' || *rest == '#') return PAL_OK;
    PAL_FAIL(
        PAL_ERROR_CONFIG,
        "%s:%d: '%.*s' follows %.*s, expected nothing but a comment; put it into the next line",
        text->name, text->number, end - rest > 60 ? 60 : (int)(end - rest), rest,
        name > 60 ? 60 : (int)name, line);
}

/* inih's fgets. Leading blanks go, so that an indented line is not taken for a continuation; a line
 * longer than the buffer is cut, and on_value() looks at the whole one. */
static char *next_line(char *buffer, int size, void *stream)
{
    IniText *text = stream;
    if (*text->next == '\0') return NULL;
    text->number++;
    text->line = text->next + strspn(text->next, " \t");
    text->length = strcspn(text->line, "\n");
    text->next = text->line + text->length;
    if (*text->next == '\n') text->next++;
    remember(text, check_section(text));

    size_t room = (size_t)size - 2;
    text->cut = text->length > room;
    size_t copied = text->cut ? room : text->length;
    memcpy(buffer, text->line, copied);
    buffer[copied] = '\n';
    buffer[copied + 1] = '\0';
    return buffer;
}

/* The value of a line that was too long for inih, by its rules: from the first = or : on, up to a
 * comment, without blanks around. The caller frees it. */
static char *long_value(const IniText *text)
{
    char *line = strndup(text->line, text->length);
    if (line == NULL) return NULL;
    char *value = line + strcspn(line, "=:");
    if (*value != '\0') value++;
    char *comment = strchr(value, ';');
    while (comment != NULL && strchr(" \t", comment[-1]) == NULL)
        comment = strchr(comment + 1, ';');
    if (comment != NULL) *comment = '\0';
    value += strspn(value, " \t");
    size_t end = strlen(value);
    while (end > 0 && strchr(" \t\r", value[end - 1]) != NULL) end--;
    memmove(line, value, end);
    line[end] = '\0';
    return line;
}

static Status unknown_key(const char *section, const char *name, const char *where)
{
    const ConfigKey *near = config_key_nearest(section, name);
    if (section[0] == '\0')
        PAL_FAIL(PAL_ERROR_CONFIG, "%s: '%s' stands outside a section; did you mean %s in [%s]?",
                 where, name, near->name, near->section);
    if (!config_section_exists(section)) {
        char sections[256];
        PAL_FAIL(PAL_ERROR_CONFIG,
                 "%s: unknown section [%s]; the sections are %s; did you mean %s in [%s]?", where,
                 section, config_section_names(sections), near->name, near->section);
    }
    PAL_FAIL(PAL_ERROR_CONFIG, "%s: unknown key %s.%s; did you mean %s.%s?", where, section, name,
             near->section, near->name);
}

static Status take_value(IniText *text, const char *section, const char *name, const char *value)
{
    char where[PAL_PATH_SIZE + 16];
    snprintf(where, sizeof where, "%s:%d", text->name, text->number);
    const ConfigKey *key = config_key_find(section, name);
    if (key == NULL) return unknown_key(section, name, where);

    int *seen = &text->seen[key - config_keys];
    if (*seen != 0)
        PAL_FAIL(PAL_ERROR_CONFIG, "%s: %s.%s is given again, first in line %d; remove one", where,
                 section, name, *seen);
    *seen = text->number;
    return config_key_parse(key, text->config, value, where);
}

/* inih's handler; goes on after a failure but remembers the first only. */
static int on_value(void *user, const char *section, const char *name, const char *value)
{
    IniText *text = user;
    if (text->status != PAL_OK) return 1;
    char *whole = text->cut ? long_value(text) : NULL;
    remember(text, take_value(text, section, name, whole != NULL ? whole : value));
    free(whole);
    return 1;
}

static Status parse_ini(Config *config, const char *content, const char *name)
{
    int *seen = calloc((size_t)num_config_keys, sizeof *seen);
    if (seen == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", name);

    IniText text = {.config = config, .name = name, .next = content, .seen = seen};
    int bad_line = ini_parse_stream(next_line, &text, on_value, &text);
    free(seen);
    if (bad_line > 0 && (text.status == PAL_OK || bad_line < text.failed_at))
        PAL_FAIL(PAL_ERROR_CONFIG, "%s:%d: expected 'key = value', '[section]' or a # comment",
                 name, bad_line);
    if (bad_line < 0) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", name);
    return text.status;
}

/* --- the command line ------------------------------------------------------------------------ */

Status config_set(Config *config, const char *assignment)
{
    const char *equals = strchr(assignment, '=');
    const char *dot = strchr(assignment, '.');
    char section[64], name[64];
    if (equals == NULL || dot == NULL || dot > equals)
        PAL_FAIL(PAL_ERROR_CONFIG, "--set %.200s: expected section.key=value, e.g. batch.rows=4",
                 assignment);
    snprintf(section, sizeof section, "%.*s", (int)(dot - assignment), assignment);
    snprintf(name, sizeof name, "%.*s", (int)(equals - dot - 1), dot + 1);

    const ConfigKey *key = config_key_find(section, name);
    if (key == NULL) return unknown_key(section, name, "--set");
    return config_key_parse(key, config, equals + 1, "--set");
}

Status config_parse_text(Config *config, const char *text, const char *name,
                         const char *const *sets, int num_sets)
{
    config_defaults(config);
    PAL_TRY(parse_ini(config, text, name));
    for (int i = 0; i < num_sets; i++) PAL_TRY(config_set(config, sets[i]));

    Status status = config_check(config);
    if (status != PAL_OK) {
        char message[1024];
        snprintf(message, sizeof message, "%s", status_message());
        PAL_FAIL(status, "%s: %s", name, message);
    }
    return PAL_OK;
}

static int line_of(const char *content, size_t offset)
{
    int line = 1;
    for (size_t i = 0; i < offset; i++) line += content[i] == '\n';
    return line;
}

/* Opening a pipe could wait for ever. (A folder cannot be read, which the system says.) */
static Status check_regular(const char *path)
{
    struct stat found;
    if (stat(path, &found) == 0 && !S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode))
        PAL_FAIL(PAL_ERROR_CONFIG,
                 "%s: is a pipe, a device or the like, expected an INI file; write the "
                 "configuration into one",
                 path);
    return PAL_OK;
}

static Status read_text(const char *path, char **text)
{
    enum { LARGEST = 1 << 20 };
    PAL_TRY(check_regular(path));
    FILE *file = fopen(path, "r");
    if (file == NULL)
        PAL_FAIL(PAL_ERROR_NO_INPUT, "%s: the configuration cannot be opened: %s", path,
                 strerror(errno));
    char *content = malloc(LARGEST + 1);
    size_t length = content != NULL ? fread(content, 1, LARGEST + 1, file) : 0;
    int failed = ferror(file) ? errno : 0;
    fclose(file);

    Status status = PAL_OK;
    if (content == NULL)
        status = PAL_FAILURE(PAL_ERROR_UNAVAILABLE, "%s: out of memory", path);
    else if (failed != 0)
        status = PAL_FAILURE(PAL_ERROR_NO_INPUT, "%s: the configuration cannot be read: %s", path,
                             strerror(failed));
    else if (length > LARGEST)
        status =
            PAL_FAILURE(PAL_ERROR_CONFIG, "%s: is larger than 1 MiB, expected an INI file", path);
    else if (memchr(content, '\0', length) != NULL)
        status = PAL_FAILURE(
            PAL_ERROR_CONFIG, "%s:%d: a zero byte, expected an INI file; was it damaged?", path,
            line_of(content, (size_t)((char *)memchr(content, '\0', length) - content)));
    if (status != PAL_OK) {
        free(content);
        return status;
    }
    content[length] = '\0';
    *text = content;
    return PAL_OK;
}

Status config_read(Config *config, const char *path, const char *const *sets, int num_sets)
{
    char *text = NULL;
    PAL_TRY(read_text(path, &text));
    Status status = config_parse_text(config, text, path, sets, num_sets);
    free(text);
    return status;
}
