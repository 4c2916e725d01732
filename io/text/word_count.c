/* SPDX-License-Identifier: Apache-2.0 */
#include "io/text/word_count.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/text/fields.h"
#include "io/text/read_units.h"
#include "io/text/utf8.h"
#include "io/text/word_merge.h"
#include "io/text/word_table.h"
#include "io/text/words.h"
#include "mpi/collectives.h"
#include "src/base/checked.h"
#include "src/base/fatal.h"

/* Words are counted in memory up to so many bytes of them. */
enum { MOST_COUNTED_BYTES = 192 << 20 };

typedef struct Counting {
    const WorkFolder *folder;
    int rank;
    int64_t files; /* that this rank has written */
    WordTable words;
    Fields fields;
    bool in_line, keep_invalid;
    const TextParts *parts;
    const TextPart *part; /* that is being read, from byte `first` of its document on */
    int64_t first;
} Counting;

/* --- one rank's counts ------------------------------------------------------------------------ */

static int compare_words(const void *a, const void *b)
{
    const Word *x = *(const Word *const *)a, *y = *(const Word *const *)b;
    return word_compare(x->bytes, x->length, y->bytes, y->length);
}

static Status write_sorted(const char *path, Word *const *words, size_t count)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        PAL_FAIL(PAL_ERROR_CANT_CREATE, "%s: cannot be created: %s", path, strerror(errno));
    for (size_t i = 0; i < count; i++) {
        fprintf(file, "%lld ", (long long)words[i]->number);
        (void)fwrite(words[i]->bytes, 1, words[i]->length, file);
        (void)putc('\n', file);
    }
    bool failed = ferror(file) != 0;
    if (fclose(file) != 0 || failed)
        PAL_FAIL(PAL_ERROR_IO, "%s: cannot be written: %s", path, strerror(errno));
    return PAL_OK;
}

/* What has been counted to a file; the table is empty afterwards. */
static Status flush(Counting *c)
{
    size_t count = word_table_count(&c->words), i = 0;
    if (count == 0) return PAL_OK;
    char path[PAL_PATH_SIZE + 64];
    word_file_name(path, c->folder, c->rank, c->files++);
    Word **words = malloc(count * sizeof *words);
    if (words == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "no memory for %zu words", count);
    for (Word *word = c->words.words; word != NULL; word = word->hh.next) words[i++] = word;
    qsort(words, count, sizeof *words, compare_words);
    Status status = write_sorted(path, words, count);
    free(words);
    word_table_empty(&c->words);
    return status;
}

static Status count_word(Counting *c, const uint8_t *bytes, size_t length)
{
    Word *word = word_table_get(&c->words, bytes, length);
    if (word == NULL)
        PAL_FAIL(PAL_ERROR_UNAVAILABLE, "no memory for %zu words", word_table_count(&c->words));
    if (word->number++ > 0 || c->keep_invalid) return PAL_OK;
    const TextDocument *document = text_part_document(c->parts, c->part);
    return utf8_check(bytes, length, document->path, document->first + c->first + c->fields.passed);
}

static Status visit_field(void *context, const uint8_t *bytes, size_t length, int end)
{
    static const char line_end[] = PAL_LINE_END_WORD;
    Counting *c = context;
    if (length > 0) PAL_TRY(count_word(c, bytes, length));
    return word_line_ends(&c->in_line, length, end, false)
               ? count_word(c, (const uint8_t *)line_end, sizeof line_end - 1)
               : PAL_OK;
}

static Status begin_part(void *context, const TextPart *part)
{
    Counting *c = context;
    c->part = part;
    c->first = -1;
    c->in_line = false;
    fields_begin(&c->fields, PAL_WORD_ENDS, visit_field, c);
    return PAL_OK;
}

static Status take(void *context, const uint8_t *bytes, size_t count, int64_t place)
{
    Counting *c = context;
    if (c->first < 0) c->first = place;
    return fields_feed(&c->fields, bytes, count);
}

static Status end_part(void *context, const TextPart *part)
{
    Counting *c = context;
    (void)part;
    PAL_TRY(fields_end(&c->fields));
    return c->words.taken > MOST_COUNTED_BYTES ? flush(c) : PAL_OK;
}

static Status any_unit(void *context, int64_t unit)
{
    (void)context;
    (void)unit;
    return PAL_OK;
}

static void remove_files(const Counting *c)
{
    char path[PAL_PATH_SIZE + 64];
    for (int64_t n = 0; n < c->files; n++) {
        word_file_name(path, c->folder, c->rank, n);
        unlink(path);
    }
}

Status count_words(const TextParts *parts, const WorkFolder *folder, const Group *group,
                   int64_t vocabulary, bool keep_invalid, TokenizerModel *model)
{
    *model = (TokenizerModel){0};
    Counting c = {
        .folder = folder, .rank = group->rank, .parts = parts, .keep_invalid = keep_invalid};
    const UnitVisitor visitor = {.label = "words",
                                 .context = &c,
                                 .begin_unit = any_unit,
                                 .begin_part = begin_part,
                                 .take = take,
                                 .end_part = end_part,
                                 .end_unit = any_unit};
    int64_t count = 0;
    int64_t *units = fatal_calloc(checked_size(parts->num_units) + 1, sizeof *units, "units");
    for (int64_t u = 0; u < parts->num_units; u++)
        if (parts->parts[parts->first_part[u]].split == SPLIT_TRAIN) units[count++] = u;
    Status status = read_units(parts, group, units, count, &visitor);
    if (status == PAL_OK) status = group_agree(group, flush(&c));
    free(units);

    double *files = fatal_calloc(checked_size(group->size), sizeof *files, "counts of words");
    files[group->rank] = (double)c.files;
    group_sum_double(group, files, group->size);
    if (status == PAL_OK)
        status = group_agree(group, group_is_root(group)
                                        ? word_merge(folder, files, group->size, vocabulary, model)
                                        : PAL_OK);
    remove_files(&c);
    word_table_empty(&c.words);
    free(files);
    return status;
}
