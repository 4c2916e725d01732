/* SPDX-License-Identifier: Apache-2.0
 *
 * One call of attention as its kernels see it: everything by value, host arrays replaced by their
 * images on the device.
 */
#ifndef PAL_TENSOR_CUDA_ATTENTION_CALL_CUH
#define PAL_TENSOR_CUDA_ATTENTION_CALL_CUH

#include "src/tensor/cuda/common.cuh"
#include "src/tensor/cuda/random.cuh"

extern "C" {
#include "src/tensor/attention_counts.h"
}

/* `void`: of the call's number type, which the kernels are chosen by (of_type). */
struct SourceCall {
    const void *k, *v, *r; /* r, position_bias: NULL for content alone */
    const float *position_bias;
    void *dk, *dv; /* NULL: not wanted; likewise */
    float *dr, *dposition_bias;
    const int *valid; /* (B) on the device, or NULL */
    int slots, row_stride, table_rows;
    int64_t row_offset;
    int64_t first_weight; /* of its slots, in the numbering of dropout */
    bool causal;
};

struct AttentionCall {
    NumberType type;
    const void *q;
    const float *content_bias;
    void *dq; /* NULL: not wanted; likewise */
    float *dcontent_bias;
    const int *counted; /* (B) on the device, or NULL */
    int rows, length, heads, head_size;
    int64_t width; /* D: the step between rows of q, k, v, r */
    float scale;
    int first_query;
    SourceCall sources[PAL_MAX_SOURCES];
    int num_sources;

    float kept; /* 1 / (1 - dropout rate); 0: no dropout */
    uint32_t dropout_threshold;
    RandomStream dropout_stream;
    int64_t first_row, first_head, weights_per_query;

    /* (row, head) of (B,T,D), and of (B,H,T). */
    __device__ __forceinline__ int64_t window(int row, int head) const
    {
        return static_cast<int64_t>(row) * length * width + static_cast<int64_t>(head) * head_size;
    }
    __device__ __forceinline__ int64_t line(int row, int head) const
    {
        return (static_cast<int64_t>(row) * heads + head) * length;
    }
    /* Queries [first_query, last_query) of the row take part. */
    __device__ __forceinline__ int last_query(int row) const
    {
        if (counted == nullptr) return length;
        return min(max(counted[row], 0), length);
    }
    /* Slots from this one on may be seen by the row. */
    __device__ __forceinline__ int first_slot(const SourceCall &source, int row) const
    {
        if (source.valid == nullptr) return 0;
        return source.slots - min(max(source.valid[row], 0), source.slots);
    }
    /* Slots of a row of k and v: (row, head) of (B,S,D). */
    __device__ __forceinline__ int64_t slots_of(const SourceCall &source, int row, int head) const
    {
        return static_cast<int64_t>(row) * source.slots * width +
               static_cast<int64_t>(head) * head_size;
    }
};

/* Sends the host arrays on their way. */
AttentionCall attention_call(Device *device, const AttentionQueries *queries,
                             const AttentionSource *sources, int num_sources);

/* What one pair of (row, head) draws for the weights of a source. */
class WeightDropout {
  public:
    __device__ __forceinline__ WeightDropout(const AttentionCall &call, int row, int head)
        : call(call), first((call.first_head + head) * call.length)
    {
        if (call.kept > 0)
            stream = random_substream_device(call.dropout_stream,
                                             static_cast<uint64_t>(call.first_row + row), 0);
    }

    /* The factor of the weight of query i on slot j. */
    __device__ __forceinline__ float factor(const SourceCall &source, int i, int j)
    {
        uint64_t element =
            static_cast<uint64_t>((first + i) * call.weights_per_query + source.first_weight + j);
        if (element / 4 != index) {
            index = element / 4;
            words = random_words_device(stream, index);
        }
        uint32_t low = element % 2 == 0 ? words.v[0] : words.v[1];
        uint32_t high = element % 2 == 0 ? words.v[2] : words.v[3];
        return (element % 4 < 2 ? low : high) >= call.dropout_threshold ? call.kept : 0.0f;
    }

  private:
    const AttentionCall &call;
    RandomStream stream = {};
    int64_t first;
    uint64_t index = ~0ull; /* of `words` */
    Words4 words = {};
};

#endif
