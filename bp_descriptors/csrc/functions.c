/* Sums of symmetry functions over pairs and triples of one central atom after another: G, its contraction with dE/dG, and
 * its change by a displacement. The definition is SymmetryFunctions.definition. */
#include "factors.h"

#define ABI 1
#define RUN 256 /* triples worked on together */

enum { FORWARD = 0, PULL = 1, PUSH = 2 }; /* G; Σ_f g_f ∂G_f/∂r_ij; Σ_ij ∂G/∂r_ij · t_ij */

typedef struct { /* see plan.py */
    int64_t n_elements, n_radial, n_parts, n_angles, n_features;
    const double *cutoffs, *radial;
    const int64_t *radial_start, *radial_terms;
    const double *parts;
    const uint8_t *narrow;
    const double *angles;
    const int64_t *group_start, *group_part, *term_start, *terms;
    const double *reach, *radii;
} Plan;

typedef struct {
    const int64_t *element; /* [atoms] */
    const double *charge;   /* [elements] */
    const int64_t *first, *neighbor; /* [atoms + 1] rows of the pairs, by centre; [pairs] elements of the neighbours */
    const double *vectors;  /* [pairs][3] */
    double *field;          /* [pairs][3] */
    double *g;              /* [atoms][features] */
} Atoms;

typedef struct { /* of one centre's neighbours and one run of triples; arrays of 2 hold value and slope */
    int64_t size;
    int64_t *row, *block;
    double *r, *unit[3], *along, *cut, *radial, *pair;
    int64_t *a, *b, *segment, *channel;
    double *cosine, *r_ab, *cut_ab, *pair_ab, *angle, *product, *out, *weight;
} Work;

EXPORT int64_t bp_functions_abi(void) { return ABI; }

static double *part(double **at, int64_t count) {
    double *found = *at;
    *at += count;
    return found;
}

static void *lay_out_work(Work *w, const Plan *p, int64_t n) {
    int64_t reals = n * (5 + 2 + 2 * p->n_radial + 2 * p->n_parts) +
                    RUN * (2 + 2 + 2 * p->n_parts + 2 * p->n_angles + 2 * p->n_parts + 4 + 1);
    int64_t integers = n + p->n_elements + 1 + 2 * RUN + 2 * (RUN + 1);
    char *memory = malloc(8 * (size_t)(reals + integers));
    if (!memory) return NULL;
    double *at = (double *)memory;
    w->size = n;
    w->r = part(&at, n);
    for (int x = 0; x < 3; x++) w->unit[x] = part(&at, n);
    w->along = part(&at, n), w->cut = part(&at, 2 * n);
    w->radial = part(&at, 2 * p->n_radial * n), w->pair = part(&at, 2 * p->n_parts * n);
    w->cosine = part(&at, RUN), w->r_ab = part(&at, RUN), w->cut_ab = part(&at, 2 * RUN);
    w->pair_ab = part(&at, 2 * p->n_parts * RUN), w->angle = part(&at, 2 * p->n_angles * RUN);
    w->product = part(&at, 2 * p->n_parts * RUN), w->out = part(&at, 4 * RUN), w->weight = part(&at, RUN);
    int64_t *whole = (int64_t *)at;
    w->row = whole, w->block = w->row + n, w->a = w->block + p->n_elements + 1, w->b = w->a + RUN;
    w->segment = w->b + RUN, w->channel = w->segment + RUN + 1;
    return memory;
}

/* Neighbours nearer than `radius`, ordered by element; how many. */
static int64_t gather(const Plan *p, Work *w, const Atoms *s, int64_t i, double radius) {
    int64_t n = 0;
    for (int64_t e = 0; e < p->n_elements; e++) {
        w->block[e] = n;
        for (int64_t q = s->first[i]; q < s->first[i + 1]; q++) {
            if (s->neighbor[q] != e) continue;
            const double *v = s->vectors + 3 * q;
            double d = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
            if (!(d > 0.0 && d < radius)) continue;
            w->row[n] = q, w->r[n] = d;
            for (int x = 0; x < 3; x++) w->unit[x][n] = v[x] / d;
            n++;
        }
    }
    w->block[p->n_elements] = n;
    return n;
}

static void radial_sums(const Plan *p, Work *w, const Atoms *s, int mode, int64_t i, int64_t n) {
    double *g = s->g + i * p->n_features, *along = w->along;
    for (int64_t k = 0; k < n; k++) {
        const double *t = s->field + 3 * w->row[k];
        along[k] = mode == PUSH ? t[0] * w->unit[0][k] + t[1] * w->unit[1][k] + t[2] * w->unit[2][k] : 0.0;
    }
    factors(p->cutoffs, p->n_radial, p->radial, NULL, n, w->r, w->size, w->cut, w->radial);
    for (int64_t e = 0; e < p->n_elements; e++) {
        int64_t start = w->block[e], count = w->block[e + 1] - start, channel = s->element[i] * p->n_elements + e;
        if (!count) continue;
        for (int64_t t = p->radial_start[channel]; t < p->radial_start[channel + 1]; t++) {
            const int64_t *term = p->radial_terms + 3 * t;
            double weight = term[2] ? s->charge[e] : 1.0, sum = 0.0;
            const double *value = w->radial + term[0] * w->size + start;
            const double *slope = value + p->n_radial * w->size;
            if (mode == FORWARD) {
                for (int64_t k = 0; k < count; k++) sum += value[k];
                g[term[1]] += weight * sum;
            } else if (mode == PULL) {
                double factor = weight * g[term[1]];
                for (int64_t k = 0; k < count; k++) along[start + k] += factor * slope[k];
            } else g[term[1]] += weight * dot(count, slope, along + start);
        }
    }
    for (int64_t k = 0; k < n && mode == PULL; k++)
        for (int x = 0; x < 3; x++) s->field[3 * w->row[k] + x] += along[k] * w->unit[x][k];
}

/* g[column] += Σ_t product_t angle_t, stretch by stretch; `which` of both arrays */
static void add_segments(const Plan *p, const Work *w, int64_t segments, int which, double *g) {
    for (int64_t s = 0; s < segments; s++) {
        int64_t start = w->segment[s], count = w->segment[s + 1] - start, channel = w->channel[s];
        for (int64_t group = p->group_start[channel]; group < p->group_start[channel + 1]; group++) {
            const double *radial = w->product + (which * p->n_parts + p->group_part[group]) * RUN + start;
            for (int64_t t = p->term_start[group]; t < p->term_start[group + 1]; t++) {
                const int64_t *term = p->terms + 3 * t;
                const double *angle = w->angle + (which * p->n_angles + term[0]) * RUN + start;
                g[term[1]] += (term[2] ? w->weight[s] : 1.0) * dot(count, radial, angle);
            }
        }
    }
}

/* product = Σ_f g_f A_f(cos θ) of every part, and its slope */
static void collect_segments(const Plan *p, Work *w, int64_t segments, const double *g) {
    memset(w->product, 0, sizeof(double) * (size_t)(2 * p->n_parts * RUN));
    for (int64_t s = 0; s < segments; s++) {
        int64_t start = w->segment[s], count = w->segment[s + 1] - start, channel = w->channel[s];
        for (int64_t group = p->group_start[channel]; group < p->group_start[channel + 1]; group++) {
            double *restrict shape = w->product + p->group_part[group] * RUN + start;
            double *restrict tilt = shape + p->n_parts * RUN;
            for (int64_t t = p->term_start[group]; t < p->term_start[group + 1]; t++) {
                const int64_t *term = p->terms + 3 * t;
                double factor = g[term[1]] * (term[2] ? w->weight[s] : 1.0);
                const double *value = w->angle + term[0] * RUN + start, *slope = value + p->n_angles * RUN;
                for (int64_t k = 0; k < count; k++) shape[k] += factor * value[k], tilt[k] += factor * slope[k];
            }
        }
    }
}

/* FORWARD: product = w_a w_b w_ab. PULL: out = dE/d(r_a, r_b, r_ab, cos θ). PUSH: product = the change of w_a w_b w_ab
 * under the changes in out, and w_a w_b w_ab times that of cos θ. */
static void parts_of_run(const Plan *p, Work *w, int mode, int64_t n) {
    double *out = w->out;
    if (mode == PULL) memset(out, 0, sizeof(double) * 4 * RUN);
    for (int64_t f = 0; f < p->n_parts; f++) {
        const double *v = w->pair + f * w->size, *dv = v + p->n_parts * w->size;
        const double *v_ab = w->pair_ab + f * RUN, *dv_ab = v_ab + p->n_parts * RUN;
        double *one = w->product + f * RUN, *two = one + p->n_parts * RUN;
        for (int64_t k = 0; k < n; k++) {
            double va = v[w->a[k]], vb = v[w->b[k]], both = va * vb;
            if (mode == FORWARD) {
                one[k] = both * v_ab[k];
                continue;
            }
            double first = dv[w->a[k]] * vb * v_ab[k], second = va * dv[w->b[k]] * v_ab[k], third = both * dv_ab[k];
            if (mode == PULL) {
                out[k] += one[k] * first, out[RUN + k] += one[k] * second, out[2 * RUN + k] += one[k] * third;
                out[3 * RUN + k] += two[k] * both * v_ab[k];
            } else {
                one[k] = first * out[k] + second * out[RUN + k] + third * out[2 * RUN + k];
                two[k] = both * v_ab[k] * out[3 * RUN + k];
            }
        }
    }
}

/* from dE/d(r_a, r_b, r_ab, cos θ) to the two pairs' vectors */
static void scatter_run(const Work *w, int64_t n, double *field) {
    const double *out = w->out;
    for (int64_t k = 0; k < n; k++) {
        int64_t a = w->a[k], b = w->b[k];
        double ra = w->r[a], rb = w->r[b], tilt = out[3 * RUN + k], c = w->cosine[k], across = out[2 * RUN + k] / w->r_ab[k];
        /* r_ab u_ab = r_b u_b − r_a u_a, and d cos θ / d r_a = (u_b − cos θ u_a) / r_a */
        double aa = out[k] - tilt * c / ra + across * ra, ab = tilt / ra - across * rb;
        double bb = out[RUN + k] - tilt * c / rb + across * rb, ba = tilt / rb - across * ra;
        for (int x = 0; x < 3; x++) {
            field[3 * w->row[a] + x] += aa * w->unit[x][a] + ab * w->unit[x][b];
            field[3 * w->row[b] + x] += bb * w->unit[x][b] + ba * w->unit[x][a];
        }
    }
}

/* changes of r_a, r_b, r_ab and cos θ under displacements of the pairs */
static void displace_run(Work *w, int64_t n, const double *tangent) {
    for (int64_t k = 0; k < n; k++) {
        int64_t a = w->a[k], b = w->b[k];
        const double *p = tangent + 3 * w->row[a], *q = tangent + 3 * w->row[b];
        double aa = 0, ab = 0, ba = 0, bb = 0, c = w->cosine[k], ra = w->r[a], rb = w->r[b];
        for (int x = 0; x < 3; x++) {
            aa += w->unit[x][a] * p[x], ab += w->unit[x][b] * p[x];
            ba += w->unit[x][a] * q[x], bb += w->unit[x][b] * q[x];
        }
        w->out[k] = aa, w->out[RUN + k] = bb;
        w->out[2 * RUN + k] = (rb * (bb - ab) - ra * (ba - aa)) / w->r_ab[k];
        w->out[3 * RUN + k] = (ab - c * aa) / ra + (ba - c * bb) / rb;
    }
}

static void finish_run(const Plan *p, Work *w, const Atoms *s, int mode, int64_t i, int64_t n, int64_t segments) {
    double *g = s->g + i * p->n_features;
    w->segment[segments] = n;
    for (int64_t k = 0; k < p->n_angles; k++)
        angular_power(p->angles[2 * k], p->angles[2 * k + 1], n, w->cosine, w->angle + k * RUN,
              w->angle + (p->n_angles + k) * RUN);
    factors(p->cutoffs, p->n_parts, p->parts, p->narrow, n, w->r_ab, RUN, w->cut_ab, w->pair_ab);
    if (mode == PULL) collect_segments(p, w, segments, g);
    if (mode == PUSH) displace_run(w, n, s->field);
    parts_of_run(p, w, mode, n);
    if (mode == PULL) scatter_run(w, n, s->field);
    else add_segments(p, w, segments, 0, g);
    if (mode == PUSH) add_segments(p, w, segments, 1, g);
}

static void angular_sums(const Plan *p, Work *w, const Atoms *s, int mode, int64_t i) {
    int64_t couples = p->n_elements * (p->n_elements + 1) / 2, n = 0, segments = 0;
    for (int64_t high = 0; high < p->n_elements; high++)
        for (int64_t low = 0; low <= high; low++) {
            int64_t channel = s->element[i] * couples + high * (high + 1) / 2 + low;
            int begun = 0;
            if (p->group_start[channel] == p->group_start[channel + 1]) continue;
            double limit = p->reach[channel] * p->reach[channel];
            for (int64_t a = w->block[low]; a < w->block[low + 1]; a++)
                for (int64_t b = low == high ? a + 1 : w->block[high]; b < w->block[high + 1]; b++) {
                    double c = w->unit[0][a] * w->unit[0][b] + w->unit[1][a] * w->unit[1][b] + w->unit[2][a] * w->unit[2][b];
                    double square = w->r[a] * w->r[a] + w->r[b] * w->r[b] - 2.0 * w->r[a] * w->r[b] * c;
                    if (square >= limit) continue;
                    if (!begun) {
                        w->segment[segments] = n, w->channel[segments] = channel;
                        w->weight[segments++] = s->charge[low] * s->charge[high];
                        begun = 1;
                    }
                    w->a[n] = a, w->b[n] = b, w->cosine[n] = c, w->r_ab[n] = sqrt(fmax(square, 1e-24));
                    if (++n < RUN) continue;
                    finish_run(p, w, s, mode, i, n, segments);
                    n = segments = 0, begun = 0;
                }
        }
    if (n > 0) finish_run(p, w, s, mode, i, n, segments);
}

/* The atoms from `start` to `stop`, which write to nothing that others touch; −1 without memory. FORWARD and PUSH add to
 * g, PULL to field. */
EXPORT int64_t bp_functions_run(const Plan *p, const Atoms *s, int64_t mode, int64_t start, int64_t stop) {
    int64_t most = 1;
    for (int64_t i = start; i < stop; i++) {
        int64_t n = s->first[i + 1] - s->first[i];
        most = n > most ? n : most;
    }
    Work work, *w = &work;
    void *memory = lay_out_work(w, p, most);
    if (!memory) return -1;
    for (int64_t i = start; i < stop; i++) {
        int64_t n = gather(p, w, s, i, p->radii[0]);
        if (n > 0) radial_sums(p, w, s, (int)mode, i, n);
        n = gather(p, w, s, i, p->radii[1]);
        if (n < 2) continue;
        factors(p->cutoffs, p->n_parts, p->parts, NULL, n, w->r, w->size, w->cut, w->pair);
        angular_sums(p, w, s, (int)mode, i);
    }
    free(memory);
    return 0;
}
