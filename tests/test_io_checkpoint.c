/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoints: what is written comes back, on any number of ranks (run it on 1, 2, 3, ...), by
 * every way to the disk, in the foreground and in the background; wrong and damaged files; a full
 * disk. The verdict is agreed on by all ranks before cmocka hears of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "io/checkpoint_saver.h"
#include "io/dataset.h"
#include "io/prepare.h"
#include "mpi/collectives.h"
#include "src/base/log.h"
#include "src/tensor/device.h"
#include "tests/test_io_support.h"

enum { ROWS = 5, SLOTS = 7, WIDTH = 6 };

static Grid grid;
static char folder[256];
static char complaint[1024];

static bool is_root(void) { return group_is_root(&grid.world); }

/* Remembers the first thing that was not as expected; end_test() tells all ranks. */
static bool expect(bool good, const char *what)
{
    if (!good && complaint[0] == '\0')
        snprintf(complaint, sizeof complaint, "%s (latest message: '%s')", what, status_message());
    return good;
}

static void expect_refused(Status found, Status wanted, const char *piece)
{
    char what[256];
    snprintf(what, sizeof what, "status %d, expected %d with '%s'", (int)found, (int)wanted, piece);
    expect(found == wanted && strstr(status_message(), piece) != NULL, what);
}

static void end_test(void)
{
    status_set_message(complaint);
    Status mine = complaint[0] == '\0' ? PAL_OK : PAL_ERROR_INTERNAL;
    complaint[0] = '\0';
    if (group_agree(&grid.world, mine) != PAL_OK) fail_msg("%s", status_message());
}

/* The value of element i of tensor t. */
static float element(int t, int64_t i) { return (float)t * 1000.0f + (float)i * 0.25f; }

enum { NUM_TENSORS = 7 };

typedef struct Content {
    CheckpointTensor tensors[NUM_TENSORS];
    Slab boxes[NUM_TENSORS][2];
    const void *numbers[NUM_TENSORS]; /* of this rank, box after box */
    float weights[WIDTH * WIDTH];
    float memory[ROWS * SLOTS * WIDTH];
    int32_t valid[ROWS];
    int64_t cursors[3][ROWS];
    CheckpointState state;
    int64_t first, count; /* rows of this rank */
} Content;

static void set_tensor(Content *c, int t, const char *name, StoredType type, Shape shape,
                       int num_boxes, const void *numbers)
{
    c->tensors[t] = (CheckpointTensor){
        .type = type, .shape = shape, .boxes = c->boxes[t], .num_boxes = num_boxes};
    snprintf(c->tensors[t].name, sizeof c->tensors[t].name, "%s", name);
    c->numbers[t] = numbers;
}

/* The memory in two boxes a rank, the newer slots before the older ones. */
static void fill_memory(Content *c)
{
    enum { OLD = 3 };
    c->boxes[1][0] = (Slab){{c->first, OLD, 0}, {c->count, SLOTS - OLD, WIDTH}};
    c->boxes[1][1] = (Slab){{c->first, 0, 0}, {c->count, OLD, WIDTH}};
    float *to = c->memory;
    for (int i = 0; i < 2; i++) {
        const Slab *box = &c->boxes[1][i];
        for (int64_t b = box->first[0]; b < box->first[0] + box->count[0]; b++)
            for (int64_t slot = box->first[1]; slot < box->first[1] + box->count[1]; slot++)
                for (int64_t d = 0; d < WIDTH; d++)
                    *to++ = element(1, (b * SLOTS + slot) * WIDTH + d);
    }
}

/* The weights are the root's to write, memory and valid counts are spread over ranks by rows. */
static void fill_content(Content *c, int64_t update)
{
    static const char *const cursors[] = {"/cursors/document", "/cursors/offset", "/cursors/epoch"};
    memset(c, 0, sizeof *c);
    c->first = ROWS * grid.world.rank / grid.world.size;
    c->count = ROWS * (grid.world.rank + 1) / grid.world.size - c->first;
    for (int i = 0; i < WIDTH * WIDTH; i++) c->weights[i] = element(0, i);
    for (int i = 0; i < c->count; i++) c->valid[i] = (int32_t)(c->first + i);
    fill_memory(c);

    set_tensor(c, 0, "/weights/layers/00/attention/query", STORED_FLOAT32,
               (Shape){2, {WIDTH, WIDTH}}, is_root(), c->weights);
    c->boxes[0][0] = (Slab){{0, 0}, {WIDTH, WIDTH}};
    set_tensor(c, 1, "/memory/layers/00/recent", STORED_FLOAT32, (Shape){3, {ROWS, SLOTS, WIDTH}},
               2, c->memory);
    set_tensor(c, 2, "/memory/layers/00/valid_recent", STORED_INT32, (Shape){1, {ROWS}}, 1,
               c->valid);
    c->boxes[2][0] = (Slab){{c->first}, {c->count}};
    set_tensor(c, 3, "/memory/layers/00/compressed", STORED_FLOAT32, (Shape){3, {ROWS, 0, WIDTH}},
               0, NULL);
    for (int i = 0; i < 3; i++) {
        set_tensor(c, 4 + i, cursors[i], STORED_INT64, (Shape){1, {ROWS}}, is_root(),
                   c->cursors[i]);
        c->boxes[4 + i][0] = (Slab){{0}, {ROWS}};
        for (int r = 0; r < ROWS; r++) c->cursors[i][r] = i == 0 ? r : i == 1 ? 100 + r : 7 - r;
    }
    c->state = (CheckpointState){.update = update,
                                 .windows = 2 * update,
                                 .tokens = 3 * update,
                                 .next = 11,
                                 .data = -5,
                                 .rows = ROWS,
                                 .configuration = "[model]\nlayers = 1\n# \xc3\xa4\n"};
}

static void copy_tensor(void *context, int tensor, void *to)
{
    const Content *c = context;
    memcpy(to, c->numbers[tensor],
           (size_t)checkpoint_numbers(&c->tensors[tensor]) * stored_size(c->tensors[tensor].type));
}

/* By every way in turn; what is in the background may be changed as soon as it was begun. */
static Status save(const char *run, int64_t update, char path[PAL_PATH_SIZE])
{
    static const struct {
        FileTransfer transfer;
        bool async;
    } ways[] = {{TRANSFER_DIRECT, true},
                {TRANSFER_DIRECT, false},
                {TRANSFER_INDEPENDENT, false},
                {TRANSFER_COLLECTIVE, true}}; /* which is synchronous all the same */
    static int turn = 0;
    Content content;
    Device *device = NULL;
    Arena *arena = NULL;
    CheckpointSaver *saver = NULL;
    CheckpointOutcome outcome;
    int way = turn++ % 4;
    fill_content(&content, update);
    expect(device_create_cpu(&device, 1) == PAL_OK && arena_create(&arena, device) == PAL_OK,
           "arena");
    saver_create(&saver, &grid.world, arena, run, 2, ways[way].transfer, ways[way].async,
                 content.tensors, NUM_TENSORS, (CheckpointSource){&content, copy_tensor});
    expect(arena_seal(arena) == PAL_OK, "seal");
    expect(saver_is_async(saver) == (way == 0), "asynchronous");
    expect(!saver_poll(saver, &outcome), "nothing is under way");
    saver_begin(saver, &content.state);
    if (way == 0) memset(content.memory, 0, sizeof content.memory);
    expect(saver_wait(saver, &outcome), "waited for");
    if (path != NULL) snprintf(path, PAL_PATH_SIZE, "%s", outcome.path);
    expect(outcome.update == update, "update");
    saver_destroy(&saver);
    arena_destroy(&arena);
    device_destroy(&device);
    status_set_message(outcome.message);
    return outcome.status;
}

static const char *file_name(const char *name)
{
    static char path[512];
    return in_folder(folder, name, path);
}

static void check_state(const Checkpoint *c)
{
    expect(c->state.update == 1000 && c->state.windows == 2000 && c->state.tokens == 3000 &&
               c->state.next == 11 && c->state.data == -5 && c->state.rows == ROWS,
           "counters");
    expect(strcmp(c->state.configuration, "[model]\nlayers = 1\n# \xc3\xa4\n") == 0,
           "configuration");
    for (int r = 0; r < ROWS && c->state.rows == ROWS; r++)
        expect(c->state.cursors[r].document == r && c->state.cursors[r].offset == 100 + r &&
                   c->state.cursors[r].epoch == 7 - r,
               "cursors");
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
    expect(bytes == 4 * (WIDTH * WIDTH + ROWS * SLOTS * WIDTH + ROWS) + 8 * 3 * ROWS, "all bytes");
    expect(checkpoint_verify(c, "/weights/", &bytes) == PAL_OK && bytes == 4 * WIDTH * WIDTH,
           "verify the weights");
}

static void what_is_saved_comes_back(void **state)
{
    (void)state;
    char path[PAL_PATH_SIZE] = "", found[PAL_PATH_SIZE] = "";
    char run[512], wanted[600];
    in_folder(folder, "made/run", run);
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

static bool step_exists(const char *run, int64_t update)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/checkpoints/step-%08lld.h5", run, (long long)update);
    return path_exists(path);
}

static void old_ones_are_pruned_and_found(void **state)
{
    (void)state;
    char run[512], found[PAL_PATH_SIZE] = "", path[1024];
    in_folder(folder, "pruned", run);
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
    in_folder(folder, name, book);
    snprintf(name, sizeof name, "data%d.h5", grid.world.rank);
    in_folder(folder, name, data);
    const PrepareOptions options = {book, data, "bytes", NULL};
    for (int same = 1; same >= 0; same--) {
        Dataset *dataset = NULL;
        const char *end = last && !same ? "ashore" : "at sea";
        snprintf(name, sizeof name, "the whale and the old ship %s", end);
        expect(write_text(book, name) && prepare_data(&options) == PAL_OK, "prepare");
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

static void truncated_files_are_refused(void **state)
{
    (void)state;
    char path[PAL_PATH_SIZE] = "";
    expect(save(file_name("cut"), 3, path) == PAL_OK, "save");
    struct stat whole = {0};
    expect(stat(path, &whole) == 0, "stat");
    for (int64_t size = whole.st_size - 1; size > 0; size -= 1 + whole.st_size / 50) {
        group_barrier(&grid.world);
        if (is_root()) expect(truncate(path, size) == 0, "truncate");
        group_barrier(&grid.world);
        Checkpoint *c = NULL;
        expect_refused(checkpoint_open(&c, path, &grid.world), PAL_ERROR_DATA, "step-00000003.h5");
        checkpoint_close(&c);
    }
    end_test();
}

/* What can be read of a file, in one list of bytes: the caller frees. NULL: damage was noticed. */
static char *all_content(const char *path, size_t *size)
{
    Checkpoint *c = NULL;
    H5Item *items = NULL;
    int64_t count = 0;
    char *content = NULL;
    *size = 0;
    Status status = checkpoint_open(&c, path, NULL);
    if (status == PAL_OK) status = checkpoint_verify(c, "/", NULL);
    if (status == PAL_OK) status = h5_list(c->file, &items, &count);
    FILE *out = open_memstream(&content, size);
    for (int64_t i = 0; i < count && status == PAL_OK; i++) {
        Slab whole = {0};
        for (int d = 0; d < items[i].shape.num_dims; d++) whole.count[d] = items[i].shape.dims[d];
        fprintf(out, "%s %s %lld;", items[i].name, items[i].type, (long long)items[i].bytes);
        if (strcmp(items[i].type, "text") == 0) continue; /* read by checkpoint_verify() */
        char *numbers = calloc(1, (size_t)items[i].bytes + 1);
        StoredType type;
        status = h5_stored_type(c->file, items[i].name, &type);
        if (status == PAL_OK) status = h5_read_slab(c->file, items[i].name, type, &whole, numbers);
        fwrite(numbers, 1, (size_t)items[i].bytes, out);
        free(numbers);
    }
    if (status == PAL_OK)
        fprintf(out, "%s %lld %lld %s", c->state.configuration, (long long)c->state.update,
                (long long)c->state.tokens, c->program_version);
    fclose(out);
    h5_items_free(&items, count);
    checkpoint_close(&c);
    if (status == PAL_OK) return content;
    free(content);
    return NULL;
}

static bool flip_byte(const char *path, long place)
{
    FILE *file = fopen(path, "r+b");
    if (file == NULL || fseek(file, place, SEEK_SET) != 0) return false;
    int byte = fgetc(file);
    bool good = byte != EOF && fseek(file, place, SEEK_SET) == 0 && fputc(byte ^ 0x10, file) != EOF;
    return fclose(file) == 0 && good;
}

/* One rank alone reads; all of the file's bytes would take long under the sanitizers. */
static void every_flipped_byte_is_found(void **state)
{
    (void)state;
    enum { SAMPLES = 200 };
    char path[PAL_PATH_SIZE] = "";
    expect(save(file_name("flipped"), 6, path) == PAL_OK, "save");
    struct stat is = {0};
    expect(stat(path, &is) == 0, "stat");
    int found = 0, idle = 0;
    size_t size = 0;
    char *before = is_root() ? all_content(path, &size) : NULL;
    for (int i = 0; is_root() && i < SAMPLES; i++) {
        long place = (long)((double)is.st_size * (i + 0.37) / SAMPLES);
        size_t now_size;
        expect(flip_byte(path, place), "flip");
        char *now = all_content(path, &now_size);
        bool same = now != NULL && now_size == size && memcmp(before, now, size) == 0;
        expect(now == NULL || same, "a flipped byte was not found");
        found += now == NULL;
        idle += same;
        free(now);
        expect(flip_byte(path, place), "flip back");
    }
    if (is_root()) {
        print_message("%d flipped bytes of %lld: %d found, %d in places that carry nothing\n",
                      SAMPLES, (long long)is.st_size, found, idle);
        char *after = all_content(path, &size);
        expect(after != NULL, "whole again");
        free(after);
    }
    expect(!is_root() || found > SAMPLES / 8, "some are found");
    free(before);
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
        expect(h5_list(file, &items, &count) == PAL_OK && count == 9, "nine datasets");
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

/* Leaves `room` bytes on the small disk, so that saving fails at one place after another. */
static bool fill_disk(const char *path, int64_t size)
{
    static const char zeros[1024];
    FILE *file = fopen(path, "wb");
    for (int64_t done = 0; file != NULL && done < size; done += 1024)
        if (fwrite(zeros, 1, 1024, file) != 1024) break;
    return file != NULL && fclose(file) == 0;
}

static void a_full_disk_leaves_the_earlier_one(void **state)
{
    (void)state;
    enum { DISK = 128 * 1024 };
    char disk[512], run[600], filler[600], part[700], found[PAL_PATH_SIZE] = "";
    in_folder(folder, "disk", disk);
    snprintf(run, sizeof run, "%s/run", disk);
    snprintf(filler, sizeof filler, "%s/filler", disk);
    snprintf(part, sizeof part, "%s/checkpoints/step-00000002.h5.part", run);
    int mounted = is_root() && small_disk(disk, "128k");
    group_broadcast(&grid.world, &mounted, sizeof mounted, 0);
    if (!mounted) {
        if (is_root()) print_message("no small disk can be mounted here: left out\n");
        return;
    }
    expect(save(run, 1, NULL) == PAL_OK, "first save");
    int failures = 0;
    Status status = PAL_ERROR_IO;
    for (int64_t filled = DISK; filled >= 0 && status != PAL_OK; filled -= 4096) {
        if (is_root()) fill_disk(filler, filled);
        group_barrier(&grid.world);
        status = save(run, 2, NULL);
        if (status != PAL_OK) {
            failures++;
            expect(status == PAL_ERROR_IO || status == PAL_ERROR_CANT_CREATE, "status");
            expect(strstr(status_message(), "step-00000002.h5") != NULL, "message names the file");
            expect(!path_exists(part) && !step_exists(run, 2), "nothing is left behind");
            expect(checkpoint_find(run, found) == PAL_OK && strstr(found, "00000001") != NULL,
                   "the earlier one stays");
        }
        if (is_root()) unlink(filler);
        group_barrier(&grid.world);
    }
    expect(failures > 3, "the disk was too large to be full");
    expect(status == PAL_OK, "saving works again");
    Checkpoint *c = NULL;
    expect(checkpoint_open(&c, run, NULL) != PAL_OK, "a folder is no file");
    expect(checkpoint_find(run, found) == PAL_OK && checkpoint_open(&c, found, NULL) == PAL_OK,
           "open");
    checkpoint_close(&c);
    group_barrier(&grid.world);
    if (is_root()) remove_small_disk(disk);
    end_test();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_saved_comes_back),
        cmocka_unit_test(old_ones_are_pruned_and_found),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(unshared_folders_are_refused),
        cmocka_unit_test(old_copies_are_refused),
        cmocka_unit_test(truncated_files_are_refused),
        cmocka_unit_test(every_flipped_byte_is_found),
        cmocka_unit_test(listing_shows_everything),
        cmocka_unit_test(a_full_disk_leaves_the_earlier_one),
    };
    mpi_start(&argc, &argv);
    grid_create_flat(&grid);
    log_set_rank(grid.world.rank, false);
    int ready = is_root() && temporary_folder(folder);
    group_broadcast(&grid.world, &ready, sizeof ready, 0);
    group_broadcast(&grid.world, folder, sizeof folder, 0);
    int failed = ready ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
    group_barrier(&grid.world);
    if (is_root()) remove_folder(folder);
    grid_destroy(&grid);
    mpi_stop();
    return failed != 0;
}
