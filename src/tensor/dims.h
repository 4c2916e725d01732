/* SPDX-License-Identifier: Apache-2.0
 *
 * The letters for dimensions, everywhere in the code, and the type of numbers.
 *
 *     R  rows of the global batch            D  width of the model
 *     B  rows of one micro-batch             H  attention heads
 *     T  window length in tokens             E  head size, D / H
 *     M  memory slots of a layer             F  feed-forward width
 *     N  compressed memory slots of a layer  L  layers
 *     c  compression rate                    V  vocabulary
 *     K  keys per query, N + M + T           P  ranks of the tensor group
 *
 * All matrices are row-major; x W means (rows, in) times (in, out).
 */
#ifndef PAL_TENSOR_DIMS_H
#define PAL_TENSOR_DIMS_H

/* float, or double in the build that gradients are checked in. Sums of losses and norms are always
 * double. */
#ifdef PAL_DOUBLE
typedef double Real;
#else
typedef float Real;
#endif

/* How numbers are stored. bfloat16: the upper half of a float32, rounded to nearest, ties to even;
 * not in the double build. */
typedef enum NumberType { NUMBER_FLOAT32 /* Real */, NUMBER_BFLOAT16 } NumberType;

#endif
