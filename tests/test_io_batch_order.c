/* SPDX-License-Identifier: Apache-2.0
 *
 * The order of training documents against a slow simulation that moves token by token.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "io/batch_order.h"
#include "src/base/random.h"

enum { MOST_ROWS = 16 };

/* Document of element e of the sequence, made anew each time. */
static int64_t slow_document(int64_t documents, bool shuffle, uint64_t seed, int64_t element)
{
    if (!shuffle) return element % documents;
    int64_t *permutation = malloc((size_t)documents * sizeof *permutation);
    random_permutation(
        random_substream(random_stream(seed, "data/order"), (uint64_t)(element / documents), 0),
        documents, permutation);
    int64_t document = permutation[element % documents];
    free(permutation);
    return document;
}

typedef struct SlowRow {
    int64_t element, position;
} SlowRow;

static void simulate_and_compare(int rows, int window, int64_t documents, const int64_t *offsets,
                                 bool shuffle, uint64_t seed, int windows)
{
    BatchOrder *order;
    RowWindow found[MOST_ROWS];
    SlowRow slow[MOST_ROWS];
    int64_t next = 0;
    assert_int_equal(batch_order_create(&order, rows, window, documents, offsets, shuffle, seed),
                     PAL_OK);
    for (int r = 0; r < rows; r++) slow[r] = (SlowRow){next++, 0};

    for (int w = 0; w < windows; w++) {
        batch_order_next(order, found);
        bool ended[MOST_ROWS];
        for (int r = 0; r < rows; r++) {
            int64_t document = slow_document(documents, shuffle, seed, slow[r].element);
            int64_t length = offsets[document + 1] - offsets[document];
            assert_int_equal(found[r].document, document);
            assert_int_equal(found[r].offset, slow[r].position);
            assert_int_equal(found[r].epoch, slow[r].element / documents);
            assert_int_equal(found[r].starts, slow[r].position == 0);
            int count = 0;
            while (count < window && slow[r].position < length) {
                count++;
                slow[r].position++;
            }
            assert_int_equal(found[r].count, count);
            ended[r] = slow[r].position == length;
            assert_int_equal(found[r].ends, ended[r]);
        }
        for (int r = 0; r < rows; r++)
            if (ended[r]) slow[r] = (SlowRow){next++, 0};
        assert_int_equal(order->next, next);
    }
    assert_false(batch_order_done(order));
    batch_order_destroy(&order);
}

static void rows_take_documents_in_turn(void **state)
{
    (void)state;
    const int64_t even[] = {0, 8, 16, 24, 32}, uneven[] = {0, 1, 14, 17, 40, 41, 42};
    for (int shuffle = 0; shuffle < 2; shuffle++) {
        for (int rows = 1; rows <= 9; rows += 2) {
            simulate_and_compare(rows, 4, 4, even, shuffle, 1, 60);
            simulate_and_compare(rows, 4, 6, uneven, shuffle, 7, 60);
            simulate_and_compare(rows, 50, 6, uneven, shuffle, 7, 20);
        }
    }
}

static void every_token_comes_once_in_an_epoch(void **state)
{
    (void)state;
    enum { DOCUMENTS = 5, TOKENS = 60, EPOCHS = 4 };
    const int64_t offsets[DOCUMENTS + 1] = {0, 9, 10, 30, 42, TOKENS};
    int seen[EPOCHS][TOKENS] = {0};
    BatchOrder *order;
    RowWindow windows[3];
    assert_int_equal(batch_order_create(&order, 3, 4, DOCUMENTS, offsets, true, 3), PAL_OK);
    for (int w = 0; w < 120; w++) {
        batch_order_next(order, windows);
        for (int r = 0; r < 3; r++)
            for (int i = 0; i < windows[r].count && windows[r].epoch < EPOCHS; i++)
                seen[windows[r].epoch][offsets[windows[r].document] + windows[r].offset + i]++;
    }
    for (int e = 0; e < EPOCHS; e++)
        for (int i = 0; i < TOKENS; i++) assert_int_equal(seen[e][i], 1);
    batch_order_destroy(&order);
}

static void epochs_are_shuffled_anew(void **state)
{
    (void)state;
    enum { DOCUMENTS = 20 };
    int64_t offsets[DOCUMENTS + 1];
    for (int d = 0; d <= DOCUMENTS; d++) offsets[d] = d;
    BatchOrder *order;
    RowWindow window;
    int64_t first[DOCUMENTS], second[DOCUMENTS];
    assert_int_equal(batch_order_create(&order, 1, 4, DOCUMENTS, offsets, true, 3), PAL_OK);
    for (int d = 0; d < DOCUMENTS; d++) {
        batch_order_next(order, &window);
        first[d] = window.document;
    }
    for (int d = 0; d < DOCUMENTS; d++) {
        batch_order_next(order, &window);
        second[d] = window.document;
    }
    assert_memory_not_equal(first, second, sizeof first);
    batch_order_destroy(&order);
}

static void one_document_is_cut_into_lanes(void **state)
{
    (void)state;
    const int64_t offsets[] = {0, 23}; /* lanes [0,6) [6,12) [12,18) [18,23) */
    const int64_t begins[] = {0, 6, 12, 18, 23};
    int seen[3][23] = {0};
    BatchOrder *order;
    RowWindow windows[4];
    assert_int_equal(batch_order_create(&order, 4, 4, 1, offsets, true, 3), PAL_OK);
    for (int w = 0; w < 6; w++) {
        batch_order_next(order, windows);
        for (int r = 0; r < 4; r++) {
            assert_int_equal(windows[r].document, 0);
            assert_int_equal(windows[r].epoch, w / 2);
            assert_int_equal(windows[r].starts, w % 2 == 0);
            assert_int_equal(windows[r].ends, w % 2 == 1);
            assert_int_equal(windows[r].offset, begins[r] + (w % 2 == 1 ? 4 : 0));
            for (int i = 0; i < windows[r].count; i++) seen[w / 2][windows[r].offset + i]++;
        }
    }
    for (int e = 0; e < 3; e++)
        for (int i = 0; i < 23; i++) assert_int_equal(seen[e][i], 1);
    batch_order_destroy(&order);
    assert_int_equal(batch_order_create(&order, 24, 4, 1, offsets, true, 3), PAL_ERROR_DATA);
    assert_int_equal(batch_order_create(&order, 2, 4, 0, offsets, true, 3), PAL_ERROR_DATA);
}

static void restart_and_compare(int rows, int64_t documents, const int64_t *offsets)
{
    BatchOrder *whole, *again;
    RowWindow expected[MOST_ROWS], found[MOST_ROWS];
    for (int stop = 0; stop < 30; stop++) {
        assert_int_equal(batch_order_create(&whole, rows, 4, documents, offsets, true, 5), PAL_OK);
        assert_int_equal(batch_order_create(&again, rows, 4, documents, offsets, true, 5), PAL_OK);
        for (int w = 0; w < stop; w++) batch_order_next(whole, expected);
        assert_int_equal(batch_order_restore(again, whole->cursors, whole->next), PAL_OK);
        for (int w = 0; w < 30; w++) {
            memset(expected, 0, sizeof expected);
            memset(found, 0, sizeof found);
            batch_order_next(whole, expected);
            batch_order_next(again, found);
            for (int r = 0; r < rows; r++) {
                assert_int_equal(found[r].document, expected[r].document);
                assert_int_equal(found[r].offset, expected[r].offset);
                assert_int_equal(found[r].epoch, expected[r].epoch);
                assert_int_equal(found[r].count, expected[r].count);
                assert_int_equal(found[r].starts, expected[r].starts);
            }
        }
        batch_order_destroy(&whole);
        batch_order_destroy(&again);
    }
}

static void cursors_are_all_that_a_restart_needs(void **state)
{
    (void)state;
    const int64_t many[] = {0, 1, 14, 17, 40, 41, 42}, one[] = {0, 23};
    restart_and_compare(1, 6, many);
    restart_and_compare(4, 6, many);
    restart_and_compare(9, 6, many);
    restart_and_compare(4, 1, one);

    BatchOrder *order;
    RowCursor cursors[] = {{0, 0, 0}, {1, 13, 0}};
    assert_int_equal(batch_order_create(&order, 2, 4, 6, many, true, 5), PAL_OK);
    assert_int_equal(batch_order_restore(order, cursors, 2), PAL_ERROR_DATA);
    cursors[1] = (RowCursor){6, 0, 0};
    assert_int_equal(batch_order_restore(order, cursors, 2), PAL_ERROR_DATA);
    assert_non_null(strstr(status_message(), "row 1 stands at token 0 of document 6"));
    batch_order_destroy(&order);
}

static void once_reads_every_document_once(void **state)
{
    (void)state;
    const int64_t offsets[] = {0, 5, 6, 19, 23};
    const int64_t list[] = {3, 0, 2};
    for (int rows = 1; rows <= 5; rows++) {
        for (int listed = 0; listed < 2; listed++) {
            int seen[23] = {0};
            BatchOrder *order;
            RowWindow windows[5];
            assert_int_equal(
                batch_order_create_once(&order, rows, 4, 4, offsets, listed ? list : NULL, 3),
                PAL_OK);
            for (int guard = 0; !batch_order_done(order) && guard < 100; guard++) {
                batch_order_next(order, windows);
                for (int r = 0; r < rows; r++)
                    for (int i = 0; i < windows[r].count; i++)
                        seen[offsets[windows[r].document] + windows[r].offset + i]++;
            }
            batch_order_next(order, windows);
            assert_int_equal(windows[0].count, 0);
            for (int i = 0; i < 23; i++) assert_int_equal(seen[i], listed && i == 5 ? 0 : 1);
            batch_order_destroy(&order);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_take_documents_in_turn),
        cmocka_unit_test(every_token_comes_once_in_an_epoch),
        cmocka_unit_test(epochs_are_shuffled_anew),
        cmocka_unit_test(one_document_is_cut_into_lanes),
        cmocka_unit_test(cursors_are_all_that_a_restart_needs),
        cmocka_unit_test(once_reads_every_document_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
