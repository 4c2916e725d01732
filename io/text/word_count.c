/* SPDX-License-Identifier: Apache-2.0 */
#include "io/text/word_count.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/text/fields.h"
#include "io/text/read_units.h"
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
    bool in_line;
} Counting;

static void file_name(char path[PAL_PATH_SIZE + 64], const WorkFolder *folder, int rank, int64_t n)
{
    snprintf(path, PAL_PATH_SIZE + 64, "%s/words-%d-%lld", folder->path, rank, (long long)n);
}

/* --- one rank's counts ------------------------------------------------------------------------ */

static int compare_bytes(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length)
{
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    if (order != 0) return order;
    return a_length < b_length ? -1 : a_length > b_length;
}

static int compare_words(const void *a, const void *b)
{
    const Word *x = *(const Word *const *)a, *y = *(const Word *const *)b;
    return compare_bytes(x->bytes, x->length, y->bytes, y->length);
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
    file_name(path, c->folder, c->rank, c->files++);
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
    word->number++;
    return PAL_OK;
}

/* As the tokenizer will see them (tokenizer_words.c). */
static Status visit_field(void *context, const uint8_t *bytes, size_t length, int end)
{
    static const char line_end[] = PAL_LINE_END_WORD;
    Counting *c = context;
    if (length > 0) PAL_TRY(count_word(c, bytes, length));
    bool in_line = c->in_line || length > 0;
    bool line_ends = end == '\n' || (end == FIELD_LAST && in_line);
    c->in_line = !line_ends;
    return line_ends ? count_word(c, (const uint8_t *)line_end, sizeof line_end - 1) : PAL_OK;
}

static Status begin_part(void *context, const TextPart *part)
{
    Counting *c = context;
    (void)part;
    c->in_line = false;
    fields_begin(&c->fields, PAL_WORD_ENDS, visit_field, c);
    return PAL_OK;
}

static Status take(void *context, const uint8_t *bytes, size_t count)
{
    return fields_feed(&((Counting *)context)->fields, bytes, count);
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

/* --- merging ---------------------------------------------------------------------------------- */

/* One of the sorted files, at a line. */
typedef struct SortedFile {
    FILE *file;
    char *line;
    size_t room;
    int64_t count;
    const uint8_t *word;
    size_t length; /* of the word; no word: the file has ended */
    bool ended;
} SortedFile;

typedef struct Counted {
    uint8_t *word;
    size_t length;
    int64_t count;
} Counted;

typedef struct Merging {
    SortedFile *files;
    int64_t num_files;
    Counted *kept; /* (num_kept) */
    size_t num_kept, room;
    size_t wanted; /* the most frequent so many; 0: all */
    int64_t distinct;
} Merging;

static Status advance(SortedFile *f)
{
    errno = 0;
    ssize_t length = getline(&f->line, &f->room, f->file);
    f->ended = length <= 0;
    if (f->ended && ferror(f->file))
        PAL_FAIL(PAL_ERROR_IO, "counts of words cannot be read: %s", strerror(errno));
    if (f->ended) return PAL_OK;
    char *word;
    f->count = strtoll(f->line, &word, 10);
    f->word = (const uint8_t *)word + 1;
    f->length = (size_t)(f->line + length - 1 - (word + 1));
    return PAL_OK;
}

static int most_frequent_first(const void *a, const void *b)
{
    const Counted *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return compare_bytes(x->word, x->length, y->word, y->length);
}

/* Those that cannot be among the wanted go, now and then. */
static void prune(Merging *m, size_t wanted)
{
    if (m->num_kept > 1) qsort(m->kept, m->num_kept, sizeof *m->kept, most_frequent_first);
    while (m->num_kept > wanted) free(m->kept[--m->num_kept].word);
}

static Status keep(Merging *m, const Counted *counted)
{
    enum { SLACK = 1 << 20 };
    if (m->wanted > 0 && m->num_kept >= 2 * m->wanted + SLACK) prune(m, m->wanted);
    if (m->num_kept >= PAL_MOST_TOKENS + SLACK)
        PAL_FAIL(PAL_ERROR_DATA,
                 "the training split has more than %d different words; give the size of the "
                 "vocabulary (--vocab N)",
                 PAL_MOST_TOKENS);
    if (m->num_kept == m->room) {
        size_t room = 2 * m->room + 1024;
        Counted *grown = realloc(m->kept, room * sizeof *grown);
        if (grown == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "no memory for %zu words", room);
        m->kept = grown;
        m->room = room;
    }
    Counted *own = &m->kept[m->num_kept];
    *own = *counted;
    own->word = malloc(counted->length + 1);
    if (own->word == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "no memory for %zu words", m->num_kept);
    memcpy(own->word, counted->word, counted->length);
    m->num_kept++;
    return PAL_OK;
}

/* The least word of all files; NULL: all have ended. */
static const SortedFile *find_least(const Merging *m)
{
    const SortedFile *least = NULL;
    for (int64_t i = 0; i < m->num_files; i++) {
        const SortedFile *f = &m->files[i];
        if (f->ended) continue;
        if (least == NULL || compare_bytes(f->word, f->length, least->word, least->length) < 0)
            least = f;
    }
    return least;
}

static Status merge_word(Merging *m, const SortedFile *least)
{
    uint8_t word[PAL_FIELD_BYTES + 1];
    Counted counted = {word, least->length, 0};
    PAL_ASSERT(least->length <= sizeof word);
    memcpy(word, least->word, least->length);
    for (int64_t i = 0; i < m->num_files; i++) {
        SortedFile *f = &m->files[i];
        if (f->ended || compare_bytes(f->word, f->length, word, counted.length) != 0) continue;
        counted.count += f->count;
        PAL_TRY(advance(f));
    }
    m->distinct++;
    return keep(m, &counted);
}

static Status open_files(Merging *m, const WorkFolder *folder, const double *files, int ranks)
{
    int64_t i = 0;
    for (int rank = 0; rank < ranks; rank++)
        for (int64_t n = 0; n < (int64_t)files[rank]; n++) {
            char path[PAL_PATH_SIZE + 64];
            file_name(path, folder, rank, n);
            m->files[i].file = fopen(path, "rb");
            if (m->files[i].file == NULL)
                PAL_FAIL(PAL_ERROR_IO, "%s: cannot be opened: %s", path, strerror(errno));
            PAL_TRY(advance(&m->files[i++]));
        }
    return PAL_OK;
}

/* --- the vocabulary --------------------------------------------------------------------------- */

static bool is_word(const Counted *counted, const char *word)
{
    return counted->length == strlen(word) && memcmp(counted->word, word, counted->length) == 0;
}

/* A word that every vocabulary has takes the last place if it has none. */
static Status ensure(Merging *m, const char *word)
{
    for (size_t i = 0; i < m->num_kept; i++)
        if (is_word(&m->kept[i], word)) return PAL_OK;
    if (m->wanted > 0 && m->num_kept >= m->wanted) {
        size_t last = m->num_kept - 1;
        if (is_word(&m->kept[last], PAL_LINE_END_WORD)) last--;
        free(m->kept[last].word);
        memmove(&m->kept[last], &m->kept[last + 1], (m->num_kept - 1 - last) * sizeof *m->kept);
        m->num_kept--;
    }
    return keep(m, &(Counted){(uint8_t *)(uintptr_t)word, strlen(word), 0});
}

static Status make_model(const Merging *m, TokenizerModel *model)
{
    size_t size = 0;
    for (size_t i = 0; i < m->num_kept; i++) size += m->kept[i].length + 1;
    *model = (TokenizerModel){.kind = "words",
                              .vocabulary = checked_int((int64_t)m->num_kept) + 1,
                              .document_token = checked_int((int64_t)m->num_kept),
                              .bytes = malloc(size + 1),
                              .size = size};
    if (model->bytes == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "no memory for the vocabulary");
    uint8_t *to = model->bytes;
    for (size_t i = 0; i < m->num_kept; i++) {
        memcpy(to, m->kept[i].word, m->kept[i].length);
        to += m->kept[i].length;
        *to++ = '\n';
    }
    return PAL_OK;
}

static Status merge(Merging *m, int64_t vocabulary, TokenizerModel *model)
{
    const SortedFile *least;
    while ((least = find_least(m)) != NULL) PAL_TRY(merge_word(m, least));
    prune(m, m->wanted > 0 ? m->wanted : m->num_kept);
    PAL_TRY(ensure(m, PAL_LINE_END_WORD));
    PAL_TRY(ensure(m, PAL_UNKNOWN_WORD));
    if (m->num_kept >= PAL_MOST_TOKENS)
        PAL_FAIL(PAL_ERROR_DATA,
                 "the training split has %lld different words, more than the %d that can be; give "
                 "the size of the vocabulary (--vocab N)",
                 (long long)m->distinct, PAL_MOST_TOKENS - 1);
    if (m->num_kept < m->wanted)
        PAL_FAIL(PAL_ERROR_USAGE,
                 "--vocab %lld: the training split has %lld different words, which with <eos>, "
                 "<unk> and <doc> make a vocabulary of %zu at most; give fewer, or 0 for all",
                 (long long)vocabulary, (long long)m->distinct, m->num_kept + 1);
    return make_model(m, model);
}

/* Rank 0's alone. files (ranks): how many each rank has written. */
static Status merge_all(const WorkFolder *folder, const double *files, int ranks,
                        int64_t vocabulary, TokenizerModel *model)
{
    Merging m = {.wanted = vocabulary > 0 ? (size_t)vocabulary - 1 : 0};
    for (int rank = 0; rank < ranks; rank++) m.num_files += (int64_t)files[rank];
    m.files = fatal_calloc(checked_size(m.num_files) + 1, sizeof *m.files, "counts of words");
    Status status = open_files(&m, folder, files, ranks);
    if (status == PAL_OK) status = merge(&m, vocabulary, model);
    for (int64_t i = 0; i < m.num_files; i++) {
        if (m.files[i].file != NULL) fclose(m.files[i].file);
        free(m.files[i].line);
    }
    for (size_t i = 0; i < m.num_kept; i++) free(m.kept[i].word);
    free(m.kept);
    free(m.files);
    return status;
}

static void remove_files(const Counting *c)
{
    char path[PAL_PATH_SIZE + 64];
    for (int64_t n = 0; n < c->files; n++) {
        file_name(path, c->folder, c->rank, n);
        unlink(path);
    }
}

Status count_words(const TextParts *parts, const WorkFolder *folder, const Group *group,
                   int64_t vocabulary, TokenizerModel *model)
{
    *model = (TokenizerModel){0};
    Counting c = {.folder = folder, .rank = group->rank};
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
                                        ? merge_all(folder, files, group->size, vocabulary, model)
                                        : PAL_OK);
    remove_files(&c);
    word_table_empty(&c.words);
    free(files);
    return status;
}
