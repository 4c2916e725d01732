/* SPDX-License-Identifier: Apache-2.0
 *
 * The shapes and options of attention that every device is tested with.
 */
#ifndef PAL_TESTS_ATTENTION_CASES_H
#define PAL_TESTS_ATTENTION_CASES_H

#include "tests/attention_definition.h"

/* clang-format off */
#define WINDOW(length) {length, {-1}, true, true, 1, -1}

static const AttentionCase cases[] = {
    {"plain window", 2, 2, 32, 96, 0, {96, 96}, true, 0, 1, {WINDOW(96)}},
    {"one number per head", 1, 3, 1, 7, 0, {7}, true, 0, 1, {WINDOW(7)}},
    {"odd head, ragged tiles", 2, 3, 5, 70, 0, {70, 70}, true, 0, 2,
     {{37, {37, 5}, false, true, 1, -1}, WINDOW(70)}},
    {"three sources", 3, 2, 24, 65, 0, {65, 40, 0}, true, 0, 3,
     {{19, {0, 7, 19}, false, true, 1, -1}, {66, {3, 66, 0}, false, true, 1, -1}, WINDOW(65)}},
    {"shared positions", 2, 2, 16, 33, 0, {33, 30}, true, 0, 2,
     {{50, {50, 20}, false, true, 1, -1}, {33, {-1}, true, true, 1, 0}}},
    {"temporal", 2, 2, 8, 71, 0, {71, 50}, true, 0, 3,
     {{29, {29, 11}, false, true, 3, -1}, {40, {40, 33}, false, true, 1, 0},
      {71, {-1}, true, true, 1, 0}}},
    {"stride beyond the block", 1, 1, 4, 90, 3, {90}, false, 0, 1,
     {{5, {-1}, false, true, 70, -1}}},
    {"no slots in the first source", 2, 1, 12, 20, 0, {20, 20}, true, 0, 2,
     {{0, {0, 0}, false, true, 1, -1}, WINDOW(20)}},
    {"nothing to see", 2, 2, 6, 10, 0, {10, 10}, true, 0, 1,
     {{9, {0, 4}, false, true, 1, -1}}},
    {"content only, first query", 2, 2, 10, 130, 65, {130, 100}, false, 0, 1,
     {{45, {45, 12}, false, false, 1, -1}}},
    {"first query inside a window", 1, 2, 8, 40, 9, {33}, true, 0, 1, {WINDOW(40)}},
    {"several tiles of keys", 1, 2, 8, 150, 0, {150}, true, 0, 2,
     {{700, {650}, false, true, 1, -1}, WINDOW(150)}},
    {"window with hidden slots", 2, 1, 8, 300, 0, {300, 290}, true, 0, 1,
     {{300, {280, 17}, true, true, 1, -1}}},
    {"long window", 1, 1, 16, 600, 0, {600}, true, 0, 1, {WINDOW(600)}},
    {"wide head", 1, 2, 128, 40, 0, {40}, true, 0, 2,
     {{30, {25}, false, true, 1, -1}, WINDOW(40)}},
    {"dropout", 2, 3, 12, 45, 0, {45, 31}, true, 0.3, 3,
     {{13, {13, 2}, false, true, 1, -1}, {22, {22, 9}, false, true, 1, -1}, WINDOW(45)}},
};
/* clang-format on */

enum { NUM_CASES = sizeof cases / sizeof *cases };

#endif
