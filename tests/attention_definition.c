/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/attention_definition.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "src/base/random.h"
#include "src/tensor/bfloat16.h"

/* --- the tensors of a case -------------------------------------------------------------------- */

static Tensor random_tensor(uint64_t seed, int64_t a, int64_t b, int64_t c)
{
    int64_t count = a * b * c;
    Real *data = malloc((size_t)(count + 1) * sizeof(Real));
    RandomStream stream = random_stream(seed, "test/attention");
    for (int64_t i = 0; i < count; i++) data[i] = (Real)random_normal(stream, (uint64_t)i);
    return tensor_3d(data, a, b, c);
}

static Tensor zeros_like(Tensor x)
{
    x.data = calloc((size_t)tensor_count(x) + 1, sizeof(Real));
    return x;
}

static void add_input(Problem *p, Tensor *input, Tensor *gradient)
{
    *gradient = zeros_like(*input);
    p->inputs[p->num_inputs] = input;
    p->gradients[p->num_inputs++] = gradient;
}

static void make_source(Problem *p, int number)
{
    const AttentionCase *c = p->c;
    const SourceCase *from = &c->sources[number];
    AttentionSource *to = &p->sources[number];
    int64_t width = (int64_t)c->heads * c->head_size;
    uint64_t seed = 10 * (uint64_t)number;
    *to = (AttentionSource){.row_stride = from->stride, .causal = from->causal};
    if (from->valid[0] >= 0) to->valid = from->valid;
    to->k = random_tensor(seed + 10, c->rows, from->slots, width);
    to->v = random_tensor(seed + 11, c->rows, from->slots, width);
    add_input(p, &to->k, &to->dk);
    add_input(p, &to->v, &to->dv);
    if (!from->positions) return;

    int64_t most_distant = (int64_t)from->stride * (from->slots - 1);
    to->row_offset = from->causal ? 0 : most_distant + 2;
    int64_t table_rows = to->row_offset + c->length + 3;
    if (from->shares_dr_with >= 0) {
        const AttentionSource *other = &p->sources[from->shares_dr_with];
        to->r = other->r;
        to->dr = other->dr;
        to->position_bias = other->position_bias;
        to->dposition_bias = other->dposition_bias;
        return;
    }
    to->r = random_tensor(seed + 12, table_rows, width, 1);
    to->r = tensor_2d(tensor_reals(to->r), table_rows, width);
    add_input(p, &to->r, &to->dr);
    to->position_bias = random_tensor(seed + 13, c->heads, c->head_size, 1);
    add_input(p, &to->position_bias, &to->dposition_bias);
}

Problem *problem_create(const AttentionCase *c)
{
    Problem *p = calloc(1, sizeof *p);
    p->c = c;
    int64_t width = (int64_t)c->heads * c->head_size;
    p->queries = (AttentionQueries){.heads = c->heads,
                                    .scale = 1 / sqrt(c->head_size + 1.0),
                                    .first_query = c->first_query,
                                    .counted = c->counted,
                                    .dropout_rate = c->dropout,
                                    .dropout_stream = random_stream(7, "dropout"),
                                    .first_row = 5};
    p->queries.q = random_tensor(1, c->rows, c->length, width);
    add_input(p, &p->queries.q, &p->queries.dq);
    if (c->content_bias) {
        p->queries.content_bias = random_tensor(2, c->heads, c->head_size, 1);
        add_input(p, &p->queries.content_bias, &p->queries.dcontent_bias);
    }
    for (int i = 0; i < c->num_sources; i++) make_source(p, i);
    p->o = random_tensor(3, c->rows, c->length, width); /* must be overwritten */
    p->lse = random_tensor(4, c->rows, c->heads, c->length);
    p->dout = random_tensor(5, c->rows, c->length, width);
    return p;
}

/* Columns from `column` on of whole (..., D) to part (..., fewer). */
static void take_columns(Tensor part, Tensor whole, int64_t column)
{
    int64_t n = part.dims[part.num_dims - 1], all = whole.dims[whole.num_dims - 1];
    for (int64_t i = 0; i < tensor_count(part); i++)
        tensor_reals(part)[i] = tensor_reals(whole)[i / n * all + column + i % n];
}

/* Rows from `row` on of a bias (H,E). */
static void take_rows(Tensor part, Tensor whole, int64_t row)
{
    if (part.data == NULL) return;
    for (int64_t i = 0; i < tensor_count(part); i++)
        tensor_reals(part)[i] = tensor_reals(whole)[row * whole.dims[1] + i];
}

Problem *problem_slice(const Problem *p, int first, int heads, AttentionCase *c)
{
    *c = *p->c;
    c->heads = heads;
    int64_t column = (int64_t)first * c->head_size;
    Problem *slice = problem_create(c);
    slice->queries.first_head = p->queries.first_head + first;
    take_columns(slice->queries.q, p->queries.q, column);
    take_columns(slice->dout, p->dout, column);
    take_rows(slice->queries.content_bias, p->queries.content_bias, first);
    for (int n = 0; n < c->num_sources; n++) {
        const AttentionSource *from = &p->sources[n], *to = &slice->sources[n];
        take_columns(to->k, from->k, column);
        take_columns(to->v, from->v, column);
        if (to->r.data == NULL) continue;
        take_columns(to->r, from->r, column);
        take_rows(to->position_bias, from->position_bias, first);
    }
    return slice;
}

void problem_destroy(Problem *p)
{
    for (int i = 0; i < p->num_inputs; i++) {
        free(p->inputs[i]->data);
        free(p->gradients[i]->data);
    }
    free(tensor_reals(p->o));
    free(tensor_reals(p->lse));
    free(tensor_reals(p->dout));
    free(p);
}

/* --- one query ------------------------------------------------------------------------------- */

/* One query of a row and head, and what its parts below hand on. */
typedef struct Query {
    int row, head, number;
    int64_t column;  /* where the head begins in the D numbers of a key or query */
    int64_t at;      /* where the query's numbers begin in q, o and dout (B,T,D) */
    int64_t slots;   /* K, of all sources in order */
    double *weights; /* (K) p; 0 where hidden */
    double delta;    /* dout . o, which is sum_j p_j dp_j but for the rounding of o */
} Query;

static bool visible(const AttentionSource *s, const Query *query, int64_t j)
{
    int64_t slots = s->k.dims[1];
    if (s->valid != NULL && j < slots - s->valid[query->row]) return false;
    return !(s->causal && j > query->number);
}

/* Where the numbers of slot j begin in k and v. */
static int64_t key_at(const AttentionSource *s, const Query *query, int64_t j)
{
    return (query->row * s->k.dims[1] + j) * s->k.dims[2] + query->column;
}

/* Where the position of slot j begins in r, for a source that has one. */
static int64_t position_at(const AttentionSource *s, const Query *query, int64_t j)
{
    int64_t table_row = s->row_offset + query->number - (int64_t)s->row_stride * j;
    return table_row * s->r.dims[1] + query->column;
}

static double bias_at(Tensor bias, int64_t at)
{
    return bias.data == NULL ? 0 : tensor_reals(bias)[at];
}

static double logit(const Problem *p, const Query *query, const AttentionSource *s, int64_t j)
{
    int64_t size = p->c->head_size, column = query->column;
    const Real *q = tensor_reals(p->queries.q) + query->at,
               *k = tensor_reals(s->k) + key_at(s, query, j);
    double sum = 0;
    for (int64_t e = 0; e < size; e++)
        sum += (q[e] + bias_at(p->queries.content_bias, column + e)) * (double)k[e];
    if (tensor_reals(s->r) != NULL) {
        const Real *r = tensor_reals(s->r) + position_at(s, query, j);
        for (int64_t e = 0; e < size; e++)
            sum += (q[e] + bias_at(s->position_bias, column + e)) * (double)r[e];
    }
    return sum * p->queries.scale;
}

static double dropout_factor(const Problem *p, const Query *query, int64_t slot)
{
    const AttentionQueries *q = &p->queries;
    if (q->dropout_rate == 0) return 1;
    uint64_t row = (uint64_t)(q->first_row + query->row);
    RandomStream stream = random_substream(q->dropout_stream, row, 0);
    int64_t padded = (query->slots + 3) / 4 * 4;
    int64_t head = q->first_head + query->head;
    int64_t element = (head * p->c->length + query->number) * padded + slot;
    uint32_t words[4];
    random_words(stream, (uint64_t)element / 4, words);
    return words[element % 4] * 0x1p-32 >= q->dropout_rate ? 1 / (1 - q->dropout_rate) : 0;
}

/* p = softmax(logits), lse */
static void expect_weights(const Problem *p, Expected *x, Query *query)
{
    const AttentionCase *c = p->c;
    double sum = 0;
    int64_t slot = 0;
    for (int n = 0; n < c->num_sources; n++)
        for (int64_t j = 0; j < c->sources[n].slots; j++, slot++)
            if (visible(&p->sources[n], query, j)) {
                query->weights[slot] = exp(logit(p, query, &p->sources[n], j));
                sum += query->weights[slot];
            }
    if (sum == 0) return; /* sees nothing */
    for (slot = 0; slot < query->slots; slot++) query->weights[slot] /= sum;
    x->lse[((int64_t)query->row * c->heads + query->head) * c->length + query->number] = log(sum);
}

/* Where there is one key, dp_j - delta is 0 but for the rounding, and gradients sum that up. */
static double as_stored(const Problem *p, double o)
{
    return p->type == NUMBER_BFLOAT16 ? (double)float_of_bfloat16(bfloat16_of((float)o)) : o;
}

/* o = sum_j m_j p_j v_j, delta = dout . o, and the query's part of the usage */
static void expect_output(const Problem *p, Expected *x, Query *query)
{
    const AttentionCase *c = p->c;
    int64_t slot = 0;
    for (int n = 0; n < c->num_sources; n++) {
        const AttentionSource *s = &p->sources[n];
        for (int64_t j = 0; j < c->sources[n].slots; j++, slot++) {
            double kept = query->weights[slot] * dropout_factor(p, query, slot);
            const Real *v = tensor_reals(s->v) + key_at(s, query, j);
            for (int64_t e = 0; e < c->head_size; e++) x->o[query->at + e] += kept * v[e];
            x->usage[n][query->row * s->k.dims[1] + j] +=
                query->weights[slot] / c->heads / (c->counted[query->row] - c->first_query);
        }
    }
    for (int64_t at = query->at; at < query->at + c->head_size; at++)
        query->delta += as_stored(p, x->o[at]) * tensor_reals(p->dout)[at];
}

/* The query's part of the gradients through one source, whose slots begin at `slot` among all:
 *
 *     forward                      backward
 *     o = sum_j m_j p_j v_j        dv_j += m_j p_j dout,  dp_j = m_j dout . v_j
 *     p = softmax(logits)          dlogit_j = p_j (dp_j - delta),  delta = dout . o
 *     logit_j = scale ((q + content_bias) . k_j + (q + position_bias) . r[row(i,j)])
 */
static void expect_source_gradients(const Problem *p, const Expected *x, const Query *query, int n,
                                    int64_t slot)
{
    const AttentionSource *s = &p->sources[n];
    Tensor content_bias = p->queries.content_bias;
    const Real *q = tensor_reals(p->queries.q) + query->at,
               *dout = tensor_reals(p->dout) + query->at;
    double *dq = expected_gradient(p, x, tensor_reals(p->queries.q)) + query->at;
    double *dcontent_bias = expected_gradient(p, x, tensor_reals(content_bias));
    double *dposition_bias = expected_gradient(p, x, tensor_reals(s->position_bias));
    double *dk = expected_gradient(p, x, tensor_reals(s->k)),
           *dv = expected_gradient(p, x, tensor_reals(s->v));
    double *dr = expected_gradient(p, x, tensor_reals(s->r));
    int64_t size = p->c->head_size, column = query->column;

    for (int64_t j = 0; j < p->c->sources[n].slots; j++, slot++) {
        double weight = query->weights[slot], dp = 0;
        if (weight == 0) continue;
        double keep = dropout_factor(p, query, slot);
        int64_t key = key_at(s, query, j);
        for (int64_t e = 0; e < size; e++) {
            dp += keep * dout[e] * (double)tensor_reals(s->v)[key + e];
            dv[key + e] += weight * keep * dout[e];
        }
        double dsum = weight * (dp - query->delta) * p->queries.scale; /* of logit() */
        for (int64_t e = 0; e < size; e++) {
            dq[e] += dsum * tensor_reals(s->k)[key + e];
            dk[key + e] += dsum * (q[e] + bias_at(content_bias, column + e));
            if (dcontent_bias != NULL)
                dcontent_bias[column + e] += dsum * tensor_reals(s->k)[key + e];
        }
        if (dr == NULL) continue; /* by content alone */
        int64_t position = position_at(s, query, j);
        for (int64_t e = 0; e < size; e++) {
            dq[e] += dsum * tensor_reals(s->r)[position + e];
            dr[position + e] += dsum * (q[e] + bias_at(s->position_bias, column + e));
            dposition_bias[column + e] += dsum * tensor_reals(s->r)[position + e];
        }
    }
}

static void expect_gradients(const Problem *p, const Expected *x, const Query *query)
{
    int64_t slot = 0;
    for (int n = 0; n < p->c->num_sources; n++) {
        expect_source_gradients(p, x, query, n, slot);
        slot += p->c->sources[n].slots;
    }
}

/* One query: its weights, what they give, and its part of all gradients. */
static void expect_query(const Problem *p, Expected *x, int row, int head, int number)
{
    const AttentionCase *c = p->c;
    Query query = {.row = row, .head = head, .number = number};
    query.column = (int64_t)head * c->head_size;
    query.at = ((int64_t)row * c->length + number) * c->heads * c->head_size + query.column;
    for (int n = 0; n < c->num_sources; n++) query.slots += c->sources[n].slots;
    query.weights = calloc((size_t)query.slots + 1, sizeof(double));

    expect_weights(p, x, &query);
    expect_output(p, x, &query);
    expect_gradients(p, x, &query);
    free(query.weights);
}

/* --- all queries ------------------------------------------------------------------------------ */

double *expected_gradient(const Problem *p, const Expected *x, const Real *data)
{
    for (int n = 0; n < p->num_inputs; n++)
        if (p->inputs[n]->data == data) return x->gradients[n];
    return NULL;
}

static double *doubles(Tensor x) { return calloc((size_t)tensor_count(x) + 1, sizeof(double)); }

static bool takes_part(const AttentionCase *c, int row, int number)
{
    return number >= c->first_query && number < c->counted[row];
}

Expected *expected_create(const Problem *p)
{
    Expected *x = calloc(1, sizeof *x);
    x->o = doubles(p->o);
    x->lse = doubles(p->lse);
    for (int n = 0; n < p->num_inputs; n++) x->gradients[n] = doubles(*p->inputs[n]);
    for (int n = 0; n < p->c->num_sources; n++) x->usage[n] = doubles(p->sources[n].k);
    for (int b = 0; b < p->c->rows; b++)
        for (int h = 0; h < p->c->heads; h++)
            for (int i = 0; i < p->c->length; i++)
                if (takes_part(p->c, b, i)) expect_query(p, x, b, h, i);
    return x;
}

void expected_destroy(Expected *x)
{
    for (int n = 0; n < MOST_INPUTS; n++) free(x->gradients[n]);
    for (int n = 0; n < PAL_MAX_SOURCES; n++) free(x->usage[n]);
    free(x->o);
    free(x->lse);
    free(x);
}
