/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of tiles in shared memory, by one warp, with 16 rows of the result in its registers: the
 * kernel of all attention. float32 by fused multiply-adds, bfloat16 on tensor cores with float32
 * sums; both spread the result over the lanes in the same way (Fragment), so that what is done with
 * it is written once.
 *
 *   product_nt   c (16,N) += a (16,K) b (N,K)^T
 *   product_nn   c (16,N) += a (16,K) b (K,N)
 *   product_tn   c (16,N) += a (K,16)^T b (K,N)
 *
 * Rows of a and b are 16-byte aligned, K is a multiple of 16. The whole warp must call.
 */
#ifndef PAL_TENSOR_CUDA_TILE_PRODUCT_CUH
#define PAL_TENSOR_CUDA_TILE_PRODUCT_CUH

#include "src/tensor/cuda/numbers.cuh"
#include "src/tensor/cuda/ptx.cuh"

constexpr int FRAGMENT_ROWS = 16;

/* 16 rows of N numbers over the lanes of a warp, as tensor cores want it: lane l has, of every 8
 * columns, 2 (l % 4) and the next, in row l / 4 (numbers 0, 1) and row l / 4 + 8 (2, 3). */
template <int N> struct Fragment {
    float x[N / 8][4];

    __device__ __forceinline__ void clear()
    {
        for (int n = 0; n < N / 8; n++)
            for (int k = 0; k < 4; k++) x[n][k] = 0;
    }
};

static __device__ __forceinline__ int lane_number() { return static_cast<int>(threadIdx.x) % WARP; }
static __device__ __forceinline__ int warp_number() { return static_cast<int>(threadIdx.x) / WARP; }

/* Where number k of part n of this lane stands. */
static __device__ __forceinline__ int fragment_row(int k) { return lane_number() / 4 + k / 2 * 8; }
static __device__ __forceinline__ int fragment_column(int n, int k)
{
    return 8 * n + lane_number() % 4 * 2 + k % 2;
}

/* f(number, row, column) for every number that this lane has; rows are the warp's 16. */
template <int N, typename F> static __device__ __forceinline__ void each(Fragment<N> &x, F f)
{
#pragma unroll
    for (int n = 0; n < N / 8; n++)
#pragma unroll
        for (int k = 0; k < 4; k++) f(x.x[n][k], fragment_row(k), fragment_column(n, k));
}

/* Behind a row: with it the same column of eight rows lies in different banks. */
template <typename Element> constexpr int ROW_PADDING = 16 / static_cast<int>(sizeof(Element));

/* --- float32 ---------------------------------------------------------------------------------- */

static __device__ __forceinline__ float4 load_four(const float *x)
{
    return *reinterpret_cast<const float4 *>(x);
}

static __device__ __forceinline__ float2 load_two(const float *x)
{
    return *reinterpret_cast<const float2 *>(x);
}

static __device__ __forceinline__ float add_dot(float sum, float4 a, float4 b)
{
    return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
}

template <int N, int K>
static __device__ __forceinline__ void product_nt(Fragment<N> &c, const float *a, int a_row,
                                                  const float *b, int b_row)
{
    const float *a0 = a + fragment_row(0) * a_row, *a1 = a + fragment_row(2) * a_row;
    b += fragment_column(0, 0) * b_row;
#pragma unroll 1
    for (int k = 0; k < K; k += 4) {
        float4 upper = load_four(a0 + k), lower = load_four(a1 + k);
#pragma unroll
        for (int n = 0; n < N / 8; n++) {
            float4 left = load_four(b + 8 * n * b_row + k);
            float4 right = load_four(b + (8 * n + 1) * b_row + k);
            c.x[n][0] = add_dot(c.x[n][0], upper, left);
            c.x[n][1] = add_dot(c.x[n][1], upper, right);
            c.x[n][2] = add_dot(c.x[n][2], lower, left);
            c.x[n][3] = add_dot(c.x[n][3], lower, right);
        }
    }
}

/* c += the outer product of (upper, lower), two numbers of a column of a, with a row of b. */
template <int N>
static __device__ __forceinline__ void add_outer(Fragment<N> &c, float upper, float lower,
                                                 const float *b)
{
#pragma unroll
    for (int n = 0; n < N / 8; n++) {
        float2 pair = load_two(b + 8 * n);
        c.x[n][0] = fmaf(upper, pair.x, c.x[n][0]);
        c.x[n][1] = fmaf(upper, pair.y, c.x[n][1]);
        c.x[n][2] = fmaf(lower, pair.x, c.x[n][2]);
        c.x[n][3] = fmaf(lower, pair.y, c.x[n][3]);
    }
}

template <int N, int K>
static __device__ __forceinline__ void product_nn(Fragment<N> &c, const float *a, int a_row,
                                                  const float *b, int b_row)
{
    const float *a0 = a + fragment_row(0) * a_row, *a1 = a + fragment_row(2) * a_row;
    b += fragment_column(0, 0);
#pragma unroll 1
    for (int k = 0; k < K; k += 4) {
        float4 upper = load_four(a0 + k), lower = load_four(a1 + k);
        add_outer<N>(c, upper.x, lower.x, b + k * b_row);
        add_outer<N>(c, upper.y, lower.y, b + (k + 1) * b_row);
        add_outer<N>(c, upper.z, lower.z, b + (k + 2) * b_row);
        add_outer<N>(c, upper.w, lower.w, b + (k + 3) * b_row);
    }
}

template <int N, int K>
static __device__ __forceinline__ void product_tn(Fragment<N> &c, const float *a, int a_row,
                                                  const float *b, int b_row)
{
    a += fragment_row(0);
    b += fragment_column(0, 0);
#pragma unroll 4
    for (int k = 0; k < K; k++) add_outer<N>(c, a[k * a_row], a[k * a_row + 8], b + k * b_row);
}

/* Numbers 2 half and the next of a part go side by side. */
static __device__ __forceinline__ void store_two(float *to, float x, float y)
{
    *reinterpret_cast<float2 *>(to) = make_float2(x, y);
}

/* --- bfloat16 --------------------------------------------------------------------------------- */

static __device__ __forceinline__ void store_two(BFloat16 *to, float x, float y)
{
    *reinterpret_cast<__nv_bfloat162 *>(to) = __floats2bfloat162_rn(x, y);
}

/* The (16,16) operand a at a[0], of rows that are those of the result. */
static __device__ __forceinline__ void load_a(uint32_t (&r)[4], const BFloat16 *a, int a_row)
{
    int lane = lane_number();
    ptx::load_matrix_x4(r, a + lane % 16 * a_row + lane / 16 * 8);
}

/* The same out of a matrix whose columns are the rows of the result. */
static __device__ __forceinline__ void load_a_transposed(uint32_t (&r)[4], const BFloat16 *a,
                                                         int a_row)
{
    int lane = lane_number();
    ptx::load_matrix_x4_transposed(r, a + (lane / 16 * 8 + lane % 8) * a_row + lane / 8 % 2 * 8);
}

/* c += a b for 16 columns of a, b (K,N). */
template <int N>
static __device__ __forceinline__ void multiply_rows(Fragment<N> &c, const uint32_t (&a)[4],
                                                     const BFloat16 *b, int b_row)
{
    int row = lane_number() % 16;
#pragma unroll
    for (int n = 0; n < N / 8; n++) {
        uint32_t part[2];
        ptx::load_matrix_x2_transposed(part, b + row * b_row + 8 * n);
        ptx::multiply_bf16(c.x[n], a, part);
    }
}

template <int N, int K>
static __device__ __forceinline__ void product_nt(Fragment<N> &c, const BFloat16 *a, int a_row,
                                                  const BFloat16 *b, int b_row)
{
    int lane = lane_number();
#pragma unroll
    for (int k = 0; k < K; k += 16) {
        uint32_t rows[4];
        load_a(rows, a + k, a_row);
#pragma unroll
        for (int n = 0; n < N / 8; n++) {
            uint32_t part[2];
            ptx::load_matrix_x2(part, b + (8 * n + lane % 8) * b_row + k + lane / 8 % 2 * 8);
            ptx::multiply_bf16(c.x[n], rows, part);
        }
    }
}

template <int N, int K>
static __device__ __forceinline__ void product_nn(Fragment<N> &c, const BFloat16 *a, int a_row,
                                                  const BFloat16 *b, int b_row)
{
#pragma unroll
    for (int k = 0; k < K; k += 16) {
        uint32_t rows[4];
        load_a(rows, a + k, a_row);
        multiply_rows<N>(c, rows, b + k * b_row, b_row);
    }
}

template <int N, int K>
static __device__ __forceinline__ void product_tn(Fragment<N> &c, const BFloat16 *a, int a_row,
                                                  const BFloat16 *b, int b_row)
{
#pragma unroll
    for (int k = 0; k < K; k += 16) {
        uint32_t columns[4];
        load_a_transposed(columns, a + k * a_row, a_row);
        multiply_rows<N>(c, columns, b + k * b_row, b_row);
    }
}

/* --- both ------------------------------------------------------------------------------------- */

/* to (16,N) = x */
template <int N, typename Element>
static __device__ __forceinline__ void store_fragment(Element *to, int to_row, const Fragment<N> &x)
{
    to += fragment_row(0) * to_row + fragment_column(0, 0);
#pragma unroll
    for (int n = 0; n < N / 8; n++) {
        store_two(to + 8 * n, x.x[n][0], x.x[n][1]);
        store_two(to + 8 * to_row + 8 * n, x.x[n][2], x.x[n][3]);
    }
}

/* The sum, or the largest, of what the four lanes that share a row bring. */
template <typename Join> static __device__ __forceinline__ float row_join(float x)
{
    x = Join::join(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return Join::join(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

/* to[column] = the sum of the 16 rows of x, in shared memory. */
template <int N>
static __device__ __forceinline__ void store_column_sums(float *to, const Fragment<N> &x)
{
#pragma unroll
    for (int n = 0; n < N / 8; n++) {
#pragma unroll
        for (int k = 0; k < 2; k++) {
            float sum = x.x[n][k] + x.x[n][k + 2];
            for (int step = 4; step < WARP; step *= 2)
                sum += __shfl_xor_sync(0xffffffffu, sum, step);
            if (lane_number() < 4) to[fragment_column(n, k)] = sum;
        }
    }
}

#endif
