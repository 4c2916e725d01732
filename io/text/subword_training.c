/* SPDX-License-Identifier: Apache-2.0 */
#include "io/text/subword_training.h"

#include <stdlib.h>
#include <string.h>

#include "io/text/fields.h"
#include "io/text/subword_model.h"
#include "io/text/text_reader.h"
#include "io/text/utf8.h"
#include "src/base/checked.h"
#include "src/base/fatal.h"
#include "src/base/log.h"
#include "src/base/random.h"
#include "src/base/timer.h"
#include "src/base/whereabouts.h"

#define DOCUMENT_SYMBOL "<doc>"

/* Lines of the sample, one after the other. */
typedef struct Sample {
    const TextParts *parts;
    int64_t *order; /* (count) parts of the training split, as drawn */
    int64_t count, next;
    double wanted, taken; /* bytes */
    TextReader reader;
    bool open;
    Fields fields;
    char *lines; /* of the piece that was read: each with a space before and a line end behind */
    size_t length, room, given;
    Status status;
} Sample;

static void draw(Sample *s)
{
    const TextParts *parts = s->parts;
    int64_t first = 0;
    while (first < parts->num_parts && parts->parts[first].split != SPLIT_TRAIN) first++;
    while (first + s->count < parts->num_parts &&
           parts->parts[first + s->count].split == SPLIT_TRAIN)
        s->count++;
    s->order = fatal_calloc(checked_size(s->count) + 1, sizeof *s->order, "a sample of the text");
    random_permutation(random_stream(0, "prepare/sample"), s->count, s->order);
    for (int64_t i = 0; i < s->count; i++) s->order[i] += first;
}

static Status add_line(void *context, const uint8_t *bytes, size_t length, int end)
{
    Sample *s = context;
    (void)end;
    if (length == 0 || utf8_valid_length(bytes, length) < length) return PAL_OK;
    if (s->length + length + 2 > s->room) {
        size_t room = 2 * s->room + length + PAL_READ_BYTES;
        char *grown = realloc(s->lines, room);
        if (grown == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "no memory for a sample of the text");
        s->lines = grown;
        s->room = room;
    }
    s->lines[s->length] = ' ';
    memcpy(s->lines + s->length + 1, bytes, length);
    s->length += length + 2;
    s->lines[s->length - 1] = '\n';
    s->taken += (double)length;
    return PAL_OK;
}

/* The lines of the next piece of the sample, if there is one. */
static Status read_lines(Sample *s)
{
    const uint8_t *bytes;
    size_t count;
    if (!s->open) {
        const TextPart *part = &s->parts->parts[s->order[s->next++]];
        fields_begin(&s->fields, "\n", add_line, s);
        s->open = true;
        PAL_TRY(text_reader_begin(&s->reader, text_part_document(s->parts, part), *part));
    }
    PAL_TRY(text_reader_next(&s->reader, &bytes, &count));
    whereabouts_progress();
    if (count > 0) return fields_feed(&s->fields, bytes, count);
    text_reader_end(&s->reader);
    s->open = false;
    return fields_end(&s->fields);
}

static bool next_line(void *context, const char **text, size_t *length)
{
    Sample *s = context;
    while (s->given == s->length) {
        bool more = s->open || s->next < s->count;
        s->given = s->length = 0;
        if (s->status != PAL_OK || !more || s->taken >= s->wanted) return false;
        s->status = read_lines(s);
    }
    const char *line = s->lines + s->given;
    const char *end = memchr(line, '\n', s->length - s->given);
    *text = line;
    *length = (size_t)(end - line);
    s->given += *length + 1;
    return true;
}

/* What the library says, without the place in its sources before it. */
static const char *said(const char *reason)
{
    const char *bracket = strrchr(reason, ']');
    return bracket != NULL && bracket[1] == ' ' ? bracket + 2 : reason;
}

static Status train(Sample *s, const SubwordOptions *options, TokenizerModel *model)
{
    const SubwordTraining training = {.algorithm = options->algorithm,
                                      .vocabulary = checked_int(options->vocabulary),
                                      .document_symbol = DOCUMENT_SYMBOL,
                                      .next = next_line,
                                      .context = s};
    char reason[PAL_REASON_SIZE] = "";
    void *bytes = NULL;
    size_t size = 0;
    bool learned = subword_model_train(&training, &bytes, &size, reason);
    if (s->status != PAL_OK) {
        free(bytes);
        return s->status;
    }
    if (s->taken == 0.0)
        PAL_FAIL(PAL_ERROR_DATA,
                 "the training split has no line of UTF-8 to learn subwords from; give text, or "
                 "use --tokenizer bytes");
    if (!learned)
        PAL_FAIL(PAL_ERROR_USAGE,
                 "--vocab %lld: SentencePiece cannot learn so many subwords from %.2f MB of text: "
                 "%.300s Give another number, or more text",
                 (long long)options->vocabulary, 1e-6 * s->taken, said(reason));
    SubwordModel *loaded = subword_model_load(bytes, size, reason);
    *model = (TokenizerModel){.kind = "sentencepiece", .bytes = bytes, .size = size};
    if (loaded == NULL)
        PAL_FAIL(PAL_ERROR_INTERNAL, "the model learned cannot be read: %s", reason);
    model->vocabulary = subword_model_size(loaded);
    model->document_token = subword_model_find(loaded, DOCUMENT_SYMBOL);
    subword_model_free(loaded);
    return PAL_OK;
}

Status learn_subwords(const TextParts *parts, const SubwordOptions *options, TokenizerModel *model)
{
    Sample s = {.parts = parts, .wanted = options->sample_bytes};
    double start = timer_seconds();
    draw(&s);
    log_info("learning %lld subwords (SentencePiece, %s) from up to %.1f MB of the training split",
             (long long)options->vocabulary, options->algorithm, 1e-6 * options->sample_bytes);
    Status status = train(&s, options, model);
    if (status == PAL_OK)
        log_info("learned from %.1f MB in %.1f s", 1e-6 * s.taken, timer_seconds() - start);
    if (s.open) text_reader_end(&s.reader);
    free(s.order);
    free(s.lines);
    return status;
}
