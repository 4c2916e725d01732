/* SPDX-License-Identifier: Apache-2.0
 *
 * The instructions that have no name in CUDA C++ (PTX ISA 8, "warp-level matrix instructions",
 * "asynchronous copies"). All inline assembly of the project stands here.
 */
#ifndef PAL_TENSOR_CUDA_PTX_CUH
#define PAL_TENSOR_CUDA_PTX_CUH

#include <cstdint>

namespace ptx {

static __device__ __forceinline__ uint32_t shared_address(const void *address)
{
    return static_cast<uint32_t>(__cvta_generic_to_shared(address));
}

/* 8 x 8 matrices of 16-bit numbers from shared memory, 16 bytes a row. Lane l gives the address of
 * row l % 8 of matrix l / 8 and gets, of each matrix, numbers 2 (l % 4) and the next of row l / 4;
 * transposed: of column l / 4. The whole warp must call. */
static __device__ __forceinline__ void load_matrix_x4(uint32_t (&r)[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

static __device__ __forceinline__ void load_matrix_x4_transposed(uint32_t (&r)[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

/* Of two matrices; the addresses of lanes 0 to 15 count. */
static __device__ __forceinline__ void load_matrix_x2(uint32_t (&r)[2], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(row))
                 : "memory");
}

static __device__ __forceinline__ void load_matrix_x2_transposed(uint32_t (&r)[2], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(row))
                 : "memory");
}

/* d (16,8) += a (16,16) b (16,8), a and b bfloat16, on tensor cores. Lane l has of d: row l / 4,
 * columns 2 (l % 4) and the next; then the same of row l / 4 + 8. The whole warp must call. */
static __device__ __forceinline__ void multiply_bf16(float (&d)[4], const uint32_t (&a)[4],
                                                     const uint32_t (&b)[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* Begins to copy 16 (4) bytes, both addresses multiples of that; zeros where `there` is false, and
 * nothing is read then. The bytes are there for this thread after a wait for their group, for
 * others after a barrier behind it. */
static __device__ __forceinline__ void copy_async_16(void *shared, const void *global, bool there)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
                 "l"(__cvta_generic_to_global(global)), "r"(there ? 16 : 0)
                 : "memory");
}

static __device__ __forceinline__ void copy_async_4(void *shared, const void *global, bool there)
{
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(shared)),
                 "l"(__cvta_generic_to_global(global)), "r"(there ? 4 : 0)
                 : "memory");
}

/* Closes the group of copies begun since the last one. */
static __device__ __forceinline__ void copy_async_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Waits until at most `pending` of the latest groups are under way. */
template <int pending> static __device__ __forceinline__ void copy_async_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

} // namespace ptx

#endif
