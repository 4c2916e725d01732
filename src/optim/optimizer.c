/* SPDX-License-Identifier: Apache-2.0 */
#include "src/optim/optimizer.h"

#include <math.h>

static const double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;

/* The main group has one scale, so it is left to Adam; the compression group has one a layer. */
static double group_scale(const OptimizerOptions *options, ParameterGroup group)
{
    return group == GROUP_MAIN ? options->main_scale : 1.0;
}

static void scale_compression(Device *device, const Parameters *p, const OptimizerOptions *options)
{
    for (int i = 0; i < p->count; i++) {
        const Parameter *row = &p->table[i];
        if (row->group == GROUP_COMPRESSION)
            device->op->scale(device, parameter_view(row, p->gradient),
                              options->layer_scale[row->layer]);
    }
}

static double group_norm(Device *device, const Parameters *p, const OptimizerOptions *options,
                         ParameterGroup group)
{
    Tensor gradient = parameters_group(p, p->gradient, group);
    if (tensor_count(gradient) == 0) return 0.0;
    return group_scale(options, group) * sqrt(device->op->sum_of_squares(device, gradient));
}

bool optimizer_step(Device *device, const Parameters *p, const OptimizerOptions *options,
                    double norms[GROUP_COUNT])
{
    scale_compression(device, p, options);

    double scales[GROUP_COUNT];
    bool finite = true;
    for (int g = 0; g < GROUP_COUNT; g++) {
        norms[g] = group_norm(device, p, options, (ParameterGroup)g);
        finite = finite && isfinite(norms[g]);
        bool clips = options->clip > 0.0 && norms[g] > options->clip;
        scales[g] =
            group_scale(options, (ParameterGroup)g) * (clips ? options->clip / norms[g] : 1.0);
    }

    if (!finite) return false;

    for (int i = 0; i < p->count; i++) {
        const Parameter *row = &p->table[i];
        AdamOptions adam = {
            .learning_rate = options->learning_rate,
            .beta1 = beta1,
            .beta2 = beta2,
            .epsilon = epsilon,
            .gradient_scale = scales[row->group],
            .weight_decay = row->decays ? options->weight_decay : 0.0,
            .update = options->update,
        };
        device->op->adam(
            device, parameter_view(row, p->value), parameter_view(row, p->first_moment),
            parameter_view(row, p->second_moment), parameter_view(row, p->gradient), adam);
    }
    return true;
}
