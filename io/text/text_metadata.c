/* SPDX-License-Identifier: Apache-2.0
 *
 * PG-19's metadata.csv. Fields are cut by commas; one in quotation marks may have commas and line
 * ends in it, and a quotation mark as two (RFC 4180). There is no header row.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/text/text_layout.h"

enum { FIELDS = 4 }; /* id, title, year, address */

/* Of one line: its book's id, and its number, counted from 1. */
typedef struct Entry {
    char *id;
    int64_t line;
} Entry;

typedef struct Metadata {
    char path[PATH_MAX];
    FILE *file;
    int64_t line; /* that is being read */
    Entry *entries;
    size_t count;
} Metadata;

/* --- reading ---------------------------------------------------------------------------------- */

typedef struct Field {
    char *text;
    size_t length, room;
    int end; /* the character behind it: ',', '\n' or EOF */
    bool quoted;
} Field;

static Status append_character(Metadata *m, Field *field, int c)
{
    if (field->length + 1 >= field->room) {
        field->room = 2 * field->room + 64;
        char *grown = realloc(field->text, field->room);
        if (grown == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", m->path);
        field->text = grown;
    }
    field->text[field->length++] = (char)c;
    field->text[field->length] = '\0';
    return PAL_OK;
}

static int next_character(Metadata *m)
{
    int c = getc(m->file);
    if (c == '\n') m->line++;
    return c;
}

static Status read_field(Metadata *m, Field *field)
{
    const int64_t began = m->line;
    bool inside = false;
    field->length = 0;
    field->quoted = false;
    for (;;) {
        int c = next_character(m);
        if (inside && c == EOF)
            PAL_FAIL(PAL_ERROR_DATA,
                     "%s, line %lld: a quotation mark has no second one; expected id,title,year,"
                     "address, in quotation marks where a field has a comma",
                     m->path, (long long)began);
        if (!inside && (c == ',' || c == '\n' || c == EOF)) {
            field->end = c;
            break;
        }
        if (c == '"' && (inside || field->length == 0)) {
            int next = inside ? getc(m->file) : EOF;
            if (inside && next != '"' && next != EOF) ungetc(next, m->file);
            if (!inside || next != '"') {
                inside = !inside;
                field->quoted = true;
                continue;
            }
        }
        PAL_TRY(append_character(m, field, c));
    }
    if (field->length > 0 && field->text[field->length - 1] == '\r' && field->end == '\n')
        field->length--;
    return append_character(m, field, '\0');
}

static Status add_entry(Metadata *m, const char *id, int64_t line)
{
    Entry *grown = realloc(m->entries, (m->count + 1) * sizeof *grown);
    if (grown == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", m->path);
    m->entries = grown;
    grown[m->count] = (Entry){strdup(id), line};
    if (grown[m->count].id == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", m->path);
    m->count++;
    return PAL_OK;
}

/* One line; *ended at the end of the file. */
static Status read_line(Metadata *m, Field *field, bool *ended)
{
    const int64_t line = m->line;
    int fields = 1;
    PAL_TRY(read_field(m, field));
    *ended = field->end == EOF;
    if (field->text[0] == '\0' && field->end != ',') return PAL_OK; /* an empty line */
    PAL_TRY(add_entry(m, field->text, line));
    for (; field->end == ','; fields++) PAL_TRY(read_field(m, field));
    *ended = field->end == EOF;
    if (fields != FIELDS)
        PAL_FAIL(PAL_ERROR_DATA,
                 "%s, line %lld: has %d fields, expected %d: id,title,year,address, in quotation "
                 "marks where a field has a comma",
                 m->path, (long long)line, fields, FIELDS);
    return PAL_OK;
}

static Status read_all(Metadata *m)
{
    Field field = {0};
    Status status = PAL_OK;
    bool ended = false;
    m->line = 1;
    while (status == PAL_OK && !ended) status = read_line(m, &field, &ended);
    free(field.text);
    if (status == PAL_OK && ferror(m->file))
        status = PAL_FAILURE(PAL_ERROR_IO, "%s: cannot be read: %s", m->path, strerror(errno));
    return status;
}

/* --- held against the books ------------------------------------------------------------------- */

static int compare_entries(const void *a, const void *b)
{
    const Entry *x = a, *y = b;
    int order = strcmp(x->id, y->id);
    if (order != 0) return order;
    return x->line < y->line ? -1 : x->line > y->line;
}

static int compare_id(const void *id, const void *entry)
{
    return strcmp(id, ((const Entry *)entry)->id);
}

static Status check_unique(const Metadata *m)
{
    for (size_t i = 1; i < m->count; i++)
        if (strcmp(m->entries[i - 1].id, m->entries[i].id) == 0)
            PAL_FAIL(PAL_ERROR_DATA,
                     "%s: lines %lld and %lld are both of book '%.60s', expected one line for each "
                     "book; remove one",
                     m->path, (long long)m->entries[i - 1].line, (long long)m->entries[i].line,
                     m->entries[i].id);
    return PAL_OK;
}

/* Marks the lines that have books; the first book without one is an error. */
static Status check_books(const Metadata *m, const TextSource *source, bool *has_book)
{
    for (int s = 0; s < SPLIT_COUNT; s++)
        for (int64_t d = 0; d < source->count[s]; d++) {
            const TextDocument *book = &source->documents[s][d];
            const Entry *entry = m->count == 0 ? NULL
                                               : bsearch(book->name, m->entries, m->count,
                                                         sizeof *entry, compare_id);
            if (entry == NULL)
                PAL_FAIL(PAL_ERROR_DATA,
                         "%s: book '%s' has no line in %s; add one (id,title,year,address), remove "
                         "the book, or take them as they are with --subset",
                         book->path, book->name, m->path);
            has_book[entry - m->entries] = true;
        }
    return PAL_OK;
}

static Status check_lines(const Metadata *m, const char *input, const bool *has_book)
{
    int64_t missing = 0;
    const Entry *first = NULL;
    for (size_t i = 0; i < m->count; i++) {
        if (has_book[i]) continue;
        missing++;
        if (first == NULL || m->entries[i].line < first->line) first = &m->entries[i];
    }
    if (missing == 0) return PAL_OK;
    PAL_FAIL(
        PAL_ERROR_DATA,
        "%s, line %lld: book '%.60s' has no file %s/{train,validation,test}/%.60s.txt; %lld of "
        "%zu lines have none; copy the books again, or prepare those that are there with "
        "--subset",
        m->path, (long long)first->line, first->id, input, first->id, (long long)missing, m->count);
}

static Status check(const Metadata *m, const TextSource *source, const TextSourceOptions *options)
{
    if (m->count > 1) qsort(m->entries, m->count, sizeof *m->entries, compare_entries);
    PAL_TRY(check_unique(m));
    if (options->subset) return PAL_OK;
    bool *has_book = calloc(m->count + 1, sizeof *has_book);
    if (has_book == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", m->path);
    Status status = check_books(m, source, has_book);
    if (status == PAL_OK) status = check_lines(m, options->input, has_book);
    free(has_book);
    return status;
}

Status text_check_metadata(TextSource *source, const TextSourceOptions *options)
{
    Metadata m = {0};
    int length = snprintf(m.path, sizeof m.path, "%s/metadata.csv", options->input);
    if (length < 0 || (size_t)length >= sizeof m.path || access(m.path, F_OK) != 0) return PAL_OK;
    m.file = fopen(m.path, "r");
    if (m.file == NULL)
        PAL_FAIL(PAL_ERROR_NO_INPUT, "%s: cannot be opened: %s", m.path, strerror(errno));
    Status status = read_all(&m);
    if (status == PAL_OK) status = check(&m, source, options);
    source->has_metadata = status == PAL_OK;
    for (size_t i = 0; i < m.count; i++) free(m.entries[i].id);
    free(m.entries);
    fclose(m.file);
    return status;
}
