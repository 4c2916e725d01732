/* SPDX-License-Identifier: Apache-2.0 */
#include "src/layers/linear.h"

/* As it is added to y: of y's own number type. */
static Tensor bias_of(Weight bias, Tensor y)
{
    return y.type == NUMBER_FLOAT32 ? bias.value : bias.operand;
}

void linear_forward(Device *device, Tensor y, Tensor x, Weight weight, Weight bias)
{
    device->op->matmul(device, tensor_as_matrix(y), tensor_as_matrix(x), weight.operand,
                       (MatmulOptions){.bias = bias_of(bias, y)});
}

void linear_relu_forward(Device *device, Tensor y, Tensor x, Weight weight, Weight bias)
{
    device->op->matmul(device, tensor_as_matrix(y), tensor_as_matrix(x), weight.operand,
                       (MatmulOptions){.bias = bias_of(bias, y), .relu = true});
}

void linear_backward(Device *device, Tensor dx, Tensor dy, Tensor x, Weight weight, Weight bias)
{
    /* in the forward pass: y = x W + bias */
    if (tensor_exists(dx)) linear_backward_input(device, dx, dy, weight);
    device->op->matmul(device, weight.gradient, tensor_as_matrix(x), tensor_as_matrix(dy),
                       (MatmulOptions){.transpose_a = true, .accumulate = true});
    if (tensor_exists(bias.gradient))
        device->op->add_column_sums(device, bias.gradient, tensor_as_matrix(dy));
}

void linear_backward_input(Device *device, Tensor dx, Tensor dy, Weight weight)
{
    device->op->matmul(device, tensor_as_matrix(dx), tensor_as_matrix(dy), weight.operand,
                       (MatmulOptions){.transpose_b = true, .accumulate = true});
}
