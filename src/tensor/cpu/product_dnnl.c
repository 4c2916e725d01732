/* SPDX-License-Identifier: Apache-2.0
 *
 * Matrix products by oneDNN. Measured (2.6, AVX-512, 1 and 2 threads, plain row-major matrices):
 * dnnl_sgemm is mostly as fast as the matmul primitive or up to 20% faster, with a transposed b at
 * worst 10% slower; but where it multiplies a tall transposed a by a narrow b (the gradient of a
 * weight (m,n) with m >= 1024 > n, e.g. of the feed-forward's second matrix) the primitive is 1.1
 * to 1.7 times as fast. Packing b for the primitive costs what it gains. So: sgemm, and for that
 * one case primitives, made once per shape and kept in the device's context. bfloat16 has primitives
 * alone.
 */
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "src/base/fatal.h"
#include "src/tensor/cpu/context.h"
#include "src/tensor/cpu/product.h"

typedef struct Entry {
    Product shape; /* the key */
    dnnl_primitive_t primitive;
    dnnl_memory_t a, b, c;
    UT_hash_handle hh;
} Entry;

typedef struct Cache {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    Entry *entries;
} Cache;

/* The shapes are checked before, so a failure is a broken or exhausted library: nothing to go on
 * with. */
static void check(dnnl_status_t status, const char *what)
{
    if (status == dnnl_success) return;
    fatal(PAL_ERROR_UNAVAILABLE, "oneDNN failed to %s (status %d%s)", what, (int)status,
          status == dnnl_out_of_memory ? ": out of memory for its code or buffers" : "");
}

static Cache *product_cache(Device *device)
{
    CpuContext *context = device->context;
    if (context->matmul_cache == NULL) {
        Cache *cache = fatal_calloc(1, sizeof *cache, "products");
        check(dnnl_engine_create(&cache->engine, dnnl_cpu, 0), "create an engine");
        check(dnnl_stream_create(&cache->stream, cache->engine, dnnl_stream_default_flags),
              "create a stream");
        context->matmul_cache = cache;
    }
    return context->matmul_cache;
}

void cpu_product_cache_destroy(void **cache_pointer)
{
    Cache *cache = *cache_pointer;
    if (cache == NULL) return;
    Entry *entry, *next;
    HASH_ITER(hh, cache->entries, entry, next)
    {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): takes a later entry for the freed one */
        HASH_DEL(cache->entries, entry);
        dnnl_primitive_destroy(entry->primitive);
        dnnl_memory_destroy(entry->a);
        dnnl_memory_destroy(entry->b);
        dnnl_memory_destroy(entry->c);
        free(entry);
    }
    dnnl_stream_destroy(cache->stream);
    dnnl_engine_destroy(cache->engine);
    free(cache);
    *cache_pointer = NULL;
}

/* (rows, columns), or the transpose of a stored (columns, rows). */
static dnnl_memory_desc_t matrix(int64_t rows, int64_t columns, bool transposed,
                                 dnnl_data_type_t type)
{
    dnnl_dims_t dims = {rows, columns};
    dnnl_dims_t strides = {transposed ? 1 : columns, transposed ? rows : 1};
    dnnl_memory_desc_t description;
    check(dnnl_memory_desc_init_by_strides(&description, 2, dims, type, strides),
          "describe a matrix");
    return description;
}

static dnnl_primitive_attr_t attributes(bool accumulate)
{
    dnnl_primitive_attr_t attr;
    dnnl_post_ops_t post_ops;
    check(dnnl_primitive_attr_create(&attr), "create attributes");
    check(dnnl_post_ops_create(&post_ops), "create post-ops");
    if (accumulate) check(dnnl_post_ops_append_sum(post_ops, 1.0f), "append a sum");
    check(dnnl_primitive_attr_set_post_ops(attr, post_ops), "set post-ops");
    dnnl_post_ops_destroy(post_ops);
    return attr;
}

static Entry *entry_create(Cache *cache, Product shape)
{
    Entry *entry = fatal_calloc(1, sizeof *entry, "a product");
    entry->shape = shape;
    dnnl_data_type_t operands = shape.operands == NUMBER_BFLOAT16 ? dnnl_bf16 : dnnl_f32;
    dnnl_memory_desc_t a = matrix(shape.m, shape.k, shape.transpose_a, operands);
    dnnl_memory_desc_t b = matrix(shape.k, shape.n, shape.transpose_b, operands);
    dnnl_memory_desc_t c = matrix(shape.m, shape.n, false, dnnl_f32);
    dnnl_matmul_desc_t operation;
    dnnl_primitive_desc_t description;
    dnnl_primitive_attr_t attr = attributes(shape.accumulate);

    check(dnnl_matmul_desc_init(&operation, &a, &b, NULL, &c), "describe a product");
    check(dnnl_primitive_desc_create(&description, &operation, attr, cache->engine, NULL),
          "find a product");
    check(dnnl_primitive_create(&entry->primitive, description), "create a product");
    dnnl_primitive_desc_destroy(description);
    dnnl_primitive_attr_destroy(attr);

    check(dnnl_memory_create(&entry->a, &a, cache->engine, DNNL_MEMORY_NONE), "wrap a matrix");
    check(dnnl_memory_create(&entry->b, &b, cache->engine, DNNL_MEMORY_NONE), "wrap a matrix");
    check(dnnl_memory_create(&entry->c, &c, cache->engine, DNNL_MEMORY_NONE), "wrap a matrix");
    HASH_ADD(hh, cache->entries, shape, sizeof entry->shape, entry);
    return entry;
}

static void product_by_primitive(Device *device, float *c, const void *a, const void *b,
                                 Product product)
{
    Cache *cache = product_cache(device);
    Product key;
    memset(&key, 0, sizeof key); /* the hash sees the padding too */
    key.m = product.m;
    key.n = product.n;
    key.k = product.k;
    key.transpose_a = product.transpose_a;
    key.transpose_b = product.transpose_b;
    key.accumulate = product.accumulate;
    key.operands = product.operands;

    Entry *entry;
    HASH_FIND(hh, cache->entries, &key, sizeof key, entry);
    if (entry == NULL) entry = entry_create(cache, key);

    check(dnnl_memory_set_data_handle(entry->a, (void *)(uintptr_t)a), "point to a");
    check(dnnl_memory_set_data_handle(entry->b, (void *)(uintptr_t)b), "point to b");
    check(dnnl_memory_set_data_handle(entry->c, c), "point to c");
    dnnl_exec_arg_t arguments[] = {
        {DNNL_ARG_SRC, entry->a}, {DNNL_ARG_WEIGHTS, entry->b}, {DNNL_ARG_DST, entry->c}};
    check(dnnl_primitive_execute(entry->primitive, cache->stream, 3, arguments), "multiply");
    check(dnnl_stream_wait(cache->stream), "wait for a product");
}

static void product_by_sgemm(float *c, const float *a, const float *b, Product product)
{
    int64_t m = product.m, n = product.n, k = product.k;
    check(dnnl_sgemm(product.transpose_a ? 'T' : 'N', product.transpose_b ? 'T' : 'N', m, n, k,
                     1.0f, a, product.transpose_a ? m : k, b, product.transpose_b ? k : n,
                     product.accumulate ? 1.0f : 0.0f, c, n),
          "multiply");
}

bool cpu_multiplies_bfloat16(void)
{
    unsigned there = dnnl_get_effective_cpu_isa(), wanted = dnnl_cpu_isa_avx512_core_bf16;
    return (there & wanted) == wanted; /* sets of instructions */
}

void cpu_product(Device *device, Real *c, const void *a, const void *b, Product product)
{
    /* oneDNN takes as many threads as OpenMP would; other users of OpenMP keep their number. */
    int threads_before = omp_get_max_threads();
    if (threads_before != device->threads) omp_set_num_threads(device->threads);

    bool tall =
        product.transpose_a && !product.transpose_b && product.m >= 1024 && product.n < 1024;
    if (tall || product.operands == NUMBER_BFLOAT16)
        product_by_primitive(device, c, a, b, product);
    else
        product_by_sgemm(c, a, b, product);

    if (threads_before != device->threads) omp_set_num_threads(threads_before);
}
