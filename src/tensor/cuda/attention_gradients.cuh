/* SPDX-License-Identifier: Apache-2.0
 *
 * From the logits of a tile and do v^T to the weights and the gradients of the logits, which all
 * kernels of the backward pass begin with.
 */
#ifndef PAL_TENSOR_CUDA_ATTENTION_GRADIENTS_CUH
#define PAL_TENSOR_CUDA_ATTENTION_GRADIENTS_CUH

#include "src/tensor/cuda/attention_tiles.cuh"

/* What the backward pass gets and keeps of the forward pass. */
struct SavedForward {
    const void *dout;         /* (B,T,D) of the call's number type */
    const float *lse, *delta; /* (B,H,T); delta: the sum over the head of do * o */
};

/* The queries of a warp: row i of its fragments is query first + step * i. */
struct WarpQueries {
    int first, step;

    __device__ __forceinline__ int query(int k) const { return first + step * fragment_row(k); }
};

/* s: logits, becomes the weights p times what dropout makes of them. d: do v^T, becomes ds / scale,
 * p (keep dp - delta). `slot(row, column)` says which slot stands there. */
template <int N, typename Slot>
static __device__ __forceinline__ void weights_and_gradients(
    Fragment<N> &s, Fragment<N> &d, const AttentionCall &call, const SourceCall &source,
    WarpQueries queries, const Visibility &visible, const SavedForward &saved, int64_t line,
    WeightDropout &dropout, Slot slot)
{
    float lse[2], delta[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int i = queries.query(2 * half);
        bool there = i < call.length;
        lse[half] = there ? saved.lse[line + i] * LOG2_E : 0.0f;
        delta[half] = there ? saved.delta[line + i] : 0.0f;
    }
#pragma unroll
    for (int n = 0; n < N / 8; n++)
#pragma unroll
        for (int k = 0; k < 4; k++) {
            int i = queries.query(k), j = slot(fragment_row(k), fragment_column(n, k));
            bool seen = visible.sees(i, j);
            float p = seen ? exp2f(s.x[n][k] * call.scale * LOG2_E - lse[k / 2]) : 0.0f;
            float keep = call.kept > 0 && seen ? dropout.factor(source, i, j) : 1.0f;
            s.x[n][k] = p * keep;
            d.x[n][k] = seen ? p * (keep * d.x[n][k] - delta[k / 2]) : 0.0f;
        }
}

/* do v^T of this warp's queries and a tile's slots, from what is in shared memory. */
template <typename Element, int SIZE, typename S>
static __device__ __forceinline__ void value_gradients(Fragment<S::TILE> &gradients,
                                                       const Element *values, const Element *dout)
{
    gradients.clear();
    product_nt<S::TILE, SIZE>(gradients, dout + warp_number() * FRAGMENT_ROWS * S::ROW, S::ROW,
                              values, S::ROW);
}

/* The weights, and the gradients of the logits in place of do v^T. */
template <typename Element, int SIZE, typename S>
static __device__ __forceinline__ void tile_gradients(
    Fragment<S::TILE> &weights, Fragment<S::TILE> &gradients, const TileBuffers<Element> &buffers,
    const AttentionCall &call, const SourceCall &source, const SlotTile &tile, int first_query,
    int row, const SavedForward &saved, int64_t line, WeightDropout &dropout)
{
    int warp_row = warp_number() * FRAGMENT_ROWS;
    logits<Element, SIZE, S>(weights, buffers, source, tile.used);
    Visibility visible = visibility(call, source, row);
    visible.end = min(tile.first + tile.used, tile.end);
    WarpQueries queries = {first_query + warp_row, 1};
    weights_and_gradients(weights, gradients, call, source, queries, visible, saved, line, dropout,
                          [&](int, int column) { return tile.first + column; });
}

/* to (count rows of head_size, `step` apart) += factor x, the rows that `number(fragment row)` says
 * are there (not negative). */
template <int SIZE, typename T, typename Number>
static __device__ __forceinline__ void add_rows(T *to, int64_t step, int head_size,
                                                const Fragment<SIZE> &x, float factor,
                                                Number number)
{
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int64_t row = number(fragment_row(2 * half));
        if (row < 0) continue;
        T *line = to + row * step;
#pragma unroll
        for (int n = 0; n < SIZE / 8; n++)
#pragma unroll
            for (int k = 0; k < 2; k++)
                if (fragment_column(n, k) < head_size) {
                    T *number_there = line + fragment_column(n, k);
                    *number_there =
                        to_number<T>(to_float(*number_there) + factor * x.x[n][2 * half + k]);
                }
    }
}

/* --- the kernels, each in a file of its own --------------------------------------------------- */

/* dq, and sums for the biases: (1 + num_sources, rows, tiles of queries, D), first that of the
 * content bias, then that of each source's position bias; times scale. */
void attention_backward_queries(Device *device, const AttentionCall &call, SavedForward saved,
                                float *bias_sums);
/* dk, dv of one source */
void attention_backward_keys(Device *device, const AttentionCall &call, int source,
                             SavedForward saved);
/* dr of one source */
void attention_backward_positions(Device *device, const AttentionCall &call, int source,
                                  SavedForward saved);

#endif
