/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/checkpoint_fixture.h"

#include "io/checkpoint_saver.h"
#include "mpi/collectives.h"
#include "src/base/log.h"
#include "src/tensor/device.h"
#include "tests/test_io_support.h"

Grid grid;
char fixture_folder[256];
static char complaint[1024];

bool fixture_start(int *argc, char ***argv)
{
    mpi_start(argc, argv);
    grid_create_flat(&grid);
    log_set_rank(grid.world.rank, false);
    int ready = is_root() && temporary_folder(fixture_folder);
    group_broadcast(&grid.world, &ready, sizeof ready, 0);
    group_broadcast(&grid.world, fixture_folder, sizeof fixture_folder, 0);
    return ready != 0;
}

int fixture_stop(int failed)
{
    group_barrier(&grid.world);
    if (is_root()) remove_folder(fixture_folder);
    grid_destroy(&grid);
    mpi_stop();
    return failed != 0;
}

bool is_root(void) { return group_is_root(&grid.world); }

const char *file_name(const char *name)
{
    static char path[512];
    return in_folder(fixture_folder, name, path);
}

bool expect(bool good, const char *what)
{
    if (!good && complaint[0] == '\0')
        snprintf(complaint, sizeof complaint, "%s (latest message: '%s')", what, status_message());
    return good;
}

void expect_refused(Status found, Status wanted, const char *piece)
{
    char what[256];
    snprintf(what, sizeof what, "status %d, expected %d with '%s'", (int)found, (int)wanted, piece);
    expect(found == wanted && strstr(status_message(), piece) != NULL, what);
}

void end_test(void)
{
    status_set_message(complaint);
    Status mine = complaint[0] == '\0' ? PAL_OK : PAL_ERROR_INTERNAL;
    complaint[0] = '\0';
    if (group_agree(&grid.world, mine) != PAL_OK) fail_msg("%s", status_message());
}

/* --- the checkpoint --------------------------------------------------------------------------- */

float element(int t, int64_t i) { return (float)t * 1000.0f + (float)i * 0.25f; }

enum { NUM_TENSORS = 8 };

typedef struct Content {
    CheckpointTensor tensors[NUM_TENSORS];
    Slab boxes[NUM_TENSORS][2];
    const void *numbers[NUM_TENSORS]; /* of this rank, box after box */
    float weights[WIDTH * WIDTH];
    float memory[ROWS * SLOTS * WIDTH];
    int32_t valid[ROWS];
    int64_t cursors[3][ROWS];
    double losses[PAL_RECENT_LOSSES];
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

/* Longer than what HDF5 keeps beside its own checksums. */
static const char words[] = "the\n<eos>\nof\n<unk>\n";

const char *long_configuration(void)
{
    static char text[6000];
    const char *line = "[model]\nlayers = 1\n# \xc3\xa4\n";
    size_t length = strlen(line);
    for (size_t at = 0; at + length < sizeof text; at += length)
        snprintf(text + at, sizeof text - at, "%s", line);
    return text;
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
    set_tensor(c, 7, "/detector/losses", STORED_FLOAT64, (Shape){1, {PAL_RECENT_LOSSES}}, is_root(),
               c->losses);
    c->boxes[7][0] = (Slab){{0}, {PAL_RECENT_LOSSES}};
    for (int i = 0; i < PAL_RECENT_LOSSES; i++) c->losses[i] = 3.0 + 1.0 / (i + 1);
    c->state = (CheckpointState){.update = update,
                                 .windows = 2 * update,
                                 .tokens = 3 * update,
                                 .next = 11,
                                 .scheduled = update,
                                 .data = -5,
                                 .rows = ROWS,
                                 .history = {.held = 100, .skips = 2, .rewinds = 1, .furthest = 9},
                                 .configuration = long_configuration(),
                                 .tokenizer = {"words", 5, 4, (uint8_t *)words, sizeof words - 1}};
}

static void copy_tensor(void *context, int tensor, void *to)
{
    const Content *c = context;
    memcpy(to, c->numbers[tensor],
           (size_t)checkpoint_numbers(&c->tensors[tensor]) * stored_size(c->tensors[tensor].type));
}

/* By every way in turn; what is in the background may be changed as soon as it was begun. */
Status save(const char *run, int64_t update, char path[PAL_PATH_SIZE])
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

bool step_exists(const char *run, int64_t update)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/checkpoints/step-%08lld.h5", run, (long long)update);
    return path_exists(path);
}
