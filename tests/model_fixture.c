/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/model_fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/checked.h"

static int64_t either(int64_t value, int64_t otherwise) { return value != 0 ? value : otherwise; }

static void set_default(int *option, int value)
{
    if (*option == 0) *option = value;
}

ModelOptions fixture_options(ModelOptions options)
{
    set_default(&options.layers, 2);
    set_default(&options.width, 12);
    set_default(&options.heads, 3);
    set_default(&options.feed_forward, 10);
    set_default(&options.vocabulary, 11);
    set_default(&options.window, 4);
    set_default(&options.compression_rate, 2);
    set_default(&options.bptt_windows, 1);
    if (options.num_dilations == 0) {
        options.num_dilations = 2;
        options.dilations[0] = 1;
        options.dilations[1] = 2;
    }
    return options;
}

void fixture_draw(Real *numbers, int64_t count, const char *name)
{
    RandomStream stream = random_stream(17, name);
    for (int64_t i = 0; i < count; i++) numbers[i] = (Real)random_normal(stream, (uint64_t)i);
}

/* Around the initial values of training, but for products of a size of 1: matrices are divided by
 * the root of their height. */
static void draw_weights(Parameters *parameters)
{
    for (int i = 0; i < parameters->count; i++) {
        const Parameter *row = &parameters->table[i];
        Tensor value = parameter_view(row, parameters->value);
        int64_t count = tensor_count(value);
        fixture_draw(tensor_reals(value), count, row->name);
        Initializer initializer = row->initializer;
        double size = 0.4;
        if (initializer == INITIAL_NORMAL) size = 1.0 / sqrt((double)row->dims[0]);
        if (initializer == INITIAL_MEAN_OF_GROUP) size = 0.2;
        for (int64_t e = 0; e < count; e++) {
            bool one = initializer == INITIAL_ONE;
            bool tap = initializer == INITIAL_MEAN_OF_GROUP &&
                       e / row->dims[1] % row->dims[1] == e % row->dims[1];
            double base = one ? 1.0 : tap ? 1.0 / parameters->compression_rate : 0.0;
            tensor_reals(value)[e] = (Real)(base + size * (double)tensor_reals(value)[e]);
        }
    }
}

static void create_kept_ring(SlotRing *kept, const SlotRing *ring, Arena *arena)
{
    *kept = *ring;
    kept->slots = arena_tensor(arena, PURPOSE_MEMORY, ring->slots.type, 3, ring->slots.dims);
    kept->held = arena_host(arena, PURPOSE_DATA, checked_size(ring->slots.dims[0]) * sizeof(int));
}

static void create_kept_memory(Fixture *fixture)
{
    size_t layers = checked_size(fixture->options.layers);
    fixture->kept = arena_host(fixture->arena, PURPOSE_DATA, layers * sizeof *fixture->kept);
    for (int l = 0; l < fixture->options.layers; l++) {
        const LayerMemory *memory = &fixture->model.memory[l];
        LayerMemory *kept = &fixture->kept[l];
        size_t rows = checked_size(memory->rows);
        *kept = *memory;
        create_kept_ring(&kept->recent, &memory->recent, fixture->arena);
        create_kept_ring(&kept->compressed, &memory->compressed, fixture->arena);
        kept->pushed = arena_host(fixture->arena, PURPOSE_DATA, rows * sizeof(int64_t));
        kept->valid_compressed = arena_host(fixture->arena, PURPOSE_DATA, rows * sizeof(int));
    }
}

static Placement placement_of(const Setting *setting, const ModelOptions *options)
{
    int rows = (int)either(setting->rows, 3), groups = (int)either(setting->groups, 1);
    assert_true(rows <= FIXTURE_ROWS && rows % groups == 0);
    Placement place = placement_whole(options, rows / groups);
    place.row_groups = groups;
    place.flights = (int)either(setting->flights, 1);
    place.operands = setting->operands;
    return place;
}

void fixture_create(Fixture *fixture, const Setting *setting)
{
    bool training = !setting->evaluates;
    *fixture = (Fixture){.options = fixture_options(setting->model)};
    fixture->group = (Group){.rank = 0, .size = 1, .traffic = &fixture->traffic};
    const ModelOptions *options = &fixture->options;
    Placement place = placement_of(setting, options);
    assert_true(options->window <= FIXTURE_WINDOW && options->window > 1);

    assert_int_equal(device_create_cpu(&fixture->device, (int)either(setting->threads, 1)), PAL_OK);
    assert_int_equal(arena_create(&fixture->arena, fixture->device), PAL_OK);
    parameters_create(&fixture->parameters, fixture->arena, options, &place, training);
    assert_int_equal(model_create(&fixture->model, fixture->device, fixture->arena, options, &place,
                                  &fixture->group, &fixture->parameters, training,
                                  setting->keeps_memory),
                     PAL_OK);
    create_kept_memory(fixture);
    assert_int_equal(arena_seal(fixture->arena), PAL_OK);
    model_start(&fixture->model);
    draw_weights(&fixture->parameters);
}

void fixture_destroy(Fixture *fixture)
{
    arena_destroy(&fixture->arena);
    device_destroy(&fixture->device);
}

/* How many tokens this row has in this window of the schedule, and whether they start a
 * document. */
static int plan_row(int row, int64_t index, int length, bool *starts)
{
    static const int periods[FIXTURE_ROWS] = {0, 4, 3, 0};
    PAL_ASSERT(length > 1);
    int64_t period = periods[row];
    int64_t number = period > 0 ? index % period : index; /* of the window in its document */
    *starts = number == 0;
    if (row == 3 && index >= 2) return 0;
    bool partial = period > 0 && number == period - 1;
    return partial ? 1 + (5 * row + 2) % (length - 1) : length;
}

void fixture_window(const Fixture *fixture, TestWindow *window, int64_t index)
{
    int rows = fixture->model.place.rows * fixture->model.place.row_groups,
        length = fixture->options.window;
    RandomStream stream = random_substream(random_stream(3, "tests/tokens"), (uint64_t)index, 0);
    for (int b = 0; b < rows; b++) {
        window->counted[b] = plan_row(b, index, length, &window->starts[b]);
        for (int t = 0; t < length; t++) {
            int i = b * length + t;
            uint32_t words[4];
            random_words(stream, (uint64_t)i, words);
            uint32_t vocabulary = (uint32_t)fixture->options.vocabulary;
            window->inputs[i] = (int32_t)(words[0] % vocabulary);
            window->targets[i] = t < window->counted[b] ? (int32_t)(words[1] % vocabulary) : -1;
        }
    }
    window->view = (Window){
        .rows = rows,
        .length = length,
        .inputs = window->inputs,
        .targets = window->targets,
        .counted = window->counted,
        .starts = window->starts,
        .index = index,
        .first_row = 5,
        .seed = 23,
    };
}

int fixture_first_row(const Fixture *fixture, int group)
{
    return group * fixture->model.place.rows;
}

Window fixture_part(const Fixture *fixture, const Window *window, int group)
{
    Window part = *window;
    int first = fixture_first_row(fixture, group);
    part.rows = fixture->model.place.rows;
    part.inputs += (ptrdiff_t)first * window->length;
    part.targets += (ptrdiff_t)first * window->length;
    part.counted += first;
    part.starts += first;
    part.first_row += first;
    return part;
}

static void ignore_layer(void *context, int layer)
{
    (void)context;
    (void)layer;
}

void fixture_backward(Model *model, int flight, bool last)
{
    model_backward(model, flight, NULL, NULL);
    if (last) model_finish_layers(model, ignore_layer, NULL);
}

void fixture_run_window(Fixture *fixture, const Window *window)
{
    Model *model = &fixture->model;
    if (model->training) model_begin_update(model);
    for (int g = 0; g < model->place.row_groups; g++) {
        Window part = fixture_part(fixture, window, g);
        model_forward(model, 0, &part, fixture_first_row(fixture, g), true);
        if (model->training) fixture_backward(model, 0, g == model->place.row_groups - 1);
    }
    if (model->training) model_finish_update(model);
}

void fixture_run_schedule(Fixture *fixture, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        TestWindow window;
        fixture_window(fixture, &window, i);
        fixture_run_window(fixture, &window.view);
    }
}

Tensor fixture_tokens_nats(const Fixture *fixture) { return fixture->model.flights[0].nats; }

double fixture_nats(const Fixture *fixture)
{
    return fixture->device->op->sum(fixture->device, fixture_tokens_nats(fixture));
}

MemoryView fixture_view(Fixture *fixture, int layer, int group)
{
    Model *model = &fixture->model;
    MemoryMark *mark = &model->flights[0].marks[layer];
    memory_mark(&model->memory[layer], mark, fixture_first_row(fixture, group));
    gather_begin(&model->gather, &model->memory[layer], mark);
    return gather_end(&model->gather);
}

/* As if they had entered with as many windows as have M slots. */
void fixture_set_recent(Fixture *fixture, int layer, Tensor recent)
{
    LayerMemory *memory = &fixture->model.memory[layer];
    SlotRing *ring = &memory->recent;
    int64_t slots = memory_slots(memory), length = ring->slots.dims[1], width = recent.dims[2];
    assert_true(recent.dims[0] == memory->rows && recent.dims[1] == slots);
    for (int64_t row = 0; row < memory->rows; row++) {
        memory->pushed[row] = (slots + memory->window - 1) / memory->window;
        ring->held[row] = (int)slots;
        for (int64_t j = 0; j < slots; j++) {
            int64_t number = memory->pushed[row] * memory->window - slots + j;
            memcpy(tensor_reals(ring->slots) + (row * length + number % length) * width,
                   tensor_reals(recent) + (row * slots + j) * width,
                   checked_size(width) * sizeof(Real));
        }
    }
}

static void copy_ring(SlotRing *to, const SlotRing *from)
{
    memcpy(to->slots.data, from->slots.data,
           checked_size(tensor_count(from->slots)) * number_size(from->slots.type));
    memcpy(to->held, from->held, checked_size(from->slots.dims[0]) * sizeof(int));
}

static void copy_memory(LayerMemory *to, const LayerMemory *from)
{
    size_t rows = checked_size(from->rows);
    copy_ring(&to->recent, &from->recent);
    copy_ring(&to->compressed, &from->compressed);
    memcpy(to->pushed, from->pushed, rows * sizeof(int64_t));
    memcpy(to->valid_compressed, from->valid_compressed, rows * sizeof(int));
}

void fixture_keep_memory(Fixture *fixture)
{
    for (int l = 0; l < fixture->options.layers; l++)
        copy_memory(&fixture->kept[l], &fixture->model.memory[l]);
}

void fixture_restore_memory(Fixture *fixture)
{
    for (int l = 0; l < fixture->options.layers; l++)
        copy_memory(&fixture->model.memory[l], &fixture->kept[l]);
}

/* Sets at = kept + factor * direction and takes f there. */
static double value_beside(double (*f)(void *), void *context, Real *at, const Real *kept,
                           const Real *direction, int64_t count, double factor)
{
    for (int64_t i = 0; i < count; i++) at[i] = kept[i] + (Real)factor * direction[i];
    return f(context);
}

double central_difference(double (*f)(void *context), void *context, Real *at,
                          const Real *direction, int64_t count)
{
    const double step = 1e-6;
    size_t bytes = checked_size(count) * sizeof(Real);
    Real *kept = malloc(bytes);
    assert_non_null(kept);
    memcpy(kept, at, bytes);
    double above = value_beside(f, context, at, kept, direction, count, step);
    double below = value_beside(f, context, at, kept, direction, count, -step);
    memcpy(at, kept, bytes);
    free(kept);
    return (above - below) / (2 * step);
}
