/* SPDX-License-Identifier: Apache-2.0
 *
 * PG-19: the names of the files of its folders (its metadata.csv does not say which book is in which
 * split), and the counts in its README. WikiText-103: Merity et al. 2016, with one <eos> for every
 * line, as the field counts since. Enwik8: Hutter's first 10^8 bytes, cut 90/5/5.
 */
#include "io/text/published.h"

#include <string.h>

#include "io/number.h"
#include "src/base/log.h"

static const int32_t pg19_validation[] = {
    356,   555,   1022,  1925,  2383,  4024,  4533,  5195,  5321,  6404,  7510,  8545,  11155,
    13089, 16959, 23956, 24360, 25066, 27688, 28213, 28776, 29981, 32629, 34016, 34056, 34100,
    35816, 36402, 37833, 38214, 38403, 41074, 42067, 42142, 42306, 43423, 44896, 44912, 48089,
    48461, 48677, 49091, 50355, 51859, 53682, 54098, 55658, 56719, 57843, 58093,
};
static const int32_t pg19_test[] = {
    860,   2544,  3129,  3247,  3340,  3608,  3754,  3890,  4047,  4128,  5396,  5734,  5770,
    5956,  5962,  6412,  6941,  7412,  7987,  8197,  8559,  8788,  9315,  9931,  10146, 10321,
    10356, 10762, 12204, 15562, 22424, 24553, 25646, 25773, 25830, 26183, 26239, 26493, 26618,
    27454, 28444, 28988, 29594, 29973, 30312, 30752, 30754, 30909, 30981, 31065, 31974, 32761,
    33426, 33756, 34467, 35205, 35246, 36256, 37006, 37328, 37403, 37443, 37702, 38106, 38929,
    38955, 40579, 40700, 41603, 41607, 42081, 42655, 43536, 43845, 44099, 44557, 45313, 45881,
    45888, 46915, 47068, 47558, 47581, 47676, 48693, 49078, 49529, 49596, 50287, 51410, 53345,
    54537, 54624, 55339, 55871, 56410, 57791, 58473, 58553, 58598,
};

/* PG-19's books of a split, by number; NULL: they are not listed. */
static const struct {
    const int32_t *ids;
    int64_t count, words;
} pg19[SPLIT_COUNT] = {
    [SPLIT_TRAIN] = {NULL, 28602, 1973136207},
    [SPLIT_VALIDATION] = {pg19_validation, sizeof pg19_validation / sizeof *pg19_validation,
                          3007061},
    [SPLIT_TEST] = {pg19_test, sizeof pg19_test / sizeof *pg19_test, 6966499},
};

static const double TOLERANCE = 0.01;

/* Words and <eos> of WikiText-103's files; bytes of Enwik8's splits. */
static const int64_t wikitext[SPLIT_COUNT] = {103227021, 217646, 245569};
static const int64_t enwik8[SPLIT_COUNT] = {90000000, 5000000, 5000000};

/* By the names of its files. */
static bool has_ids_of_pg19(const TextSource *source, Split split)
{
    const int32_t *ids = pg19[split].ids;
    if (source->layout != LAYOUT_BOOKS || ids == NULL || source->count[split] != pg19[split].count)
        return false;
    for (int64_t d = 0; d < source->count[split]; d++) {
        int64_t id;
        if (!integer_parse(source->documents[split][d].name, &id) || id != ids[d]) return false;
    }
    return true;
}

/* Its words are those between white space, but for the licence that was taken out of some copies; a
 * copy that was cut off has fewer. */
static bool is_pg19(const TextSource *source, Split split, const SplitCounts *counts)
{
    double published = (double)pg19[split].words, share = (double)counts->words / published;
    return has_ids_of_pg19(source, split) && share > 1.0 - TOLERANCE && share < 1.0 + TOLERANCE;
}

static bool has_book(const TextSource *source, Split split, int32_t id)
{
    int64_t number;
    for (int64_t d = 0; d < source->count[split]; d++)
        if (integer_parse(source->documents[split][d].name, &number) && number == id) return true;
    return false;
}

/* Some of PG-19's books of this split are there, so the others are missing. */
static bool is_part_of_pg19(const TextSource *source, Split split)
{
    if (source->layout != LAYOUT_BOOKS || !source->has_metadata) return false;
    for (int64_t i = 0; pg19[split].ids != NULL && i < pg19[split].count; i++)
        if (has_book(source, split, pg19[split].ids[i])) return true;
    return false;
}

static bool is_wikitext(const TextSource *source, Split split, const SplitCounts *counts)
{
    return source->layout == LAYOUT_WIKITEXT && counts->words + counts->lines == wikitext[split];
}

static bool is_enwik8(const TextSource *source, const SplitCounts counts[SPLIT_COUNT])
{
    bool is = source->layout == LAYOUT_FILE;
    for (int s = 0; s < SPLIT_COUNT; s++) is = is && counts[s].bytes == enwik8[s];
    return is;
}

int64_t published_words(const TextSource *source, Split split, const SplitCounts *counts)
{
    if (is_pg19(source, split, counts)) return pg19[split].words;
    return is_wikitext(source, split, counts) ? wikitext[split] : 0;
}

const char *published_name(const TextSource *source, const SplitCounts counts[SPLIT_COUNT])
{
    if (is_enwik8(source, counts)) return "enwik8";
    for (int s = 0; s < SPLIT_COUNT; s++) {
        if (is_pg19(source, (Split)s, &counts[s])) return "pg19";
        if (is_wikitext(source, (Split)s, &counts[s])) return "wikitext-103";
    }
    return "text";
}

void published_compare(const TextSource *source, const SplitCounts counts[SPLIT_COUNT])
{
    for (int s = 0; s < SPLIT_COUNT; s++) {
        const char *split = split_name((Split)s);
        if (source->count[s] == 0) continue;
        if (published_words(source, (Split)s, &counts[s]) > 0)
            log_info("%s: is the published split, %lld words by publication", split,
                     (long long)published_words(source, (Split)s, &counts[s]));
        else if (source->layout == LAYOUT_WIKITEXT)
            log_warn("%s: has %lld words and line ends, WikiText-103's has %lld: word-level "
                     "perplexity will be by the words counted",
                     split, (long long)(counts[s].words + counts[s].lines), (long long)wikitext[s]);
        else if (has_ids_of_pg19(source, (Split)s))
            log_warn(
                "%s: has PG-19's books with %lld words, by publication there are %lld: some are "
                "cut off, or other editions; word-level perplexity will be by the words "
                "counted",
                split, (long long)counts[s].words, (long long)pg19[s].words);
        else if (is_part_of_pg19(source, (Split)s))
            log_warn(
                "%s: has %lld books, which are not PG-19's %lld: word-level perplexity will be "
                "by the words counted",
                split, (long long)source->count[s], (long long)pg19[s].count);
    }
}
