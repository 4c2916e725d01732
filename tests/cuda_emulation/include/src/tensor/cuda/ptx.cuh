/* SPDX-License-Identifier: Apache-2.0
 *
 * Stands in for the header of this name, which is inline assembly: the same functions as PTX
 * specifies them. The matrices' layouts are those of the PTX ISA, figures of mma.m16n8k16 and
 * ldmatrix.
 */
#ifndef PAL_TENSOR_CUDA_PTX_CUH
#define PAL_TENSOR_CUDA_PTX_CUH

#include <cuda_bf16.h>

namespace emulation {

/* A copy is done when it is waited for; until then the destination counts as never written. */
void copy_async(void *shared, const void *global, int bytes, bool there, const char *file,
                int line);
void copy_async_commit();
void copy_async_wait(int pending);

/* Kernels' own accesses are seen where they are compiled; these are not. */
void check_shared_read(const void *address, int bytes, const char *file, int line);

template <int N>
void load_matrices(uint32_t (&r)[N], const void *row, bool transposed, const char *file, int line)
{
    if (lane() < 8 * N) check_shared_read(row, 16, file, line);
    const unsigned char *all = exchange(0xffffffffu, &row, sizeof row, "ldmatrix", file, line);
    for (int m = 0; m < N; m++) {
        uint16_t pair[2];
        for (int i = 0; i < 2; i++) {
            int line_of_matrix = lane() / 4, at = 2 * (lane() % 4) + i;
            int from = transposed ? at : line_of_matrix, column = transposed ? line_of_matrix : at;
            memcpy(&pair[i], from_lane<const uint16_t *>(all, 8 * m + from) + column,
                   sizeof pair[i]);
        }
        r[m] = static_cast<uint32_t>(pair[0]) | static_cast<uint32_t>(pair[1]) << 16;
    }
    /* Nobody overwrites a row before all have read it. */
    exchange(0xffffffffu, &row, sizeof row, "ldmatrix", file, line);
}

inline float half_of(uint32_t pair, int which)
{
    return __uint_as_float(which == 0 ? pair << 16 : pair & 0xffff0000u);
}

} // namespace emulation

namespace ptx {

inline void load_matrix_x4(uint32_t (&r)[4], const void *row, CUDA_EMULATION_HERE)
{
    emulation::load_matrices(r, row, false, file, line);
}
inline void load_matrix_x2(uint32_t (&r)[2], const void *row, CUDA_EMULATION_HERE)
{
    emulation::load_matrices(r, row, false, file, line);
}
inline void load_matrix_x4_transposed(uint32_t (&r)[4], const void *row, CUDA_EMULATION_HERE)
{
    emulation::load_matrices(r, row, true, file, line);
}
inline void load_matrix_x2_transposed(uint32_t (&r)[2], const void *row, CUDA_EMULATION_HERE)
{
    emulation::load_matrices(r, row, true, file, line);
}

inline void multiply_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                          CUDA_EMULATION_HERE)
{
    struct Operands {
        uint32_t a[4], b[2];
    } mine = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    const unsigned char *all =
        emulation::exchange(0xffffffffu, &mine, sizeof mine, "mma", file, line);
    int lane = emulation::lane();
    for (int i = 0; i < 4; i++) {
        int row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
        for (int k = 0; k < 16; k++) {
            /* Row r, column k of a: lane 4 (r % 8) + k % 8 / 2, register r / 8 + 2 (k / 8). */
            Operands of_a = emulation::from_lane<Operands>(all, row % 8 * 4 + k % 8 / 2);
            Operands of_b = emulation::from_lane<Operands>(all, column * 4 + k % 8 / 2);
            d[i] += emulation::half_of(of_a.a[row / 8 + 2 * (k / 8)], k % 2) *
                    emulation::half_of(of_b.b[k / 8], k % 2);
        }
    }
}

inline void copy_async_16(void *shared, const void *global, bool there, CUDA_EMULATION_HERE)
{
    emulation::copy_async(shared, global, 16, there, file, line);
}
inline void copy_async_4(void *shared, const void *global, bool there, CUDA_EMULATION_HERE)
{
    emulation::copy_async(shared, global, 4, there, file, line);
}
inline void copy_async_commit() { emulation::copy_async_commit(); }
template <int pending> void copy_async_wait() { emulation::copy_async_wait(pending); }

} // namespace ptx

#endif
