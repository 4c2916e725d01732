/* SPDX-License-Identifier: Apache-2.0 */
#include "src/optim/optimizer.h"

#include <math.h>

#include "src/base/checked.h"

static const double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;

/* Large enough for the network, small enough that the first sums begin while backward runs. */
enum { BUCKET_NUMBERS = 1 << 22, ALIGNMENT = 16 };

/* --- which pieces of which parameters are this rank's ----------------------------------------- */

/* The numbers of a parameter that lie in a range of the flat buffer. */
static Range common(const Parameter *row, Range range)
{
    int64_t first = row->offset, end = first + tensor_count(parameter_view(row, tensor_none));
    if (first < range.first) first = range.first;
    if (end > range.first + range.count) end = range.first + range.count;
    return (Range){first, end > first ? end - first : 0};
}

/* Writes the segments to `list`, or only counts them where it is NULL. */
static int find_segments(const Optimizer *o, Segment *list)
{
    const Parameters *p = o->parameters;
    int count = 0;
    for (int i = 0; i < o->buckets.count; i++) {
        const Bucket *bucket = &o->buckets.list[i];
        for (int r = 0; r < p->count; r++) {
            Range range = common(&p->table[r], bucket->piece);
            if (range.count == 0) continue;
            if (list != NULL)
                list[count] =
                    (Segment){&p->table[r], range.first,
                              bucket->owned + range.first - bucket->piece.first, range.count};
            count++;
        }
    }
    return count;
}

void optimizer_create(Optimizer *o, const Group *data, Arena *arena, const Parameters *parameters)
{
    *o = (Optimizer){.parameters = parameters};
    const Parameters *p = parameters;
    int64_t edges[2 * GROUP_COUNT];
    for (ptrdiff_t g = 0; g < GROUP_COUNT; g++) {
        edges[2 * g] = p->group_first[g];
        edges[2 * g + 1] = p->shared_first[g];
    }
    buckets_create(&o->buckets, data, arena, p->group_first[GROUP_COUNT], edges, 2 * GROUP_COUNT,
                   BUCKET_NUMBERS, ALIGNMENT);
    int count = find_segments(o, NULL);
    o->segments = arena_host(arena, PURPOSE_DATA, checked_size(count) * sizeof *o->segments);
    if (o->segments != NULL) o->num_segments = find_segments(o, o->segments);

    int64_t owned = o->buckets.owned;
    o->first_moment = arena_tensor_1d(arena, PURPOSE_OPTIMIZER, owned);
    o->second_moment = arena_tensor_1d(arena, PURPOSE_OPTIMIZER, owned);
    o->gradient = data->size == 1 ? p->gradient : arena_tensor_1d(arena, PURPOSE_GRADIENTS, owned);
}

void optimizer_reduce_begin(Optimizer *o, int64_t first, int64_t end)
{
    buckets_reduce_begin(&o->buckets, tensor_reals(o->parameters->gradient),
                         tensor_reals(o->gradient), first, end);
}

void optimizer_abandon(Optimizer *o) { buckets_wait(&o->buckets); }

/* --- the step --------------------------------------------------------------------------------- */

/* The main group has one scale, so it is left to Adam; the compression group has one a layer. */
static double group_scale(const OptimizerOptions *options, ParameterGroup group)
{
    return group == GROUP_MAIN ? options->main_scale : 1.0;
}

static Tensor segment_of(Tensor flat, int64_t first, const Segment *segment)
{
    return tensor_slice(flat, first, segment->count);
}

static void scale_compression(Device *device, const Optimizer *o, const OptimizerOptions *options)
{
    for (int i = 0; i < o->num_segments; i++) {
        const Segment *s = &o->segments[i];
        if (s->row->group == GROUP_COMPRESSION)
            device->op->scale(device, segment_of(o->gradient, s->owned, s),
                              options->layer_scale[s->row->layer]);
    }
}

static void measure_norms(Device *device, const Optimizer *o, const Group *world,
                          const OptimizerOptions *options, double norms[GROUP_COUNT])
{
    double squares[GROUP_COUNT] = {0};
    for (int i = 0; i < o->num_segments; i++) {
        const Segment *s = &o->segments[i];
        if (s->row->owner)
            squares[s->row->group] +=
                device->op->sum_of_squares(device, segment_of(o->gradient, s->owned, s));
    }
    group_sum_double(world, squares, GROUP_COUNT);
    for (int g = 0; g < GROUP_COUNT; g++)
        norms[g] = group_scale(options, (ParameterGroup)g) * sqrt(squares[g]);
}

static void update_segment(Device *device, const Optimizer *o, const Segment *s,
                           const OptimizerOptions *options, double scale)
{
    AdamOptions adam = {
        .learning_rate = options->learning_rate,
        .beta1 = beta1,
        .beta2 = beta2,
        .epsilon = epsilon,
        .gradient_scale = scale,
        .weight_decay = s->row->decays ? options->weight_decay : 0.0,
        .update = options->update,
    };
    device->op->adam(device, segment_of(o->parameters->value, s->flat, s),
                     segment_of(o->first_moment, s->owned, s),
                     segment_of(o->second_moment, s->owned, s),
                     segment_of(o->gradient, s->owned, s), adam);
}

void optimizer_measure(Device *device, Optimizer *o, const Group *world,
                       const OptimizerOptions *options, double norms[GROUP_COUNT])
{
    buckets_wait(&o->buckets);
    scale_compression(device, o, options);
    measure_norms(device, o, world, options, norms);
}

void optimizer_step(Device *device, Optimizer *o, const OptimizerOptions *options,
                    const double norms[GROUP_COUNT])
{
    double scales[GROUP_COUNT];
    for (int g = 0; g < GROUP_COUNT; g++) {
        PAL_ASSERT(isfinite(norms[g]));
        bool clips = options->clip > 0.0 && norms[g] > options->clip;
        scales[g] =
            group_scale(options, (ParameterGroup)g) * (clips ? options->clip / norms[g] : 1.0);
    }
    for (int i = 0; i < o->num_segments; i++)
        update_segment(device, o, &o->segments[i], options, scales[o->segments[i].row->group]);
    buckets_gather_begin(&o->buckets, o->parameters->value.data);
    buckets_wait(&o->buckets);
}
