/* SPDX-License-Identifier: Apache-2.0
 *
 * Texts cut into parts: whatever the size of parts, together they have every byte once, in order, and
 * each begins with a line. Fields: what is cut where does not depend on the pieces that text comes in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/text/fields.h"
#include "io/text/text_reader.h"
#include "src/base/random.h"
#include "tests/test_io_support.h"

static char folder[256];

static int set_up(void **state)
{
    (void)state;
    return temporary_folder(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

/* Letters with a line end one time in `period`; 0: none. */
static void draw_text(uint8_t *text, int64_t length, int period, uint64_t seed)
{
    RandomStream stream = random_stream(seed, "text");
    for (int64_t i = 0; i < length; i++) {
        double u = random_uniform(stream, (uint64_t)i);
        bool ends = period > 0 && u * period < 1.0;
        text[i] = (uint8_t)(ends ? '\n' : 'a' + (int)(u * 1e6) % 26);
    }
}

static void write_bytes(const char *path, const uint8_t *bytes, int64_t count)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, (size_t)count, file), count);
    fclose(file);
}

/* Reads all parts of one document after the other and holds them against the text. */
static void check_parts(const TextSource *source, const uint8_t *text, int64_t length,
                        int64_t unit_bytes)
{
    TextParts parts;
    int64_t done = 0, cost = 0;
    text_parts_create(&parts, source, unit_bytes);
    for (int64_t u = 0; u < parts.num_units; u++) {
        assert_true(text_unit_cost(&parts, u) <= unit_bytes);
        cost += text_unit_cost(&parts, u);
    }
    assert_int_equal(cost, length);
    for (int64_t i = 0; i < parts.num_parts; i++) {
        TextReader reader;
        const uint8_t *bytes;
        size_t count;
        const TextPart *part = &parts.parts[i];
        assert_int_equal(text_reader_begin(&reader, text_part_document(&parts, part), *part),
                         PAL_OK);
        assert_int_equal(text_reader_next(&reader, &bytes, &count), PAL_OK);
        if (count > 0) { /* the first line of the part begins in it */
            assert_true(done == 0 || text[done - 1] == '\n');
            assert_true(done >= part->first && done < part->end);
        }
        while (count > 0) {
            assert_true(done + (int64_t)count <= length);
            assert_memory_equal(bytes, text + done, count);
            done += (int64_t)count;
            assert_int_equal(text_reader_next(&reader, &bytes, &count), PAL_OK);
        }
        text_reader_end(&reader);
    }
    assert_int_equal(done, length);
    text_parts_destroy(&parts);
}

static void parts_have_every_byte_once(void **state)
{
    (void)state;
    static const int64_t lengths[] = {0, 1, 2, 57, 1000, 4096};
    static const int periods[] = {0, 1, 2, 30, 700};
    uint8_t text[4096];
    char path[512];
    in_folder(folder, "text.txt", path);
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
        for (size_t p = 0; p < sizeof periods / sizeof *periods; p++) {
            TextSource source = {0};
            draw_text(text, lengths[l], periods[p], 10 * l + p);
            write_bytes(path, text, lengths[l]);
            assert_int_equal(text_source_add(&source, SPLIT_TRAIN, path, 0, -1), PAL_OK);
            for (int64_t unit = 1; unit < 5000; unit = unit * 3 + 1)
                check_parts(&source, text, lengths[l], unit);
            text_source_close(&source);
        }
}

/* Longer than the reader's buffer, lines that go over its ends. */
static void long_texts_too(void **state)
{
    (void)state;
    enum { LENGTH = 5 * PAL_READ_BYTES / 2 };
    static const int periods[] = {0, 50, 400000};
    uint8_t *text = malloc(LENGTH);
    char path[512];
    in_folder(folder, "long.txt", path);
    for (size_t p = 0; p < sizeof periods / sizeof *periods; p++) {
        TextSource source = {0};
        draw_text(text, LENGTH, periods[p], p);
        write_bytes(path, text, LENGTH);
        assert_int_equal(text_source_add(&source, SPLIT_TRAIN, path, 0, -1), PAL_OK);
        for (int64_t unit = 300000; unit < 4 * PAL_READ_BYTES; unit = unit * 7 / 3)
            check_parts(&source, text, LENGTH, unit);
        text_source_close(&source);
    }
    free(text);
}

/* --- fields ----------------------------------------------------------------------------------- */

/* What was visited, as text: each field, then its end in brackets. */
typedef struct Visited {
    char text[40000];
    size_t length;
    int64_t passed; /* bytes of the fields, and the bytes that ended them */
    size_t longest;
} Visited;

static Status visit(void *context, const uint8_t *bytes, size_t length, int end)
{
    Visited *v = context;
    if (length > 0) memcpy(v->text + v->length, bytes, length);
    v->length += length;
    v->length += (size_t)snprintf(v->text + v->length, 8, "[%d]", end);
    v->passed += (int64_t)length + (end >= 0);
    if (length > v->longest) v->longest = length;
    return PAL_OK;
}

static void cut_fields(Visited *v, const uint8_t *text, size_t length, size_t piece)
{
    Fields fields;
    v->length = v->longest = 0;
    v->passed = 0;
    fields_begin(&fields, " \n", visit, v);
    for (size_t done = 0; done < length; done += piece) {
        size_t count = length - done < piece ? length - done : piece;
        assert_int_equal(fields_feed(&fields, text + done, count), PAL_OK);
    }
    assert_int_equal(fields_end(&fields), PAL_OK);
    assert_int_equal(fields.passed, length);
}

static void fields_do_not_depend_on_pieces(void **state)
{
    (void)state;
    enum { LENGTH = 3 * PAL_FIELD_BYTES };
    static uint8_t text[LENGTH];
    static Visited whole, cut;
    static const char character[] = "\xE4\xB8\xAD"; /* of three bytes */
    for (int period = 0; period < 5000; period = period * 4 + 1) {
        for (int i = 0; i < LENGTH; i++) text[i] = (uint8_t)character[i % 3];
        for (int i = 0; period > 0 && i < LENGTH; i += period) text[i] = i % 2 ? ' ' : '\n';
        cut_fields(&whole, text, LENGTH, LENGTH);
        assert_int_equal(whole.passed, LENGTH);
        assert_true(whole.longest <= PAL_FIELD_BYTES);
        for (size_t piece = 1; piece < LENGTH; piece = piece * 5 + 2) {
            cut_fields(&cut, text, LENGTH, piece);
            assert_int_equal(cut.length, whole.length);
            assert_memory_equal(cut.text, whole.text, whole.length);
        }
        /* Without any end every cut is between two characters. */
        if (period == 0) assert_int_equal(whole.longest, PAL_FIELD_BYTES / 3 * 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_have_every_byte_once),
        cmocka_unit_test(long_texts_too),
        cmocka_unit_test(fields_do_not_depend_on_pieces),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
