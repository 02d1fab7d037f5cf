/* Integrals of one pair of atoms in its local frame, and what they are differentiated by. */
#ifndef NDDO_PAIR_H
#define NDDO_PAIR_H
#include "matrix.h"
#include "rotate.h"

#define MAX_TERMS 512
#define MAX_UNIQUE 256
#define NEGLIGIBLE 37.0 /* −ln of an overlap that changes nothing */

INLINE int kind_of(int width_a, int width_b) {
    int a = n_shells(width_a) - 1, b = n_shells(width_b) - 1;
    return a * (a + 1) / 2 + b;
}

/* Distances of point charges as √((R + along)² + apart): what does not depend on R. */
static void charge_places(const PairTable *t, const double *pa, const double *pb, double *along, double *apart) {
    int64_t n = t->n_terms, na = t->n_separations_a, all = na + t->n_separations_b;
    double x[MAX_TERMS], y[MAX_TERMS];
    for (int64_t k = 0; k < n; k++) along[k] = x[k] = y[k] = 0.0;
    for (int64_t s = 0; s < all; s++) {
        double d = s < na ? pa[P_SEPARATION + s] : pb[P_SEPARATION + s - na];
        const double *tz = t->z + s * n, *tx = t->x + s * n, *ty = t->y + s * n;
        for (int64_t k = 0; k < n; k++) along[k] += d * tz[k], x[k] += d * tx[k], y[k] += d * ty[k];
    }
    for (int64_t k = 0; k < n; k++) {
        double rho = pa[t->radius_a[k]] + pb[t->radius_b[k]];
        apart[k] = x[k] * x[k] + y[k] * y[k] + rho * rho;
    }
}

/* Interactions of point charges at distance r (bohr) and the distinct integrals that they sum to, hartree. */
static void local_integrals(const PairTable *t, double r, const double *along, const double *apart, double *inverse,
                            double *unique) {
    for (int64_t k = 0; k < t->n_terms; k++) inverse[k] = 1.0 / sqrt(square(r + along[k]) + apart[k]);
    for (int64_t u = 0; u < t->n_unique; u++) {
        double sum = 0.0;
        for (int32_t e = t->first[u]; e < t->first[u + 1]; e++) sum += t->weight[e] * inverse[t->term[e]];
        unique[u] = sum;
    }
}

static void fill_block(const PairTable *t, const double *unique, double scale, int rows, int ld, double *block) {
    memset(block, 0, sizeof(double) * (size_t)(rows * ld));
    for (int64_t e = 0; e < t->n_entries; e++) block[t->row[e] * ld + t->col[e]] = scale * unique[t->unique[e]];
}

typedef struct { /* one overlap (la, lb, m) and its derivatives */
    double value, by_mu, by_nu; /* S; Σ c a_{i+1} b_j and Σ c a_i ∂b_j/∂t, with the norm of S */
} Overlap;

/* exp(−p − tν) at the nodes, with its power series where |t| is small, and the derivative by t */
static void exponentials(const Tables *tab, double p, double t, int series, double *value, double *slope) {
    double decay = fast_exp(-p), size = fabs(t);
    const double *nodes = tab->nodes;
    int top = series - 1;
    const double *last = tab->series + 3 * top;
    if (size - last[0] + last[2] > 0) {
        for (int g = 0; g < N_NODES; g++) {
            value[g] = fast_exp(-t * nodes[g] - p);
            slope[g] = -nodes[g] * value[g];
        }
    }
    for (int k = top; k >= 0; k--) {
        const double *row = tab->series + 3 * k;
        double half = row[2], beyond = (size - row[0] + half) / (2 * half), slant = 1.0 / (2 * half);
        if (beyond >= 1.0) continue;
        if (beyond <= 0.0) beyond = slant = 0.0;
        double blend = beyond * beyond * beyond * (10 + beyond * (6 * beyond - 15));
        double d_blend = 30 * square(beyond * (1 - beyond)) * slant * (t < 0 ? -1.0 : 1.0);
        int degree = (int)row[1];
        double total[N_NODES], lower[N_NODES]; /* the series, and without its last term */
        for (int g = 0; g < N_NODES; g++) total[g] = lower[g] = 1.0;
        for (int m = degree; m > 0; m--) {
            double inverse = 1.0 / m, shorter = m < degree ? 1.0 / m : 0.0;
            for (int g = 0; g < N_NODES; g++) {
                double x = -t * nodes[g];
                total[g] = 1.0 + total[g] * x * inverse;
                lower[g] = 1.0 + lower[g] * x * shorter;
            }
        }
        if (blend == 0.0)
            for (int g = 0; g < N_NODES; g++) value[g] = decay * total[g], slope[g] = -nodes[g] * decay * lower[g];
        else
            for (int g = 0; g < N_NODES; g++) {
                double s = decay * total[g], d = -nodes[g] * decay * lower[g];
                slope[g] = blend * slope[g] + (1 - blend) * d + d_blend * (value[g] - s);
                value[g] = blend * value[g] + (1 - blend) * s;
            }
    }
}

/* How many rows of the table of series apply: fewer for the shells that MOPAC has closed formulas for. */
static int series_length(const int32_t *a, int shells_a, const int32_t *b, int shells_b) {
    int mixed = 0, most = 0;
    for (int k = 0; k < shells_a; k++) mixed |= a[k] != a[0], most = a[k] > most ? a[k] : most;
    for (int k = 0; k < shells_b; k++) mixed |= b[k] != b[0], most = b[k] > most ? b[k] : most;
    if (mixed || shells_a > 2 || shells_b > 2 || most > 3) return 4;
    return a[0] == 3 && b[0] == 3 ? 2 : 1;
}

INLINE double dot24(const double *x, const double *y) {
    v4 sum = wide(0.0);
    for (int g = 0; g < N_NODES; g += 4) sum += *(const v4 *)(x + g) * *(const v4 *)(y + g);
    return sum[0] + sum[1] + sum[2] + sum[3];
}

INLINE double power(double x, int n) {
    double result = 1.0;
    for (int k = 0; k < n; k++) result *= x;
    return result;
}

/* Overlaps of the shells of A and B at r bohr, in the order of la, lb, m. norm: (2ζ)^(n+½)/√(2n)! of each shell. */
static int local_overlaps(const Tables *tab, double r, const double *zeta_a, const double *norm_a,
                          const int32_t *principal_a, int shells_a, const double *zeta_b, const double *norm_b,
                          const int32_t *principal_b, int shells_b, Overlap *out) {
    int series = series_length(principal_a, shells_a, principal_b, shells_b), count = 0;
    for (int la = 0; la < shells_a; la++)
        for (int lb = 0; lb < shells_b; lb++) {
            int na = principal_a[la], nb = principal_b[lb];
            const OverlapTable *o = tab->overlap[((na - 1) * 3 + la) * N_SHELLS + (nb - 1) * 3 + lb];
            double p = 0.5 * r * (zeta_a[la] + zeta_b[lb]), t = 0.5 * r * (zeta_a[la] - zeta_b[lb]), inverse = 1.0 / p;
            double a[20], b[20], b_slope[20], value[N_NODES], slope[N_NODES];
            exponentials(tab, p, t, series, value, slope);
            a[0] = inverse;
            for (int k = 1; k <= o->top; k++) a[k] = (1.0 + k * a[k - 1]) * inverse;
            for (int k = 0; k < o->top; k++) {
                const double *w = tab->powers + k * N_NODES;
                b[k] = dot24(w, value);
                b_slope[k] = dot24(w, slope);
            }
            double norm = norm_a[la] * norm_b[lb] * power(0.5 * r, na + nb + 1);
            int most = la < lb ? la : lb;
            for (int m = 0; m <= most; m++) out[count + m] = (Overlap){0, 0, 0};
            for (int64_t e = 0; e < o->n_terms; e++) {
                Overlap *s = out + count + o->m[e];
                int i = o->i[e], j = o->j[e];
                double c = norm * o->c[e];
                s->value += c * a[i] * b[j];
                s->by_mu += c * a[i + 1] * b[j];
                s->by_nu += c * a[i] * b_slope[j];
            }
            count += most + 1;
        }
    return count;
}

/* Whether overlaps count at r bohr: they fall like exp(−ζr) of the smallest ζ, here to 1e-16 */
static int overlap_at(double r, const double *zeta_a, int shells_a, const double *zeta_b, int shells_b) {
    double least = INFINITY;
    for (int l = 0; l < shells_a; l++) least = fmin(least, zeta_a[l]);
    for (int l = 0; l < shells_b; l++) least = fmin(least, zeta_b[l]);
    return least * r < NEGLIGIBLE;
}

INLINE int orbital_of(int l, int m, int second) { /* position of the orbital l, ±m */
    static const int at[3][3][2] = {{{0, 0}, {0, 0}, {0, 0}}, {{3, 3}, {1, 2}, {0, 0}}, {{6, 6}, {5, 7}, {4, 8}}};
    return at[l][m][second];
}
#endif
