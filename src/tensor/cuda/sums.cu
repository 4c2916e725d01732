/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums to one double: every block sums its share, then one block sums the blocks.
 */
#include "src/tensor/cuda/block_sums.cuh"
#include "src/tensor/cuda/column_sums.cuh"
#include "src/tensor/cuda/context.cuh"
#include "src/tensor/cuda/cuda_ops.cuh"

constexpr int MOST_BLOCKS = 1024, WARPS = BLOCK / WARP;

template <typename T> struct Itself {
    const T *x;
    __device__ double operator()(int64_t i) const { return static_cast<double>(to_float(x[i])); }
};

struct Square {
    const float *x;
    __device__ double operator()(int64_t i) const
    {
        return static_cast<double>(x[i]) * static_cast<double>(x[i]);
    }
};

struct OfBlock {
    const double *partial;
    __device__ double operator()(int64_t i) const { return partial[i]; }
};

/* (y - target)^2 where the row counts; dy, if wanted, gets its derivative. dy may be y or target:
 * each number is read before it is written. */
template <typename T> struct SquaredError {
    T *dy;
    const T *y, *target;
    const bool *mask; /* by row */
    int64_t width;

    __device__ double operator()(int64_t i) const
    {
        bool counts = mask[i / width];
        float value = to_float(y[i]), wanted = to_float(target[i]);
        float error = counts ? value - wanted : 0.0f;
        double exact = counts ? static_cast<double>(value) - static_cast<double>(wanted) : 0.0;
        if (dy != nullptr) dy[i] = to_number<T>(2.0f * error);
        return exact * exact;
    }
};

/* `term(i)` is element i of the sum. */
template <typename Term>
static __global__ void sum_of_blocks(double *partial, int64_t count, Term term)
{
    double sum = 0;
    for (int64_t i = first_element(); i < count; i += element_stride()) sum += term(i);
    sum = block_join<Adds>(sum, shared_memory<double>());
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

template <typename Term> static double sum_of(Device *device, int64_t count, Term term)
{
    if (count == 0) return 0.0;
    unsigned blocks = blocks_for_elements(count);
    if (blocks > MOST_BLOCKS) blocks = MOST_BLOCKS;
    double *partial =
        static_cast<double *>(cuda_workspace(device, (MOST_BLOCKS + 1) * sizeof(double)));
    double *total = partial + MOST_BLOCKS;
    launch(device, sum_of_blocks<Term>, blocks, BLOCK, WARPS * sizeof(double), partial, count,
           term);
    launch(device, sum_of_blocks<OfBlock>, 1, BLOCK, WARPS * sizeof(double), total,
           static_cast<int64_t>(blocks), OfBlock{partial});
    return *cuda_read_doubles(device, total, 1);
}

double cuda_sum(Device *device, Tensor x)
{
    double sum = 0;
    for_type(x.type, [&]<typename T>() {
        sum = sum_of(device, tensor_count(x), Itself<T>{numbers_of<T>(x)});
    });
    return sum;
}

double cuda_sum_of_squares(Device *device, Tensor x)
{
    return sum_of(device, tensor_count(x), Square{tensor_reals(x)});
}

double cuda_squared_error(Device *device, Tensor dy, Tensor y, Tensor target, const bool *mask)
{
    y = tensor_as_matrix(y);
    int64_t rows = y.dims[0], width = y.dims[1];
    PAL_ASSERT(tensor_count(target) == rows * width);
    PAL_ASSERT(!tensor_exists(dy) || tensor_count(dy) == rows * width);
    const bool *rows_that_count = cuda_argument_array(device, mask, rows);
    double sum = 0;
    for_type(y.type, [&]<typename T>() {
        SquaredError<T> error = {numbers_of<T>(dy), numbers_of<T>(y), numbers_of<T>(target),
                                 rows_that_count, width};
        sum = sum_of(device, rows * width, error);
    });
    return sum;
}

void cuda_add_column_sums(Device *device, Tensor bias, Tensor x)
{
    x = tensor_as_matrix(x);
    int64_t rows = x.dims[0], columns = x.dims[1];
    PAL_ASSERT(tensor_count(bias) == columns);
    size_t bytes = column_sums_numbers(rows, columns, 1) * sizeof(float);
    float *partial = static_cast<float *>(cuda_workspace(device, bytes));
    for_type(x.type, [&]<typename T>() {
        add_sums_of_columns<1>(device, {{tensor_reals(bias)}}, rows, columns,
                               MatrixColumn<T>{numbers_of<T>(x), columns}, partial);
    });
}
