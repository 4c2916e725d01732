/* SPDX-License-Identifier: Apache-2.0 */
#include <vector>

#include "src/tensor/cuda/context.cuh"
#include "src/tensor/cuda/cuda_ops.cuh"
#include "src/tensor/cuda/map.cuh"
#include "src/tensor/cuda/random.cuh"

extern "C" {
#include "src/base/random.h"
}

template <typename T> struct DropoutMap {
    T *x;
    const RandomStream *streams; /* of each row */
    int64_t positions, width;
    DropoutPlace place;
    uint32_t threshold;
    float kept;

    /* Which of its row's elements number i is. */
    __device__ uint64_t element(int64_t i) const
    {
        int64_t position = i / width % positions;
        return static_cast<uint64_t>((place.first_position + position) * place.channels +
                                     place.first_channel + i % width);
    }

    __device__ float dropped(float value, uint32_t word) const
    {
        return word >= threshold ? value * kept : 0.0f;
    }

    __device__ void one(int64_t i) const
    {
        uint64_t at = element(i);
        Words4 words = random_words_device(streams[i / (positions * width)], at / 4);
        uint32_t low = at % 2 == 0 ? words.v[0] : words.v[1];
        uint32_t high = at % 2 == 0 ? words.v[2] : words.v[3];
        x[i] = to_number<T>(dropped(to_float(x[i]), at % 4 < 2 ? low : high));
    }

    /* Four that draw the words of one index. */
    __device__ void four(int64_t i) const
    {
        Words4 words = random_words_device(streams[i / (positions * width)], element(i) / 4);
        float4 value = read4(x, i);
        write4(x, i,
               make_float4(dropped(value.x, words.v[0]), dropped(value.y, words.v[1]),
                           dropped(value.z, words.v[2]), dropped(value.w, words.v[3])));
    }
};

void cuda_dropout(Device *device, Tensor x, RandomStream stream, DropoutPlace place, double rate)
{
    int64_t count = tensor_count(x);
    if (count == 0 || rate == 0.0) return;
    PAL_ASSERT(x.num_dims == 3);
    std::vector<RandomStream> streams;
    for (int64_t row = 0; row < x.dims[0]; row++)
        streams.push_back(
            random_substream(stream, static_cast<uint64_t>(place.first_row + row), 0));
    const RandomStream *sent = cuda_argument_array(device, streams.data(), x.dims[0]);
    bool by_four = x.dims[2] % 4 == 0 && place.channels % 4 == 0 && place.first_channel % 4 == 0;
    for_type(x.type, [&]<typename T>() {
        DropoutMap<T> drop = {numbers_of<T>(x),
                              sent,
                              x.dims[1],
                              x.dims[2],
                              place,
                              dropout_threshold(rate),
                              static_cast<float>(1.0 / (1.0 - rate))};
        map(device, drop, count, by_four && is_aligned(drop.x));
    });
}
