/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/pipeline.h"

#include "src/base/checked.h"
#include "src/base/whereabouts.h"

static bool is_first(const Pipeline *p) { return p->group->rank == 0; }
static bool is_last(const Pipeline *p) { return p->group->rank == p->group->size - 1; }

/* For what this stage sends and receives. */
static void reserve(Pipeline *p, Arena *arena)
{
    const Model *model = p->model;
    const Group *group = p->group;
    int64_t numbers = (int64_t)model->place.rows *
                      placement_positions(&model->place, &model->options) * model->options.width;
    for (int f = 0; f < model->place.flights && !is_last(p) && p->send != NULL; f++)
        group_reserve_message(group, arena, &p->send[f], numbers);
    if (!is_first(p)) group_reserve_message(group, arena, &p->receive, numbers);
    if (!is_first(p) && model->training)
        group_reserve_message(group, arena, &p->gradient_send, numbers);
    if (!is_last(p) && model->training)
        group_reserve_message(group, arena, &p->gradient_receive, numbers);
}

void pipeline_create(Pipeline *p, const Group *group, Model *model, Arena *arena,
                     int most_micro_batches)
{
    *p = (Pipeline){.group = group, .model = model};
    const Placement *place = &model->place;
    int64_t rows = place->rows, width = model->options.width;
    int positions = placement_positions(place, &model->options);
    size_t flights = checked_size(place->flights);
    if (most_micro_batches > 0)
        p->actions = arena_host(arena, PURPOSE_DATA,
                                2 * checked_size(most_micro_batches) * sizeof *p->actions);
    p->send = arena_host(arena, PURPOSE_DATA, flights * sizeof *p->send);
    reserve(p, arena);
    if (!is_first(p)) p->inbox = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, positions, width);
    if (!is_first(p) && model->training)
        p->gradient_outbox = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, positions, width);
    if (!is_last(p) && model->training)
        p->gradient_inbox = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, positions, width);
}

/* Asks the stage before (after) for its next output (gradient), unless that is asked already. */
static void ask_input(Pipeline *p)
{
    if (is_first(p) || p->receive.active) return;
    group_receive_begin(p->group, TRAFFIC_PIPELINE, &p->receive, tensor_reals(p->inbox),
                        tensor_count(p->inbox), p->group->rank - 1);
}

static void ask_gradient(Pipeline *p)
{
    if (is_last(p) || p->gradient_receive.active) return;
    group_receive_begin(p->group, TRAFFIC_PIPELINE, &p->gradient_receive,
                        tensor_reals(p->gradient_inbox), tensor_count(p->gradient_inbox),
                        p->group->rank + 1);
}

/* One micro-batch: rows [first_row, first_row + B) of the window. */
static void forward(Pipeline *p, int number, const Window *window, int first_row, bool more)
{
    Model *model = p->model;
    Flight *flight = &model->flights[number];
    Window part = *window;
    int64_t first = (int64_t)first_row * window->length;
    part.rows = model->place.rows;
    part.inputs += first;
    part.targets += first;
    part.counted += first_row;
    part.starts += first_row;
    part.first_row += first_row;

    phase_begin(model->device->times, PHASE_PIPELINE);
    group_wait(&p->send[number]); /* of the flight's micro-batch before: forward writes `last` */
    if (!is_first(p)) {
        ask_input(p);
        group_wait(&p->receive);
        device_copy(model->device, flight->h, p->inbox);
        if (more) ask_input(p);
    }
    model_forward(model, number, &part, first_row, true);
    group_hand_over(p->group); /* of the micro-batch before: the device has work again */
    if (!is_last(p))
        group_send_begin(p->group, TRAFFIC_PIPELINE, &p->send[number], tensor_reals(flight->last),
                         tensor_count(flight->last), p->group->rank + 1);
}

static void backward(Pipeline *p, int number, bool more, const PipelineHooks *hooks)
{
    Model *model = p->model;
    Flight *flight = &model->flights[number];
    if (!is_last(p)) {
        phase_begin(model->device->times, PHASE_PIPELINE);
        ask_gradient(p);
        group_wait(&p->gradient_receive);
        device_copy(model->device, flight->dh, p->gradient_inbox);
        if (more) ask_gradient(p);
    }
    bool finishes = !more && is_first(p);
    model_backward(model, number, finishes ? hooks->after_layer : NULL, hooks->context);
    if (!is_first(p)) {
        phase_begin(model->device->times, PHASE_PIPELINE);
        group_wait(&p->gradient_send);
        device_copy(model->device, p->gradient_outbox, flight->dh);
        group_hand_over(p->group);
        group_send_begin(p->group, TRAFFIC_PIPELINE, &p->gradient_send,
                         tensor_reals(p->gradient_outbox), tensor_count(p->gradient_outbox),
                         p->group->rank - 1);
        if (!more) model_finish_layers(model, hooks->after_layer, hooks->context);
    }
}

void pipeline_run(Pipeline *p, int windows, const PipelineHooks *hooks)
{
    Model *model = p->model;
    const Placement *place = &model->place;
    int micro_batches = windows * place->row_groups;
    int count = pipeline_schedule(place->flights, micro_batches, p->actions);
    Window window = {0};
    for (int i = 0; i < count; i++) {
        PipelineAction action = p->actions[i];
        PipelinePlace at = pipeline_place(place->row_groups, action.micro_batch);
        bool more = action.micro_batch + 1 < micro_batches;
        if (action.work == PIPELINE_FORWARD) {
            if (at.group == 0) hooks->next_window(hooks->context, &window);
            forward(p, action.flight, &window, at.group * place->rows, more);
            hooks->after_forward(hooks->context, &model->flights[action.flight]);
        } else {
            backward(p, action.flight, more, hooks);
        }
        whereabouts_progress();
    }
    pipeline_finish(p);
}

void pipeline_forward(Pipeline *p, const Window *window) { forward(p, 0, window, 0, false); }

void pipeline_finish(Pipeline *p)
{
    phase_begin(p->model->device->times, PHASE_PIPELINE);
    for (int f = 0; f < p->model->place.flights; f++) group_wait(&p->send[f]);
    group_wait(&p->gradient_send);
    group_meet(p->group, TRAFFIC_PIPELINE); /* the idle end belongs to the pipeline */
    phase_end(p->model->device->times);
}
