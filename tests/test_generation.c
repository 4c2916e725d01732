/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading token by token (src/model/decoder.h) gives the logits of reading by whole windows: at
 * every position of several windows, with memories that fill, overflow and get compressed, for
 * every option that the decoder has to follow.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/random.h"
#include "src/model/decoder.h"

enum { LAYERS = 2, WINDOW = 8, VOCABULARY = 19, TOKENS = 5 * WINDOW + 3, THREADS = 1 };

/* Both ways compute the same sums of some 50 products of numbers of size 1 in another order.
 * Mistakes made on purpose (a row of positions, old projections, a missing lse) changed the first
 * wrong logit by 5e-4 to 0.4. */
static const double tolerance = sizeof(Real) == sizeof(float) ? 1e-4 : 1e-11;

typedef struct Case {
    const char *name;
    Norm norm;
    Positions positions;
    int memory[LAYERS], compressed[LAYERS];
    CompressionKind compression;
    EmptyMemory empty;
    Activation activation;
    bool untied, adaptive;
} Case;

static const Case cases[] = {
    {.name = "pre, separate", .memory = {16, 16}, .compressed = {8, 8}},
    {.name = "post, separate", .norm = NORM_POST, .memory = {16, 16}, .compressed = {8, 8}},
    {.name = "pre, contiguous",
     .positions = POSITIONS_CONTIGUOUS,
     .memory = {8, 16},
     .compressed = {8, 4}},
    {.name = "post, contiguous",
     .norm = NORM_POST,
     .positions = POSITIONS_CONTIGUOUS,
     .memory = {8, 8},
     .compressed = {8, 8}},
    {.name = "pre, temporal",
     .positions = POSITIONS_TEMPORAL,
     .memory = {8, 8},
     .compressed = {12, 4}},
    {.name = "post, temporal",
     .norm = NORM_POST,
     .positions = POSITIONS_TEMPORAL,
     .memory = {8, 8},
     .compressed = {8, 8}},
    {.name = "N = 0", .memory = {16, 8}},
    {.name = "M = N = 0", .norm = NORM_POST},
    {.name = "M = 0", .compressed = {8, 8}},
    {.name = "N = 0 in one layer, M < T", .memory = {4, 8}, .compressed = {0, 8}},
    {.name = "most used",
     .memory = {4, 16},
     .compressed = {8, 8},
     .compression = COMPRESSION_MOST_USED},
    {.name = "convolution, zeros, gelu, untied",
     .memory = {16, 16},
     .compressed = {8, 8},
     .compression = COMPRESSION_CONV,
     .empty = EMPTY_ZEROS,
     .activation = ACTIVATION_GELU,
     .untied = true},
    {.name = "adaptive", .memory = {8, 8}, .compressed = {4, 4}, .adaptive = true},
    {.name = "post, adaptive, untied",
     .norm = NORM_POST,
     .memory = {8, 8},
     .compressed = {4, 4},
     .untied = true,
     .adaptive = true},
};

static ModelOptions make_options(const Case *c)
{
    ModelOptions options = {.layers = LAYERS,
                            .width = 12,
                            .heads = 3,
                            .feed_forward = 20,
                            .vocabulary = VOCABULARY,
                            .window = WINDOW,
                            .compression_rate = 4,
                            .compression = c->compression,
                            .bptt_windows = 1,
                            .norm = c->norm,
                            .activation = c->activation,
                            .positions = c->positions,
                            .empty_memory = c->empty,
                            .tie_embeddings = !c->untied,
                            .dropout = 0.5, /* has no effect outside training */
                            .attention_dropout = 0.5};
    if (c->adaptive) {
        options.num_cutoffs = 2;
        options.cutoffs[0] = 5;
        options.cutoffs[1] = 11;
        options.adaptive_divisor = 2;
    }
    memcpy(options.memory, c->memory, sizeof c->memory);
    memcpy(options.compressed_memory, c->compressed, sizeof c->compressed);
    return options;
}

typedef struct Setup {
    Device *device;
    Arena *arena;
    Traffic traffic;
    Group group; /* of one */
    ModelOptions options;
    Parameters parameters;
    Model model;   /* reads by windows */
    Model stepped; /* the decoder's */
    Decoder decoder;
    int32_t tokens[TOKENS];
    Real expected[TOKENS][VOCABULARY];
} Setup;

/* Larger than initial weights, so that every part of the model matters in the logits. */
static void randomize(Setup *s)
{
    RandomStream stream = random_stream(5, "tests/generation");
    int64_t count = tensor_count(s->parameters.value);
    Real *values = malloc((size_t)count * sizeof *values);
    for (int64_t i = 0; i < count; i++)
        values[i] = (Real)(0.3 * random_normal(stream, (uint64_t)i));
    s->device->op->upload(s->device, s->parameters.value, values);
    free(values);
    for (int t = 0; t < TOKENS; t++)
        s->tokens[t] = (int32_t)(random_uniform(stream, (uint64_t)(count + t)) * VOCABULARY);
}

static Setup *setup_create(const Case *c)
{
    Setup *s = calloc(1, sizeof *s);
    s->options = make_options(c);
    assert_int_equal(device_create_cpu(&s->device, THREADS), PAL_OK);
    assert_int_equal(arena_create(&s->arena, s->device), PAL_OK);
    s->group = (Group){.rank = 0, .size = 1, .traffic = &s->traffic};
    Placement place = placement_whole(&s->options, 1);
    parameters_create(&s->parameters, s->arena, &s->options, &place, false);
    Model *models[] = {&s->model, &s->stepped};
    for (int i = 0; i < 2; i++)
        assert_int_equal(model_create(models[i], s->device, s->arena, &s->options, &place,
                                      &s->group, &s->parameters, false, false),
                         PAL_OK);
    decoder_create(&s->decoder, s->arena, &s->stepped);
    assert_int_equal(arena_seal(s->arena), PAL_OK);
    randomize(s);
    for (int i = 0; i < 2; i++) model_start(models[i]);
    return s;
}

static void setup_destroy(Setup *s)
{
    arena_destroy(&s->arena);
    device_destroy(&s->device);
    free(s);
}

/* As training and evaluation read a document. */
static void read_by_windows(Setup *s)
{
    int32_t inputs[WINDOW], targets[WINDOW];
    for (int first = 0; first < TOKENS; first += WINDOW) {
        int counted = TOKENS - first < WINDOW ? TOKENS - first : WINDOW;
        bool starts = first == 0;
        for (int t = 0; t < WINDOW; t++) {
            inputs[t] = t < counted ? s->tokens[first + t] : 0;
            targets[t] = -1;
        }
        Window window = {.rows = 1,
                         .length = WINDOW,
                         .inputs = inputs,
                         .targets = targets,
                         .counted = &counted,
                         .starts = &starts};
        model_forward(&s->model, 0, &window, 0, true);
        for (int t = 0; t < counted; t++) {
            output_logits(s->device, &s->model.output, s->expected[first + t],
                          tensor_slice(tensor_as_matrix(s->model.flights[0].top), t, 1));
        }
    }
}

static void compare(Setup *s, const char *name, int position)
{
    const Real *found = s->decoder.logits;
    for (int v = 0; v < VOCABULARY; v++) {
        double expected = (double)s->expected[position][v];
        if (!(fabs((double)found[v] - expected) <= tolerance * (1.0 + fabs(expected))))
            fail_msg("%s: logit %d after token %d is %.9g, expected %.9g", name, v, position,
                     (double)found[v], expected);
    }
}

static void steps_equal_windows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Setup *s = setup_create(&cases[i]);
        read_by_windows(s);
        for (int again = 0; again < 2; again++) { /* the second time after a full memory */
            decoder_begin(&s->decoder);
            for (int t = 0; t < TOKENS; t++) {
                decoder_read(&s->decoder, &s->tokens[t], 1);
                compare(s, cases[i].name, t);
            }
        }
        setup_destroy(s);
    }
}

/* A prompt of any length, then steps, then several tokens again. */
static void prompts_equal_windows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Setup *s = setup_create(&cases[i]);
        read_by_windows(s);
        for (int prompt = 1; prompt < TOKENS - 3; prompt++) {
            decoder_begin(&s->decoder);
            decoder_read(&s->decoder, s->tokens, prompt);
            compare(s, cases[i].name, prompt - 1);
            decoder_read(&s->decoder, s->tokens + prompt, 1);
            compare(s, cases[i].name, prompt);
            decoder_read(&s->decoder, s->tokens + prompt + 1, TOKENS - prompt - 1);
            compare(s, cases[i].name, TOKENS - 1);
        }
        setup_destroy(s);
    }
}

/* The test above sees what it should: another oldest token, still in memory, changes the logits. */
static void old_tokens_matter(void **state)
{
    (void)state;
    Setup *s = setup_create(&cases[0]);
    read_by_windows(s);
    s->tokens[WINDOW] = (s->tokens[WINDOW] + 1) % VOCABULARY;
    decoder_begin(&s->decoder);
    decoder_read(&s->decoder, s->tokens, TOKENS);
    const Real *found = s->decoder.logits;
    double largest = 0.0;
    for (int v = 0; v < VOCABULARY; v++)
        largest = fmax(largest, fabs((double)(found[v] - s->expected[TOKENS - 1][v])));
    assert_true(largest > 1e-3);
    setup_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_equal_windows),
        cmocka_unit_test(prompts_equal_windows),
        cmocka_unit_test(old_tokens_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
