/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoints: what is written comes back, on any number of ranks (run it on 1, 2, 3, ...), by
 * every way to the disk, in the foreground and in the background; files of others are refused.
 */
#include <stdlib.h>

#include "io/dataset.h"
#include "io/text/prepare.h"
#include "mpi/collectives.h"
#include "tests/checkpoint_fixture.h"
#include "tests/test_io_support.h"

static void check_state(const Checkpoint *c)
{
    expect(c->state.update == 1000 && c->state.windows == 2000 && c->state.tokens == 3000 &&
               c->state.next == 11 && c->state.scheduled == 1000 && c->state.data == -5 &&
               c->state.rows == ROWS,
           "counters");
    expect(strcmp(c->state.configuration, long_configuration()) == 0, "configuration");
    for (int r = 0; r < ROWS && c->state.rows == ROWS; r++)
        expect(c->state.cursors[r].document == r && c->state.cursors[r].offset == 100 + r &&
                   c->state.cursors[r].epoch == 7 - r,
               "cursors");
    const StepHistory *history = &c->state.history;
    expect(history->held == 100 && history->skips == 2 && history->rewinds == 1 &&
               history->furthest == 9,
           "counters of skipped updates");
    for (int i = 0; i < PAL_RECENT_LOSSES; i++)
        expect(history->losses[i] == 3.0 + 1.0 / (i + 1), "recent losses");
}

static CheckpointTensor box_of(const char *name, StoredType type, Shape shape, const Slab *box)
{
    CheckpointTensor tensor = {.type = type, .shape = shape, .boxes = box, .num_boxes = 1};
    snprintf(tensor.name, sizeof tensor.name, "%s", name);
    return tensor;
}

/* Every rank reads all rows, whoever wrote them, and a box from the middle. */
static void check_tensors(Checkpoint *c)
{
    static float all[ROWS * SLOTS * WIDTH];
    int32_t valid[ROWS];
    Shape shape = {3, {ROWS, SLOTS, WIDTH}};
    Slab box = {{0}, {ROWS, SLOTS, WIDTH}};
    CheckpointTensor tensor = box_of("/memory/layers/00/recent", STORED_FLOAT32, shape, &box);
    expect(checkpoint_read(c, &tensor, all) == PAL_OK, "read all rows");
    for (int i = 0; i < ROWS * SLOTS * WIDTH; i++) expect(all[i] == element(1, i), "memory");

    box = (Slab){{1, 2, 0}, {2, 3, WIDTH}};
    expect(checkpoint_read(c, &tensor, all) == PAL_OK, "read a box");
    for (int b = 0, i = 0; b < 2; b++)
        for (int s = 0; s < 3; s++)
            for (int d = 0; d < WIDTH; d++)
                expect(all[i++] == element(1, ((b + 1) * SLOTS + s + 2) * WIDTH + d), "box");

    box = (Slab){{0}, {ROWS}};
    tensor = box_of("/memory/layers/00/valid_recent", STORED_INT32, (Shape){1, {ROWS}}, &box);
    expect(checkpoint_read(c, &tensor, valid) == PAL_OK, "read int32");
    for (int r = 0; r < ROWS; r++) expect(valid[r] == r, "valid counts");

    expect(checkpoint_shape(c, "/memory/layers/00/compressed", &shape) == PAL_OK &&
               shape.dims[1] == 0,
           "shape of an empty tensor");
    expect_refused(checkpoint_shape(c, "/weights/layers/01/attention/query", &shape),
                   PAL_ERROR_DATA, "layers/01/attention/query");

    box = (Slab){{0, 0}, {WIDTH, WIDTH + 1}};
    tensor = box_of("/weights/layers/00/attention/query", STORED_FLOAT32,
                    (Shape){2, {WIDTH, WIDTH + 1}}, &box);
    expect_refused(checkpoint_read(c, &tensor, all), PAL_ERROR_DATA,
                   "has shape (6, 6) in the file, the model wants (6, 7)");
    tensor.name[strlen("/weights/layers/0")] = '1';
    expect_refused(checkpoint_read(c, &tensor, all), PAL_ERROR_DATA, "layers/01/attention/query");

    int64_t bytes = 0;
    expect(checkpoint_verify(c, "/", &bytes) == PAL_OK, "verify");
    expect(bytes == (int64_t)4 * (WIDTH * WIDTH + ROWS * SLOTS * WIDTH + ROWS) +
                        (int64_t)8 * (3 * ROWS + PAL_RECENT_LOSSES),
           "all bytes");
    expect(checkpoint_verify(c, "/weights/", &bytes) == PAL_OK &&
               bytes == (int64_t)4 * WIDTH * WIDTH,
           "verify the weights");
}

static void what_is_saved_comes_back(void **state)
{
    (void)state;
    char path[PAL_PATH_SIZE] = "", found[PAL_PATH_SIZE] = "";
    char run[512], wanted[600];
    in_folder(fixture_folder, "made/run", run);
    snprintf(wanted, sizeof wanted, "%s/checkpoints/step-00001000.h5", run);
    expect(save(run, 1000, path) == PAL_OK, "save");
    expect(strcmp(path, wanted) == 0, "name");
    expect(checkpoint_find(run, found) == PAL_OK && strcmp(found, wanted) == 0, "find");

    Checkpoint *c = NULL;
    if (expect(checkpoint_open(&c, found, &grid.world) == PAL_OK, "open")) {
        check_state(c);
        check_tensors(c);
    }
    checkpoint_close(&c);
    if (expect(checkpoint_open(&c, found, NULL) == PAL_OK, "open alone")) {
        check_state(c);
        check_tensors(c);
    }
    checkpoint_close(&c);
    end_test();
}

static void old_ones_are_pruned_and_found(void **state)
{
    (void)state;
    char run[512], found[PAL_PATH_SIZE] = "", path[1024];
    in_folder(fixture_folder, "pruned", run);
    expect_refused(checkpoint_find(run, found), PAL_ERROR_NO_INPUT, "pruned");
    for (int64_t update = 0; update <= 40; update += 10)
        expect(save(run, update, NULL) == PAL_OK, "save");
    expect(step_exists(run, 40) && step_exists(run, 30) && !step_exists(run, 20) &&
               !step_exists(run, 0),
           "two are kept");
    /* A run begun again: later updates of the old one stay, and `latest` is the new one. */
    expect(save(run, 5, NULL) == PAL_OK, "save an earlier update");
    expect(step_exists(run, 40) && step_exists(run, 5), "later ones stay");
    expect(checkpoint_find(run, found) == PAL_OK && strstr(found, "step-00000005") != NULL,
           "latest");

    snprintf(path, sizeof path, "%s/checkpoints", run);
    expect(checkpoint_find(path, found) == PAL_OK && strstr(found, "step-00000005") != NULL,
           "in checkpoints/");
    snprintf(path, sizeof path, "%s/checkpoints/latest", run);
    expect(checkpoint_find(path, found) == PAL_OK && strcmp(path, found) == 0, "latest itself");
    Checkpoint *c = NULL;
    expect(checkpoint_open(&c, path, NULL) == PAL_OK && c->state.update == 5, "open latest");
    checkpoint_close(&c);

    group_barrier(&grid.world);
    snprintf(path, sizeof path, "%s/checkpoints/step-00000005.h5", run);
    if (is_root()) unlink(path);
    group_barrier(&grid.world);
    expect(checkpoint_find(run, found) == PAL_OK && strstr(found, "step-00000040") != NULL,
           "highest step where latest points nowhere");
    if (is_root()) mkdir(file_name("nothing"), 0777);
    group_barrier(&grid.world);
    expect_refused(checkpoint_find(file_name("nothing"), found), PAL_ERROR_NO_INPUT,
                   "has no checkpoint");
    end_test();
}

static void other_files_are_refused(void **state)
{
    (void)state;
    Checkpoint *c = NULL;
    expect_refused(checkpoint_open(&c, file_name("none.h5"), &grid.world), PAL_ERROR_NO_INPUT,
                   "none.h5");
    if (is_root()) expect(write_text(file_name("text.h5"), "a text"), "write");
    group_barrier(&grid.world);
    expect_refused(checkpoint_open(&c, file_name("text.h5"), &grid.world), PAL_ERROR_DATA,
                   "is not a whole HDF5 file");

    H5File *file = NULL;
    expect(h5_create(&file, file_name("bare.h5"), &grid.world) == PAL_OK, "create");
    expect(h5_close(&file) == PAL_OK, "close");
    expect_refused(checkpoint_open(&c, file_name("bare.h5"), &grid.world), PAL_ERROR_DATA,
                   "no attribute 'format'");
    expect(h5_create(&file, file_name("data.h5"), &grid.world) == PAL_OK, "create");
    expect(h5_set_text(file, "/", "format", "palimpsest-data") == PAL_OK, "set");
    expect(h5_close(&file) == PAL_OK, "close");
    expect_refused(checkpoint_open(&c, file_name("data.h5"), &grid.world), PAL_ERROR_DATA,
                   "is a data file");
    expect(c == NULL, "no checkpoint");

    if (is_root()) expect(write_text(file_name("file"), "not a folder"), "write");
    group_barrier(&grid.world);
    expect_refused(save(file_name("file"), 1, NULL), PAL_ERROR_CANT_CREATE, "cannot be made");
    end_test();
}

/* Every rank in a folder of its own: only the root sees what it makes. */
static void unshared_folders_are_refused(void **state)
{
    (void)state;
    char before[PAL_PATH_SIZE], own[64];
    snprintf(own, sizeof own, "own%d", grid.world.rank);
    expect(getcwd(before, sizeof before) != NULL && mkdir(file_name(own), 0777) == 0 &&
               chdir(file_name(own)) == 0,
           "own folder");
    H5File *file = NULL;
    Status status = h5_create(&file, "x.h5", &grid.world);
    if (grid.world.size == 1) {
        expect(status == PAL_OK, "one rank");
    } else {
        expect_refused(status, PAL_ERROR_CANT_CREATE, "rank 1 on host ");
        expect_refused(status, PAL_ERROR_CANT_CREATE, "that all nodes share?");
        expect(!path_exists("x.h5"), "the root's file is removed");
    }
    h5_abandon(&file);
    expect(chdir(before) == 0, "back");
    end_test();
}

/* In each rank's own folder a data file, that of the last rank from another text. */
static void old_copies_are_refused(void **state)
{
    (void)state;
    char book[512], data[512], name[64];
    bool last = grid.world.rank == grid.world.size - 1;
    snprintf(name, sizeof name, "text%d", grid.world.rank);
    in_folder(fixture_folder, name, book);
    snprintf(name, sizeof name, "data%d.h5", grid.world.rank);
    in_folder(fixture_folder, name, data);
    const PrepareOptions options = {.source.input = book,
                                    .output = data,
                                    .tokenizer = "bytes",
                                    .subwords = {.algorithm = "unigram", .sample_bytes = 1e6}};
    const Group alone = {.size = 1};
    for (int same = 1; same >= 0; same--) {
        Dataset *dataset = NULL;
        const char *end = last && !same ? "ashore" : "at sea";
        snprintf(name, sizeof name, "the whale and the old ship %s", end);
        expect(write_text(book, name) && prepare_data(&options, &alone) == PAL_OK, "prepare");
        Status status = dataset_open(&dataset, data, 1);
        /* The names of the documents are those of the texts, which differ here. */
        for (int s = 0; s < SPLIT_COUNT; s++) dataset->splits[s].names[0][4] = '0';
        status = dataset_agree(dataset, status, &grid.world);
        snprintf(name, sizeof name, "rank %d on host", grid.world.size - 1);
        if (same || grid.world.size == 1)
            expect(status == PAL_OK, "the same text");
        else
            expect_refused(status, PAL_ERROR_DATA, name);
        dataset_close(&dataset);
    }
    end_test();
}

static void listing_shows_everything(void **state)
{
    (void)state;
    char path[PAL_PATH_SIZE] = "", text[96];
    expect(save(file_name("listed"), 4, path) == PAL_OK, "save");
    H5File *file = NULL;
    H5Item *items = NULL;
    int64_t count = 0;
    if (expect(h5_open(&file, path, NULL) == PAL_OK, "open"))
        expect(h5_list(file, &items, &count) == PAL_OK && count == 12, "twelve datasets");
    bool seen = false;
    for (int64_t i = 0; i < count; i++)
        if (strcmp(items[i].name, "/memory/layers/00/recent") == 0)
            seen = strcmp(items[i].type, "float32") == 0 && items[i].bytes == 840 &&
                   strcmp(shape_text(items[i].shape, text), "(5, 7, 6)") == 0;
    expect(seen, "memory in the list");
    h5_items_free(&items, count);
    h5_abandon(&file);
    end_test();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_saved_comes_back), cmocka_unit_test(old_ones_are_pruned_and_found),
        cmocka_unit_test(other_files_are_refused),  cmocka_unit_test(unshared_folders_are_refused),
        cmocka_unit_test(old_copies_are_refused),   cmocka_unit_test(listing_shows_everything),
    };
    return fixture_run(&argc, &argv, tests);
}
