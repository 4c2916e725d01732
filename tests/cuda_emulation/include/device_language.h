/* SPDX-License-Identifier: Apache-2.0
 *
 * CUDA's device language for the host compiler: what kernels are written in. A kernel is a plain
 * function that a fibre runs for every thread; shared memory is one array of the emulation.
 */
#ifndef CUDA_EMULATION_DEVICE_LANGUAGE_H
#define CUDA_EMULATION_DEVICE_LANGUAGE_H

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#define __global__
#define __device__
#define __host__
#define __shared__      /* dynamic only: extern __shared__ declares the emulation's array */
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

struct uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

/* Of the thread whose fibre runs. */
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

/* --- vectors ---------------------------------------------------------------------------------- */

#define CUDA_EMULATION_VECTOR_2(name, type, bytes) \
    struct alignas(bytes) name {                   \
        type x, y;                                 \
    };                                             \
    inline name make_##name(type x, type y) { return {x, y}; }
#define CUDA_EMULATION_VECTOR_4(name, type, bytes) \
    struct alignas(bytes) name {                   \
        type x, y, z, w;                           \
    };                                             \
    inline name make_##name(type x, type y, type z, type w) { return {x, y, z, w}; }
CUDA_EMULATION_VECTOR_2(float2, float, 8)
CUDA_EMULATION_VECTOR_2(int2, int, 8)
CUDA_EMULATION_VECTOR_2(uint2, unsigned, 8)
CUDA_EMULATION_VECTOR_2(double2, double, 16)
CUDA_EMULATION_VECTOR_4(float4, float, 16)
CUDA_EMULATION_VECTOR_4(int4, int, 16)
CUDA_EMULATION_VECTOR_4(uint4, unsigned, 16)
#undef CUDA_EMULATION_VECTOR_2
#undef CUDA_EMULATION_VECTOR_4

/* --- arithmetic that the C library does not have ---------------------------------------------- */

using std::max;
using std::min;

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline unsigned __umulhi(unsigned x, unsigned y)
{
    return static_cast<unsigned>(static_cast<uint64_t>(x) * y >> 32);
}
inline unsigned __float_as_uint(float x)
{
    unsigned bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
inline float __uint_as_float(unsigned bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* --- threads of a block ----------------------------------------------------------------------- */

/* Where a thread waits, in the source. Threads that wait for each other wait at one place. */
#define CUDA_EMULATION_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

namespace emulation {

void wait_for_block(const char *file, int line);
void wait_for_warp(unsigned mask, const char *file, int line);

/* Every lane of a full warp brings `bytes` <= 64, and gets the address of what lane 0 brought; those
 * of the others follow, 64 bytes apart. They stay until the lane's next but one exchange. */
const unsigned char *exchange(unsigned mask, const void *mine, int bytes, const char *what,
                              const char *file, int line);

template <typename T> T from_lane(const unsigned char *brought, int lane)
{
    T value;
    memcpy(&value, brought + 64 * lane, sizeof value);
    return value;
}

int lane();
int lanes(); /* of this thread's warp: fewer than 32 in a block's last one */
[[noreturn]] void no_such_lane(int lane, const char *file, int line);

/* What every lane may read of what lane `from` brought. */
template <typename T> T shuffled(unsigned mask, T value, int from, const char *file, int line)
{
    const unsigned char *all = exchange(mask, &value, sizeof value, "shuffle", file, line);
    if (from >= lanes()) no_such_lane(from, file, line);
    return from_lane<T>(all, from);
}

} // namespace emulation

inline void __syncthreads(CUDA_EMULATION_HERE) { emulation::wait_for_block(file, line); }
inline void __syncwarp(unsigned mask = 0xffffffffu, CUDA_EMULATION_HERE)
{
    emulation::wait_for_warp(mask, file, line);
}

/* A lane whose partner lies outside of its `width` lanes, a power of two, gets its own value. */
template <typename T>
T __shfl_sync(unsigned mask, T value, int lane, int width = warpSize, CUDA_EMULATION_HERE)
{
    int first = emulation::lane() / width * width;
    return emulation::shuffled(mask, value, first + (lane & (width - 1)), file, line);
}

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = warpSize, CUDA_EMULATION_HERE)
{
    int own = emulation::lane(), other = own ^ bits;
    bool outside = other / width > own / width;
    return emulation::shuffled(mask, value, outside ? own : other, file, line);
}

template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned step, int width = warpSize, CUDA_EMULATION_HERE)
{
    int own = emulation::lane(), other = own + static_cast<int>(step);
    bool outside = other / width > own / width;
    return emulation::shuffled(mask, value, outside ? own : other, file, line);
}

template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned step, int width = warpSize, CUDA_EMULATION_HERE)
{
    int own = emulation::lane(), other = own - static_cast<int>(step);
    bool outside = other < own / width * width;
    return emulation::shuffled(mask, value, outside ? own : other, file, line);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, CUDA_EMULATION_HERE)
{
    int mine = predicate != 0;
    const unsigned char *all = emulation::exchange(mask, &mine, sizeof mine, "ballot", file, line);
    unsigned votes = 0;
    for (int lane = 0; lane < emulation::lanes(); lane++)
        votes |= static_cast<unsigned>(emulation::from_lane<int>(all, lane)) << lane;
    return votes;
}
inline int __any_sync(unsigned mask, int predicate, CUDA_EMULATION_HERE)
{
    return __ballot_sync(mask, predicate, file, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, CUDA_EMULATION_HERE)
{
    return __ballot_sync(mask, predicate, file, line) == mask;
}

#endif
