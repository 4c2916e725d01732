/* SPDX-License-Identifier: Apache-2.0 */
#include "io/text/word_merge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/text/fields.h"
#include "io/text/word_table.h"
#include "io/text/words.h"
#include "src/base/checked.h"
#include "src/base/fatal.h"

void word_file_name(char path[PAL_PATH_SIZE + 64], const WorkFolder *folder, int rank, int64_t n)
{
    snprintf(path, PAL_PATH_SIZE + 64, "%s/words-%d-%lld", folder->path, rank, (long long)n);
}

int word_compare(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length)
{
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    if (order != 0) return order;
    return a_length < b_length ? -1 : a_length > b_length;
}

/* --- sorted files ------------------------------------------------------------------------------ */

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
    return word_compare(x->word, x->length, y->word, y->length);
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
        if (least == NULL || word_compare(f->word, f->length, least->word, least->length) < 0)
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
        if (f->ended || word_compare(f->word, f->length, word, counted.length) != 0) continue;
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
            word_file_name(path, folder, rank, n);
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

Status word_merge(const WorkFolder *folder, const double *files, int ranks, int64_t vocabulary,
                  TokenizerModel *model)
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
