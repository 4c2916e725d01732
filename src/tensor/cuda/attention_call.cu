/* SPDX-License-Identifier: Apache-2.0 */
#include "src/tensor/cuda/attention_call.cuh"

#include "src/tensor/cuda/context.cuh"

static void *of_type(NumberType type, Tensor x)
{
    PAL_ASSERT(!tensor_exists(x) || x.type == type);
    return x.data;
}

static SourceCall source_call(Device *device, const AttentionSource *source, NumberType type,
                              int rows, int64_t first_weight)
{
    SourceCall call = {};
    call.k = of_type(type, source->k);
    call.v = of_type(type, source->v);
    call.r = of_type(type, source->r);
    call.position_bias = tensor_reals(source->position_bias);
    call.dk = of_type(type, source->dk);
    call.dv = of_type(type, source->dv);
    call.dr = tensor_reals(source->dr);
    call.dposition_bias = tensor_reals(source->dposition_bias);
    call.slots = attention_slots(source);
    call.valid = cuda_argument_array(device, source->valid, rows);
    call.row_offset = source->row_offset;
    call.row_stride = tensor_exists(source->r) ? source->row_stride : 1;
    call.table_rows = tensor_exists(source->r) ? checked_int(source->r.dims[0]) : 0;
    call.first_weight = first_weight;
    call.causal = source->causal;
    PAL_ASSERT(call.row_stride >= 1);
    return call;
}

AttentionCall attention_call(Device *device, const AttentionQueries *queries,
                             const AttentionSource *sources, int num_sources)
{
    PAL_ASSERT(num_sources >= 0 && num_sources <= PAL_MAX_SOURCES && queries->heads > 0);
    AttentionCall call = {};
    call.type = queries->q.type;
    call.q = queries->q.data;
    call.content_bias = tensor_reals(queries->content_bias);
    call.dq = of_type(call.type, queries->dq);
    call.dcontent_bias = tensor_reals(queries->dcontent_bias);
    call.rows = checked_int(queries->q.dims[0]);
    call.length = checked_int(queries->q.dims[1]);
    call.heads = queries->heads;
    call.width = queries->q.dims[2];
    PAL_ASSERT(call.width % call.heads == 0);
    call.head_size = checked_int(call.width / call.heads);
    call.counted = cuda_argument_array(device, queries->counted, call.rows);
    call.scale = static_cast<float>(queries->scale);
    call.first_query = attention_first_query(queries);

    int64_t slots = 0;
    for (int i = 0; i < num_sources; i++) {
        SourceCall source = source_call(device, &sources[i], call.type, call.rows, slots);
        slots += source.slots;
        if (source.slots > 0) call.sources[call.num_sources++] = source;
    }
    call.weights_per_query = (slots + 3) / 4 * 4;
    if (queries->dropout_rate > 0) {
        call.kept = static_cast<float>(1.0 / (1.0 - queries->dropout_rate));
        call.dropout_threshold = dropout_threshold(queries->dropout_rate);
        call.dropout_stream = queries->dropout_stream;
        call.first_row = queries->first_row;
        call.first_head = queries->first_head;
    }
    return call;
}
