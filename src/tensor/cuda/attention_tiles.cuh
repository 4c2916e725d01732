/* SPDX-License-Identifier: Apache-2.0
 *
 * Tiles of attention in shared memory: how they get there, and the logits of a tile of queries
 * against a tile of slots. Written over the element type of what is in shared memory and over SIZE,
 * the head size rounded up to 32, 64, 96 or 128; columns behind the head size are zeros.
 */
#ifndef PAL_TENSOR_CUDA_ATTENTION_TILES_CUH
#define PAL_TENSOR_CUDA_ATTENTION_TILES_CUH

#include "src/tensor/cuda/attention_call.cuh"
#include "src/tensor/cuda/tile_product.cuh"

/* TILE rows of a block's own tile and of each that it meets: as many as shared memory has room for
 * in the dearest of the kernels. */
template <typename Element, int SIZE>
constexpr int ROWS_OF_TILE = sizeof(Element) * SIZE > 256 ? 32 : 64;

template <typename Element, int SIZE, int ROWS = ROWS_OF_TILE<Element, SIZE>> struct Shape {
    static constexpr int TILE = ROWS;
    static constexpr int WARPS = TILE / FRAGMENT_ROWS, THREADS = WARPS * WARP;
    static constexpr int SPAN = 2 * TILE;                   /* rows that a skewed product reads */
    static constexpr int ROW = SIZE + ROW_PADDING<Element>; /* step of rows of numbers */
    static constexpr int WEIGHT_ROW = TILE + ROW_PADDING<Element>; /* of weights by slot */
    static constexpr int SKEWED = TILE + FRAGMENT_ROWS;            /* positions that a warp meets */
    static constexpr int SKEWED_ROW = SKEWED + ROW_PADDING<Element>;
    static constexpr int SCORE_ROW = SKEWED + 4; /* of float logits by position */
    static constexpr size_t TILE_BYTES = static_cast<size_t>(TILE) * ROW * sizeof(Element);
    static constexpr size_t SPAN_BYTES = 2 * TILE_BYTES;
    /* What a warp has for itself: logits by position, and at other times weights. */
    static constexpr size_t OWN_BYTES = FRAGMENT_ROWS * SCORE_ROW * sizeof(float);
    static_assert(SKEWED_ROW * sizeof(Element) <= SCORE_ROW * sizeof(float), "weights fit as well");
};

constexpr float LOG2_E = 1.44269504088896340736f, LN_2 = 0.69314718055994530942f;

/* --- into shared memory ----------------------------------------------------------------------- */

/* Rows of global memory, `step` numbers apart; only rows [begin, end) are there. */
template <typename Element> struct GlobalRows {
    const Element *start; /* of row 0 */
    int64_t step;
    int64_t begin, end;
};

template <typename Element>
static __device__ __forceinline__ const Element *rows_of(const void *numbers, int64_t first)
{
    return static_cast<const Element *>(numbers) + first;
}

/* The copies that a thread begins arrive with copy_async_wait; the others are there at once. */
template <int COUNT, typename S, typename Element>
static __device__ __forceinline__ void load_rows(Element *to, GlobalRows<Element> from,
                                                 int64_t first, int64_t row_step, int head_size)
{
    constexpr int SIZE = S::ROW - ROW_PADDING<Element>, WIDE = 16 / sizeof(Element);
    bool wide = head_size % WIDE == 0 && from.step % WIDE == 0 &&
                reinterpret_cast<uintptr_t>(from.start) % 16 == 0;
    int each = wide ? WIDE : 1, per_row = SIZE / each;
    for (int at = static_cast<int>(threadIdx.x); at < COUNT * per_row; at += S::THREADS) {
        int row = at / per_row, column = at % per_row * each;
        int64_t number = first + row * row_step;
        bool there = number >= from.begin && number < from.end && column < head_size;
        const Element *source = there ? from.start + number * from.step + column : from.start;
        Element *target = to + row * S::ROW + column;
        if (wide)
            ptx::copy_async_16(target, source, there);
        else if constexpr (sizeof(Element) == 4)
            ptx::copy_async_4(target, source, there);
        else
            *target = there ? *source : to_number<Element>(0.0f); /* too small for a copy */
    }
}

/* Queries first, first + step, ... with a bias (head_size), or none, added. */
template <typename Element, typename S>
static __device__ __forceinline__ void load_queries(Element *to, const AttentionCall &call, int row,
                                                    int head, const float *bias, int first,
                                                    int step)
{
    constexpr int SIZE = S::ROW - ROW_PADDING<Element>;
    const Element *q = static_cast<const Element *>(call.q) + call.window(row, head);
    if (bias != nullptr) bias += head * call.head_size;
    for (int at = static_cast<int>(threadIdx.x); at < S::TILE * SIZE; at += S::THREADS) {
        int i = first + at / SIZE * step, column = at % SIZE;
        float x = 0.0f;
        if (i < call.length && column < call.head_size) {
            x = to_float(q[i * call.width + column]);
            if (bias != nullptr) x += bias[column];
        }
        to[at / SIZE * S::ROW + column] = to_number<Element>(x);
    }
}

/* --- which slots a tile of queries meets ------------------------------------------------------ */

/* Some slots of one source, met by the queries of a block: `used` of the tile's columns. With a row
 * stride c a tile has only TILE / c slots, so that its positions fit into SPAN rows as well. */
struct SlotTile {
    int first, used, end; /* slots [first, min(first + used, end)) */

    __device__ __forceinline__ int64_t lowest_position(const SourceCall &source, int query) const
    {
        return source.row_offset + query -
               static_cast<int64_t>(source.row_stride) * (first + used - 1);
    }
};

template <typename S> static __device__ __forceinline__ int slots_per_tile(const SourceCall &source)
{
    return max(S::TILE / source.row_stride, 1);
}

/* A walk over the tiles of all sources that some queries [first, last) see. */
template <typename S> struct TileWalk {
    const AttentionCall &call;
    int row, last_query;
    int source;
    SlotTile tile;

    __device__ __forceinline__ TileWalk(const AttentionCall &call, int row, int last_query)
        : call(call), row(row), last_query(last_query), source(-1), tile{0, 0, 0}
    {
        next();
    }

    __device__ __forceinline__ bool done() const { return source >= call.num_sources; }
    __device__ __forceinline__ const SourceCall &source_call() const
    {
        return call.sources[source];
    }

    __device__ __forceinline__ void next()
    {
        tile.first += tile.used;
        while (tile.first >= tile.end) {
            if (++source >= call.num_sources) return;
            const SourceCall &entered = call.sources[source];
            tile.first = call.first_slot(entered, row);
            tile.used = slots_per_tile<S>(entered);
            tile.end = entered.causal ? min(entered.slots, last_query) : entered.slots;
        }
    }
};

/* Whether query i of a row attends to slot j; `end` bounds the slots, (first, last) the queries. */
struct Visibility {
    int first_query, last_query, first_slot, end;
    bool causal;

    __device__ __forceinline__ bool sees(int i, int j) const
    {
        return i >= first_query && i < last_query && j >= first_slot && j < end &&
               (!causal || j <= i);
    }
};

static __device__ __forceinline__ Visibility visibility(const AttentionCall &call,
                                                        const SourceCall &source, int row)
{
    return {call.first_query, call.last_query(row), call.first_slot(source, row), source.slots,
            source.causal};
}

/* --- logits ----------------------------------------------------------------------------------- */

/* s[row i][column c] += a_i . b[i + stride (used - 1 - c)] for columns below `used`, by way of the
 * warp's own memory; a: the warp's 16 rows, b: SKEWED rows. */
template <typename Element, int SIZE, typename S>
static __device__ __forceinline__ void add_skewed(Fragment<S::TILE> &s, const Element *a,
                                                  const Element *b, float *own, int stride,
                                                  int used)
{
#pragma unroll 1
    for (int first = 0; first < S::SKEWED; first += 16) {
        Fragment<16> part;
        part.clear();
        product_nt<16, SIZE>(part, a, S::ROW, b + first * S::ROW, S::ROW);
        store_fragment(own + first, S::SCORE_ROW, part);
    }
    __syncwarp();
    each(s, [&](float &x, int i, int c) {
        if (c < used) x += own[i * S::SCORE_ROW + i + stride * (used - 1 - c)];
    });
    __syncwarp();
}

/* Where the logits of a tile are made of. */
template <typename Element> struct TileBuffers {
    Element *content_queries, *position_queries; /* (TILE, SIZE) */
    Element *keys;                               /* (TILE, SIZE) */
    Element *positions;                          /* (SPAN, SIZE), the lowest first */
    float *own;                                  /* of this warp */
};

/* A tile of queries, with the content bias, and for a source that has positions with its position
 * bias. */
template <typename Element, typename S>
static __device__ __forceinline__ void load_both_queries(const TileBuffers<Element> &buffers,
                                                         const AttentionCall &call,
                                                         const SourceCall &source, int row,
                                                         int head, int first)
{
    load_queries<Element, S>(buffers.content_queries, call, row, head, call.content_bias, first, 1);
    if (source.r != nullptr)
        load_queries<Element, S>(buffers.position_queries, call, row, head, source.position_bias,
                                 first, 1);
}

/* The positions that a tile has for queries from `query` on, if its source has any. */
template <typename Element, typename S>
static __device__ __forceinline__ void load_positions(const TileBuffers<Element> &buffers,
                                                      const AttentionCall &call,
                                                      const SourceCall &source, SlotTile tile,
                                                      int head, int query)
{
    if (source.r == nullptr) return;
    GlobalRows<Element> positions = {rows_of<Element>(source.r, head * call.head_size), call.width,
                                     0, source.table_rows};
    load_rows<S::SPAN, S>(buffers.positions, positions, tile.lowest_position(source, query), 1,
                          call.head_size);
}

/* The keys of a tile, and its positions. */
template <typename Element, typename S>
static __device__ __forceinline__ void load_keys(const TileBuffers<Element> &buffers,
                                                 const AttentionCall &call,
                                                 const SourceCall &source, SlotTile tile, int row,
                                                 int head, int query)
{
    GlobalRows<Element> keys = {rows_of<Element>(source.k, call.slots_of(source, row, head)),
                                call.width, 0, tile.end};
    load_rows<S::TILE, S>(buffers.keys, keys, tile.first, 1, call.head_size);
    load_positions<Element, S>(buffers, call, source, tile, head, query);
}

template <typename Element, typename S>
static __device__ __forceinline__ void load_values(Element *values, const AttentionCall &call,
                                                   const SourceCall &source, SlotTile tile, int row,
                                                   int head)
{
    GlobalRows<Element> rows = {rows_of<Element>(source.v, call.slots_of(source, row, head)),
                                call.width, 0, tile.end};
    load_rows<S::TILE, S>(values, rows, tile.first, 1, call.head_size);
}

/* The logits of this warp's 16 queries and the tile's slots, not scaled, nothing hidden. */
template <typename Element, int SIZE, typename S>
static __device__ __forceinline__ void logits(Fragment<S::TILE> &s,
                                              const TileBuffers<Element> &buffers,
                                              const SourceCall &source, int used)
{
    int row = warp_number() * FRAGMENT_ROWS;
    s.clear();
    product_nt<S::TILE, SIZE>(s, buffers.content_queries + row * S::ROW, S::ROW, buffers.keys,
                              S::ROW);
    if (source.r != nullptr)
        add_skewed<Element, SIZE, S>(s, buffers.position_queries + row * S::ROW,
                                     buffers.positions + row * S::ROW, buffers.own,
                                     source.row_stride, used);
}

/* --- what every kernel asks for --------------------------------------------------------------- */

/* Calls kernel launcher `f<Element, SIZE>(...)` with the call's number type and the smallest SIZE
 * that has room for its heads. */
#define PAL_FOR_HEAD_SIZE(Element, call, f, ...) \
    do {                                         \
        if ((call).head_size <= 32)              \
            f<Element, 32>(__VA_ARGS__);         \
        else if ((call).head_size <= 64)         \
            f<Element, 64>(__VA_ARGS__);         \
        else if ((call).head_size <= 96)         \
            f<Element, 96>(__VA_ARGS__);         \
        else                                     \
            f<Element, 128>(__VA_ARGS__);        \
    } while (0)

#define PAL_FOR_CALL(call, f, ...)                             \
    do {                                                       \
        if ((call).type == NUMBER_BFLOAT16)                    \
            PAL_FOR_HEAD_SIZE(BFloat16, call, f, __VA_ARGS__); \
        else                                                   \
            PAL_FOR_HEAD_SIZE(float, call, f, __VA_ARGS__);    \
    } while (0)

#endif
