/* SPDX-License-Identifier: Apache-2.0 */
#include <vector>

#include "src/tensor/cuda/context.cuh"
#include "src/tensor/cuda/cuda_ops.cuh"
#include "src/tensor/cuda/map.cuh"

struct EmbeddingMap {
    float *y;
    const float *table;
    const int32_t *tokens;
    int64_t width, table_rows, first_token;
    float factor;

    /* The row of the table for number i; -1: in another slice. */
    __device__ int64_t table_row(int64_t i) const
    {
        int64_t token = tokens[i / width] - first_token;
        return token >= 0 && token < table_rows ? token : -1;
    }

    __device__ void one(int64_t i) const
    {
        int64_t row = table_row(i);
        y[i] = row < 0 ? 0.0f : factor * table[row * width + i % width];
    }

    __device__ void four(int64_t i) const
    {
        int64_t row = table_row(i);
        float4 x = row < 0 ? make_float4(0, 0, 0, 0) : read4(table, row * width + i % width);
        write4(y, i, make_float4(factor * x.x, factor * x.y, factor * x.z, factor * x.w));
    }
};

void cuda_embedding_forward(Device *device, Tensor y, Tensor table, const int32_t *tokens,
                            int64_t first_token, double factor)
{
    y = tensor_as_matrix(y);
    int64_t rows = y.dims[0], width = y.dims[1];
    PAL_ASSERT(table.num_dims == 2 && table.dims[1] == width);
    EmbeddingMap embed = {tensor_reals(y),
                          tensor_reals(table),
                          cuda_argument_array(device, tokens, rows),
                          width,
                          table.dims[0],
                          first_token,
                          static_cast<float>(factor)};
    map(device, embed, rows * width,
        width % 4 == 0 && is_aligned(tensor_reals(y)) && is_aligned(tensor_reals(table)));
}

/* --- backward --------------------------------------------------------------------------------- */

/* A token may stand in many rows, a frequent one in thousands. The host, which has the tokens,
 * sorts the rows by token and cuts those of each token into chunks; a block sums the rows of a
 * chunk, and then the chunks of a token are added to the table, all in the order of the rows. */
constexpr int ROWS_OF_CHUNK = 64;

struct RowsByToken {
    std::vector<int32_t> rows;         /* sorted by token, then by number */
    std::vector<int32_t> chunk_begins; /* into rows, and the end */
    std::vector<int32_t> tokens;       /* the different ones */
    std::vector<int32_t> token_chunks; /* the first chunk of each, and the end */
};

static RowsByToken sort_rows(const int32_t *tokens, int64_t count, int64_t first_token,
                             int64_t table_rows)
{
    std::vector<int32_t> begins(checked_size(table_rows + 1));
    auto in_slice = [&](int64_t i) {
        return tokens[i] >= first_token && tokens[i] < first_token + table_rows;
    };
    auto token_of = [&](int64_t i) { return checked_size(tokens[i] - first_token); };
    for (int64_t i = 0; i < count; i++)
        if (in_slice(i)) begins[token_of(i) + 1]++;
    for (size_t t = 1; t < begins.size(); t++) begins[t] += begins[t - 1];

    RowsByToken sorted;
    sorted.rows.resize(static_cast<size_t>(begins.back()));
    for (size_t t = 0; t + 1 < begins.size(); t++) {
        if (begins[t] == begins[t + 1]) continue;
        sorted.tokens.push_back(static_cast<int32_t>(t));
        sorted.token_chunks.push_back(static_cast<int32_t>(sorted.chunk_begins.size()));
        for (int32_t at = begins[t]; at < begins[t + 1]; at += ROWS_OF_CHUNK)
            sorted.chunk_begins.push_back(at);
    }
    sorted.token_chunks.push_back(static_cast<int32_t>(sorted.chunk_begins.size()));
    sorted.chunk_begins.push_back(begins.back());
    for (int64_t i = 0; i < count; i++) /* begins are used up */
        if (in_slice(i))
            sorted.rows[static_cast<size_t>(begins[token_of(i)]++)] = static_cast<int32_t>(i);
    return sorted;
}

/* sums (chunks, D) */
static __global__ void sum_rows_of_chunk(float *sums, const float *dy, const int32_t *rows,
                                         const int32_t *chunk_begins, int64_t width)
{
    int64_t chunk = blockIdx.x;
    for (int64_t j = threadIdx.x; j < width; j += blockDim.x) {
        float sum = 0;
        for (int32_t at = chunk_begins[chunk]; at < chunk_begins[chunk + 1]; at++)
            sum += dy[rows[at] * width + j];
        sums[chunk * width + j] = sum;
    }
}

static __global__ void add_chunks_of_token(float *dtable, const float *sums, const int32_t *tokens,
                                           const int32_t *token_chunks, int64_t width, float factor)
{
    float *to = dtable + tokens[blockIdx.x] * width;
    for (int64_t j = threadIdx.x; j < width; j += blockDim.x) {
        float sum = 0;
        for (int32_t c = token_chunks[blockIdx.x]; c < token_chunks[blockIdx.x + 1]; c++)
            sum += sums[c * width + j];
        to[j] += factor * sum;
    }
}

/* RowsByToken on the device. */
struct SentRows {
    const int32_t *rows, *chunk_begins, *tokens, *token_chunks;
};

/* As one array: the way to the device is long, not narrow. */
static SentRows send(Device *device, const RowsByToken &sorted)
{
    std::vector<int32_t> all;
    size_t at[4], part = 0;
    for (const std::vector<int32_t> *each :
         {&sorted.rows, &sorted.chunk_begins, &sorted.tokens, &sorted.token_chunks}) {
        at[part++] = all.size();
        all.insert(all.end(), each->begin(), each->end());
    }
    const int32_t *sent = cuda_argument_array(device, all.data(), static_cast<int64_t>(all.size()));
    return {sent + at[0], sent + at[1], sent + at[2], sent + at[3]};
}

void cuda_embedding_backward(Device *device, Tensor dtable, Tensor dy, const int32_t *tokens,
                             int64_t first_token, double factor)
{
    dy = tensor_as_matrix(dy);
    int64_t width = dy.dims[1];
    PAL_ASSERT(dtable.num_dims == 2 && dtable.dims[1] == width);
    RowsByToken sorted = sort_rows(tokens, dy.dims[0], first_token, dtable.dims[0]);
    if (sorted.tokens.empty() || width == 0) return;
    int64_t chunks = static_cast<int64_t>(sorted.chunk_begins.size()) - 1;
    float *sums =
        static_cast<float *>(cuda_workspace(device, checked_size(chunks * width) * sizeof(float)));
    SentRows sent = send(device, sorted);
    launch(device, sum_rows_of_chunk, blocks_for(chunks, 1), BLOCK, 0, sums, tensor_reals(dy),
           sent.rows, sent.chunk_begins, width);
    launch(device, add_chunks_of_token, blocks_for(static_cast<int64_t>(sorted.tokens.size()), 1),
           BLOCK, 0, tensor_reals(dtable), sums, sent.tokens, sent.token_chunks, width,
           static_cast<float>(factor));
}
