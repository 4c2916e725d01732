/* SPDX-License-Identifier: Apache-2.0
 *
 * Arenas own all numbers of a run. Everything is taken at creation, by purpose; then the arena is
 * sealed and a later request is a bug (checked in every build). Freeing is destroying the arena.
 */
#ifndef PAL_TENSOR_ARENA_H
#define PAL_TENSOR_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "src/base/status.h"
#include "src/tensor/tensor.h"

struct Device;

#define PAL_PURPOSE_LIST(X)                           \
    X(PURPOSE_WEIGHTS, "weights")                     \
    X(PURPOSE_GRADIENTS, "gradients")                 \
    X(PURPOSE_OPTIMIZER, "optimizer moments")         \
    X(PURPOSE_MEMORY, "memory and compressed memory") \
    X(PURPOSE_ACTIVATIONS, "activations")             \
    X(PURPOSE_POSITIONS, "position tables")           \
    X(PURPOSE_WORKSPACE, "workspace")                 \
    X(PURPOSE_STAGING, "staging of checkpoints")      \
    X(PURPOSE_EXCHANGE, "staging of messages")        \
    X(PURPOSE_DATA, "tokens and counters")

typedef enum Purpose {
#define PAL_PURPOSE_ENTRY(name, text) name,
    PAL_PURPOSE_LIST(PAL_PURPOSE_ENTRY)
#undef PAL_PURPOSE_ENTRY
        PURPOSE_COUNT
} Purpose;

typedef struct Arena Arena;

/* Creation errors: out of host memory. */
Status arena_create(Arena **arena, struct Device *device /* borrowed */);
void arena_destroy(Arena **arena);

/* Zero-filled numbers on the device. When memory runs out the arena remembers it, keeps counting
 * and returns a tensor without data; arena_seal() then reports the purpose and the bytes. */
Tensor arena_tensor(Arena *arena, Purpose purpose, NumberType type, int num_dims,
                    const int64_t *dims);
Tensor arena_tensor_1d(Arena *arena, Purpose purpose, int64_t a);
Tensor arena_tensor_2d(Arena *arena, Purpose purpose, int64_t a, int64_t b);
Tensor arena_tensor_3d(Arena *arena, Purpose purpose, int64_t a, int64_t b, int64_t c);
Tensor arena_typed_2d(Arena *arena, Purpose purpose, NumberType type, int64_t a, int64_t b);
Tensor arena_typed_3d(Arena *arena, Purpose purpose, NumberType type, int64_t a, int64_t b,
                      int64_t c);

/* Zero-filled host bytes that live as long as the arena (counters, tokens); may return NULL,
 * likewise reported by arena_seal(). */
void *arena_host(Arena *arena, Purpose purpose, size_t bytes);

/* Ends creation: error if any request could not be met, with the bytes by purpose. */
Status arena_seal(Arena *arena);

/* There was no room for these bytes elsewhere, for what the same run needs (a text that lives as
 * long as the arena): arena_seal() reports the first such thing, and what the run needs in all. */
void arena_lacks(Arena *arena, size_t bytes, const char *what);

/* The numbers of the largest tensor of this type that was asked for, but for weights. */
int64_t arena_largest(const Arena *arena, NumberType type);

size_t arena_bytes(const Arena *arena, Purpose purpose);
size_t arena_total_bytes(const Arena *arena);
/* Of them in the device's own memory. */
size_t arena_device_bytes(const Arena *arena);
const char *purpose_name(Purpose purpose);

#endif
