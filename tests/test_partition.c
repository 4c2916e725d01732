/* SPDX-License-Identifier: Apache-2.0
 *
 * Who owns what: every element has exactly one owner, whatever the number of parts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mpi/partition.h"

enum { MOST_ELEMENTS = 40, MOST_PARTS = 13 };

static void parts_follow_each_other_and_make_the_whole(void **state)
{
    (void)state;
    for (int64_t whole = 0; whole <= MOST_ELEMENTS; whole++) {
        for (int parts = 1; parts <= MOST_PARTS; parts++) {
            int64_t next = 0;
            for (int part = 0; part < parts; part++) {
                Range range = partition_range(whole, parts, part);
                assert_int_equal(range.first, next);
                assert_true(range.count >= 0);
                next += range.count;
            }
            assert_int_equal(next, whole);
        }
    }
}

static void lengths_differ_by_one_with_longer_parts_first(void **state)
{
    (void)state;
    for (int64_t whole = 0; whole <= MOST_ELEMENTS; whole++) {
        for (int parts = 1; parts <= MOST_PARTS; parts++) {
            int64_t longest = partition_range(whole, parts, 0).count;
            int64_t before = longest;
            for (int part = 0; part < parts; part++) {
                int64_t count = partition_range(whole, parts, part).count;
                assert_true(count <= before && count >= longest - 1);
                before = count;
            }
        }
    }
}

static void owner_is_the_part_that_holds_the_element(void **state)
{
    (void)state;
    for (int64_t whole = 1; whole <= MOST_ELEMENTS; whole++) {
        for (int parts = 1; parts <= MOST_PARTS; parts++) {
            for (int64_t element = 0; element < whole; element++) {
                int owner = partition_owner(whole, parts, element);
                assert_in_range(owner, 0, parts - 1);
                Range range = partition_range(whole, parts, owner);
                assert_true(range.first <= element && element < range.first + range.count);
            }
        }
    }
}

static void known_partitions(void **state)
{
    (void)state;
    const Range five_of_three[] = {{0, 2}, {2, 2}, {4, 1}};
    const Range two_of_four[] = {{0, 1}, {1, 1}, {2, 0}, {2, 0}};
    for (int part = 0; part < 3; part++) {
        Range range = partition_range(5, 3, part);
        assert_memory_equal(&range, &five_of_three[part], sizeof range);
    }
    for (int part = 0; part < 4; part++) {
        Range range = partition_range(2, 4, part);
        assert_memory_equal(&range, &two_of_four[part], sizeof range);
    }
}

static void counts_beyond_an_int_are_exact(void **state)
{
    (void)state;
    const int64_t whole = (INT64_C(1) << 53) + 5;
    const int parts = 1000003;
    Range last = partition_range(whole, parts, parts - 1);
    assert_int_equal(last.first + last.count, whole);
    assert_int_equal(partition_owner(whole, parts, whole - 1), parts - 1);
    Range middle = partition_range(whole, parts, parts / 2);
    assert_int_equal(partition_owner(whole, parts, middle.first), parts / 2);
    assert_int_equal(partition_owner(whole, parts, middle.first - 1), parts / 2 - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_follow_each_other_and_make_the_whole),
        cmocka_unit_test(lengths_differ_by_one_with_longer_parts_first),
        cmocka_unit_test(owner_is_the_part_that_holds_the_element),
        cmocka_unit_test(known_partitions),
        cmocka_unit_test(counts_beyond_an_int_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
