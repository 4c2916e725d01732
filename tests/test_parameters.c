/* SPDX-License-Identifier: Apache-2.0
 *
 * Which slice of which parameter a rank holds, for several grids: slices of the whole, bit by bit,
 * that together own every number of the model exactly once.
 */
#include "tests/device_numbers.h"

#include "mpi/partition.h"
#include "src/tensor/parameters.h"

enum { LAYERS = 3, MOST_PARTS = 3, MOST_STAGES = 3 };

/* Three parts divide heads, feed-forward and width; the vocabulary is divided unevenly. */
static const ModelOptions base = {
    .layers = LAYERS,
    .width = 12,
    .heads = 6,
    .feed_forward = 18,
    .vocabulary = 11,
    .window = 12,
    .memory = {12, 12, 12},
    .compressed_memory = {4, 0, 4},
    .compression_rate = 2,
    .compression = COMPRESSION_CONV,
    .compression_loss = COMPRESSION_LOSS_AUTOENCODING,
    .norm = NORM_PRE,
    .tie_embeddings = true,
};

static ModelOptions untied(void)
{
    ModelOptions options = base;
    options.tie_embeddings = false;
    options.norm = NORM_POST;
    options.positions = POSITIONS_CONTIGUOUS;
    options.compression = COMPRESSION_DILATED;
    options.compression_loss = COMPRESSION_LOSS_ATTENTION;
    options.num_dilations = 2;
    options.dilations[0] = 1;
    options.dilations[1] = 2;
    return options;
}

/* Two clusters of the widths 12 and 4, or three of one width. */
static ModelOptions adaptive(bool tied)
{
    ModelOptions options = tied ? base : untied();
    options.num_cutoffs = tied ? 1 : 2;
    options.cutoffs[0] = tied ? 9 : 2; /* a cluster of two tokens, for three parts */
    options.cutoffs[1] = tied ? 0 : 7;
    options.adaptive_divisor = tied ? 3 : 1;
    return options;
}

static Placement placement_of(const ModelOptions *options, int parts, int part, int stages,
                              int stage)
{
    Range layers = partition_range(options->layers, stages, stage);
    Placement place = placement_whole(options, 1);
    place.tensor_parts = parts;
    place.tensor_part = part;
    for (int i = 0; i < model_clusters(options); i++) {
        Range rows = partition_range(model_cluster(options, i).rows, parts, part);
        place.slices[i] = (TokenSlice){rows.first, rows.count};
    }
    place.first_layer = (int)layers.first;
    place.layers = (int)layers.count;
    place.has_embedding = stage == 0;
    place.has_output = stage == stages - 1;
    return place;
}

typedef struct Fixture {
    Device *device;
    Arena *arena;
    Parameters p;
} Fixture;

static void create(Fixture *f, const ModelOptions *options, const Placement *place)
{
    assert_int_equal(device_create_cpu(&f->device, 2), PAL_OK);
    assert_int_equal(arena_create(&f->arena, f->device), PAL_OK);
    parameters_create(&f->p, f->arena, options, place, true);
    assert_int_equal(arena_seal(f->arena), PAL_OK);
    parameters_initialize(&f->p, f->device, 17);
}

static void destroy(Fixture *f)
{
    arena_destroy(&f->arena);
    device_destroy(&f->device);
}

static void create_whole(Fixture *f, const ModelOptions *options)
{
    Placement place = placement_whole(options, 1);
    create(f, options, &place);
}

/* Calls `check` for every rank of grids of 1 to 3 tensor parts by 1 to 3 stages. */
static void for_all_ranks(void (*check)(const ModelOptions *, const Fixture *whole,
                                        const Fixture *rank, const Placement *))
{
    const ModelOptions models[] = {base, untied(), adaptive(true), adaptive(false)};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        Fixture whole;
        create_whole(&whole, &models[m]);
        for (int parts = 1; parts <= MOST_PARTS; parts++)
            for (int stages = 1; stages <= MOST_STAGES; stages++)
                for (int rank = 0; rank < parts * stages; rank++) {
                    Placement place =
                        placement_of(&models[m], parts, rank % parts, stages, rank / parts);
                    Fixture f;
                    create(&f, &models[m], &place);
                    check(&models[m], &whole, &f, &place);
                    destroy(&f);
                }
        destroy(&whole);
    }
}

static int64_t columns(const int64_t dims[2]) { return dims[1] > 0 ? dims[1] : 1; }

/* The number of element `e` of a slice in the whole tensor. */
static int64_t in_whole(const Parameter *row, int64_t e)
{
    int64_t width = columns(row->dims);
    int64_t i = row->first[0] + e / width, j = row->first[1] + e % width;
    return i * columns(row->whole) + j;
}

static const Parameter *same_row(const Fixture *whole, const Parameter *row)
{
    const Parameter *found = parameters_find(&whole->p, row->name);
    assert_non_null(found);
    assert_int_equal(found->num_dims, row->num_dims);
    assert_memory_equal(found->dims, row->whole, sizeof row->whole);
    assert_int_equal(found->group, row->group);
    assert_int_equal(found->layer, row->layer);
    assert_int_equal(found->decays, row->decays);
    return found;
}

static void check_values(const ModelOptions *options, const Fixture *whole, const Fixture *rank,
                         const Placement *place)
{
    (void)options, (void)place;
    for (int r = 0; r < rank->p.count; r++) {
        const Parameter *row = &rank->p.table[r];
        Tensor all = parameter_view(same_row(whole, row), whole->p.value);
        Tensor slice = parameter_view(row, rank->p.value);
        for (int64_t e = 0; e < tensor_count(slice); e++)
            if (tensor_reals(slice)[e] != tensor_reals(all)[in_whole(row, e)])
                fail_msg("%s: element %lld is %.9g, in the whole %.9g", row->name, (long long)e,
                         (double)tensor_reals(slice)[e],
                         (double)tensor_reals(all)[in_whole(row, e)]);
    }
}

static void values_are_those_of_the_whole(void **state)
{
    (void)state;
    for_all_ranks(check_values);
}

/* --- who owns what -------------------------------------------------------------------------- */

/* Adds 1 where the rank counts a number in norms and writes it to checkpoints. */
static void count_owned(const Fixture *whole, const Fixture *rank, int *owners)
{
    for (int r = 0; r < rank->p.count; r++) {
        const Parameter *row = &rank->p.table[r];
        if (!row->owner) continue;
        int64_t offset = same_row(whole, row)->offset;
        for (int64_t e = 0; e < tensor_count(parameter_view(row, tensor_none)); e++)
            owners[offset + in_whole(row, e)]++;
    }
}

static void check_owners(const ModelOptions *options, int parts, int stages)
{
    Fixture whole;
    create_whole(&whole, options);
    int *owners = calloc((size_t)tensor_count(whole.p.value), sizeof *owners);
    assert_non_null(owners);
    for (int stage = 0; stage < stages; stage++)
        for (int part = 0; part < parts; part++) {
            Placement place = placement_of(options, parts, part, stages, stage);
            Fixture rank;
            create(&rank, options, &place);
            count_owned(&whole, &rank, owners);
            destroy(&rank);
        }
    for (int r = 0; r < whole.p.count; r++) {
        const Parameter *row = &whole.p.table[r];
        for (int64_t e = 0; e < tensor_count(parameter_view(row, tensor_none)); e++)
            if (owners[row->offset + e] != 1)
                fail_msg("%d parts, %d stages: element %lld of %s has %d owners", parts, stages,
                         (long long)e, row->name, owners[row->offset + e]);
    }
    free(owners);
    destroy(&whole);
}

static void every_number_has_one_owner(void **state)
{
    (void)state;
    const ModelOptions models[] = {base, untied(), adaptive(true), adaptive(false)};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++)
        for (int parts = 1; parts <= MOST_PARTS; parts++)
            for (int stages = 1; stages <= MOST_STAGES; stages++)
                check_owners(&models[m], parts, stages);
}

/* The dimension that is cut, by the end of the name; what is not listed is shared. */
static const struct {
    const char *end;
    int dimension;
} cuts[] = {
    {"attention/query", 1},
    {"attention/key", 1},
    {"attention/value", 1},
    {"attention/output", 0},
    {"attention/position", 1},
    {"attention/position_compressed", 1},
    {"attention/content_bias", 0},
    {"attention/position_bias", 0},
    {"position_bias_compressed", 0},
    {"feed_forward/in", 1},
    {"feed_forward/in_bias", 0},
    {"feed_forward/out", 0},
    {"embedding/table", 0},
    {"output/table", 1},
    {"output/bias", 0},
    {"_0/table", 0},
    {"_1/table", 0},
    {"_2/table", 0},
    {"_0/bias", 0},
    {"_1/bias", 0},
    {"_2/bias", 0},
};

static int cut_dimension(const char *name)
{
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        size_t length = strlen(name), end = strlen(cuts[i].end);
        if (length >= end && strcmp(name + length - end, cuts[i].end) == 0)
            return cuts[i].dimension;
    }
    return -1;
}

/* This rank's rows of the cluster that the name says, of the tokens or with the classes. */
static TokenSlice tokens_of(const Parameter *row, const Placement *place, int64_t whole)
{
    const char *number = strstr(row->name, "cluster_");
    TokenSlice slice = place->slices[number == NULL ? 0 : number[8] - '0'];
    int64_t end = slice.first + slice.count;
    slice.first = slice.first < whole ? slice.first : whole;
    slice.count = (end < whole ? end : whole) - slice.first;
    return slice;
}

/* Ranks of a vocabulary's slice are counted in tokens, all others are equal. */
static void check_slice(const Parameter *row, const Placement *place)
{
    int cut = cut_dimension(row->name);
    for (int d = 0; d < row->num_dims; d++) {
        int64_t equal = row->whole[d] / place->tensor_parts;
        TokenSlice slice = {equal * place->tensor_part, equal};
        if (row->layer < 0) slice = tokens_of(row, place, row->whole[d]);
        assert_int_equal(row->first[d], d == cut ? slice.first : 0);
        assert_int_equal(row->dims[d], d == cut ? slice.count : row->whole[d]);
    }
    assert_int_equal(row->shared, cut < 0 && place->tensor_parts > 1);
    bool second_copy = strncmp(row->name, "embedding/", 10) == 0 && !place->has_embedding;
    assert_true(row->at_both_ends || !second_copy);
    assert_int_equal(row->owner, !second_copy && (!row->shared || place->tensor_part == 0));
}

static void check_flags(const ModelOptions *options, const Fixture *whole, const Fixture *rank,
                        const Placement *place)
{
    (void)options, (void)whole;
    for (int r = 0; r < rank->p.count; r++) check_slice(&rank->p.table[r], place);
}

static void slices_and_flags_are_those_of_the_names(void **state)
{
    (void)state;
    for_all_ranks(check_flags);
}

static void check_presence(const Parameters *p, bool expected, const char *end, const char *name)
{
    assert_int_equal(tensor_exists(parameters_get(p, "%s/%s", end, name).value), expected);
}

static void check_ends(const ModelOptions *options, const Fixture *whole, const Fixture *rank,
                       const Placement *place)
{
    (void)whole;
    const Parameters *p = &rank->p;
    const char *table = model_is_adaptive(options) ? "cluster_0/table" : "table";
    const char *bias = model_is_adaptive(options) ? "cluster_0/bias" : "bias";
    bool tied = options->tie_embeddings;
    for (int r = 0; r < p->count; r++) {
        int layer = p->table[r].layer;
        if (layer < 0) continue;
        assert_in_range(layer, place->first_layer, place->first_layer + place->layers - 1);
    }
    check_presence(p, place->has_embedding || (place->has_output && tied), "embedding", table);
    check_presence(p, place->has_output && !tied, "output", table);
    check_presence(p, place->has_output, "output", bias);
    check_presence(p, place->has_output && options->norm == NORM_PRE, "final_norm", "scale");
    if (!model_is_adaptive(options)) return;
    check_presence(p, place->has_embedding, "embedding", "cluster_0/projection");
    check_presence(p, place->has_embedding || (place->has_output && tied), "embedding",
                   "cluster_1/projection");
    check_presence(p, place->has_output, "output", "cluster_0/projection");
    check_presence(p, place->has_output && !tied, "output", "cluster_1/projection");
}

/* What is tied is wanted at both ends, nothing else twice. */
static void stages_have_their_layers_and_ends(void **state)
{
    (void)state;
    for_all_ranks(check_ends);
}

/* --- where it lies -------------------------------------------------------------------------- */

/* Of each group first what is cut, then what is shared; nothing overlaps, the rest is padding. */
static void check_layout(const ModelOptions *options, const Fixture *whole, const Fixture *rank,
                         const Placement *place)
{
    (void)options, (void)whole;
    const Parameters *p = &rank->p;
    int64_t total = tensor_count(p->value), used = 0;
    assert_int_equal(p->group_first[0], 0);
    assert_int_equal(p->group_first[GROUP_COUNT], total);
    assert_int_equal(tensor_count(p->gradient), total);
    char *taken = calloc((size_t)total + 1, 1);
    assert_non_null(taken);
    for (int r = 0; r < p->count; r++) {
        const Parameter *row = &p->table[r];
        int64_t count = tensor_count(parameter_view(row, p->value));
        int64_t shared = p->shared_first[row->group];
        int64_t first = row->shared ? shared : p->group_first[row->group];
        int64_t end = row->shared ? p->group_first[row->group + 1] : shared;
        assert_true(first <= row->offset && row->offset + count <= end);
        assert_int_equal(row->offset % 16, 0);
        for (int64_t e = row->offset; e < row->offset + count; e++) used += !taken[e], taken[e] = 1;
        if (row->group != GROUP_MAIN || row->shared || row->layer < 0) continue;
        for (int layer = place->first_layer; layer < place->first_layer + place->layers; layer++)
            assert_int_equal(row->offset >= parameters_layer_first(p, layer), row->layer >= layer);
    }
    assert_int_equal(used, parameters_total(p));
    for (int64_t e = 0; e < total; e++) assert_true(taken[e] || tensor_reals(p->value)[e] == 0);
    free(taken);
}

static void cut_and_shared_parts_are_ranges(void **state)
{
    (void)state;
    for_all_ranks(check_layout);
}

static void a_description_has_the_same_rows(void **state)
{
    (void)state;
    Placement place = placement_of(&base, 3, 1, 2, 1);
    Fixture f;
    Parameters described;
    create(&f, &base, &place);
    parameters_describe(&described, &base, &place);
    assert_int_equal(described.count, f.p.count);
    for (int r = 0; r < described.count; r++) {
        assert_string_equal(described.table[r].name, f.p.table[r].name);
        assert_memory_equal(described.table[r].dims, f.p.table[r].dims, sizeof(int64_t[2]));
        assert_int_equal(described.table[r].offset, f.p.table[r].offset);
    }
    assert_int_equal(parameters_total(&described), parameters_total(&f.p));
    free(described.table);
    destroy(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_those_of_the_whole),
        cmocka_unit_test(every_number_has_one_owner),
        cmocka_unit_test(slices_and_flags_are_those_of_the_names),
        cmocka_unit_test(stages_have_their_layers_and_ends),
        cmocka_unit_test(cut_and_shared_parts_are_ranges),
        cmocka_unit_test(a_description_has_the_same_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
