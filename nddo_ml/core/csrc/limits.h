/* Changes of a pair's two-centre integrals in its local frame: nddo_ml.integrals.limits and MOPAC's rules for helium.
 *
 * All of them are linear in the integrals of the point charges, so that weights of changed integrals become weights
 * of those by the transposed changes in the opposite order. */
#ifndef NDDO_LIMITS_H
#define NDDO_LIMITS_H
#include "field.h"

/* products of an orbital with itself: s; p; d */
static const int DIAGONAL[9] = {0, 4, 6, 9, 30, 32, 35, 39, 44};

typedef struct { /* integrals I go over to w I + δ (1 − w) e²/R; slopes by R in bohr */
    double weight, weight_slope, point, point_slope; /* w, (1 − w) e²/R in eV */
} Limit;

/* w(R) = 1 − exp(−steepness (R − distance)²) below the distance, 0 beyond; 1 where the method has no such limit */
static Limit limit_at(const Field *f, double r) {
    const MethodTable *m = f->method;
    if (m->distance <= 0.0) return (Limit){1.0, 0.0, 0.0, 0.0};
    double x = fmin(r * f->tables->bohr - m->distance, 0.0), e = exp(-m->steepness * x * x);
    double slope = 2.0 * m->steepness * x * e * f->tables->bohr, coulomb = f->tables->hartree / r;
    return (Limit){-expm1(-m->steepness * x * x), slope, e * coulomb, -(slope + e / r) * coulomb};
}

INLINE int is_helium_with_p(const Field *f, int a) { return f->width[a] > 1 && f->integers[a][I_PERIOD] == 1; }

/* Helium's p orbitals feel no other core. */
static void leave_out_cores_of_helium(const Field *f, int a, int b, int ld, double *block) {
    int na = n_products(f->width[a]), nb = n_products(f->width[b]);
    for (int i = 1; is_helium_with_p(f, a) && i < na; i++) block[i * ld + nb] = 0.0;
    for (int j = 1; is_helium_with_p(f, b) && j < nb; j++) block[na * ld + j] = 0.0;
}

/* Products with a p orbital of helium do nothing to products with a d orbital of another atom. */
static void leave_out_d_beside_helium(const Field *f, int a, int b, int ld, double *block) {
    if (f->width[a] != 9 || f->width[b] != 4 || !is_helium_with_p(f, b)) return;
    for (int i = n_products(4); i < n_products(9); i++)
        for (int j = 1; j < n_products(4); j++) block[i * ld + j] = 0.0;
}

/* Shift members, [n][k], so that their mean is the element `target` of the first row; the transpose with `back`. */
INLINE void shift_to(double *block, int row_step, int col_step, const int *rows, int n, const int *cols, int k,
                     int target, int back) {
    double *goal = block + target * col_step, sum = 0.0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < k; j++) sum += block[rows[i] * row_step + cols[j] * col_step];
    double shift = (back ? 0.0 : *goal) - sum / (n * k);
    if (back) *goal += sum;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < k; j++) block[rows[i] * row_step + cols[j] * col_step] += shift;
}

/* The groups that d orbitals of `a` have with atom b and its core, whose column is `core`. */
static void average_d_of(const Field *f, int a, int b, int row_step, int col_step, int core, int with_dd, int back,
                         double *block) {
    if (!f->integers[a][I_AVERAGES]) return;
    const int *s = DIAGONAL, *p = DIAGONAL + 1, *d = DIAGONAL + 4;
    shift_to(block, row_step, col_step, d, 5, s, 1, 0, back);
    shift_to(block, row_step, col_step, d, 5, &core, 1, core, back);
    if (f->width[b] == 1) return;
    shift_to(block, row_step, col_step, d, 5, p, 3, 0, back);
    shift_to(block, row_step, col_step, p, 3, &core, 1, core, back);
    if (with_dd && f->integers[b][I_AVERAGES]) shift_to(block, row_step, col_step, d, 5, d, 5, 0, back);
}

static void average_d(const Field *f, int a, int b, int ld, int back, double *block) {
    average_d_of(f, a, b, ld, 1, n_products(f->width[b]), 1, back, block);
    average_d_of(f, b, a, 1, ld, n_products(f->width[a]), 0, back, block);
}

/* Where the limit of point charges stands in a block: the k-th of an atom's diagonal products, its core last. */
INLINE int diagonal_at(int k, int width) { return k < width ? DIAGONAL[k] : n_products(width); }

/* Two-centre integrals in the local frame from the distinct ones of point charges, eV. */
static void local_block(const Field *f, int a, int b, const PairTable *t, const double *unique, const Limit *limit,
                        int ld, double *block) {
    int cores = has_cores(f, a, b), wa = f->width[a], wb = f->width[b];
    fill_block(t, unique, f->tables->hartree * limit->weight, n_products(wa) + cores, ld, block);
    if (cores) leave_out_cores_of_helium(f, a, b, ld, block);
    if (limit->point > 0.0)
        for (int i = 0; i < wa + cores; i++)
            for (int j = 0; j < wb + cores; j++) block[diagonal_at(i, wa) * ld + diagonal_at(j, wb)] += limit->point;
    leave_out_d_beside_helium(f, a, b, ld, block);
    average_d(f, a, b, ld, 0, block);
}

/* Weights of the elements of local_block become those of w times the integrals; returns that of the limit. */
static double unchanged_weights(const Field *f, int a, int b, int ld, double *weights) {
    int cores = has_cores(f, a, b), wa = f->width[a], wb = f->width[b];
    double of_limit = 0.0;
    average_d(f, a, b, ld, 1, weights);
    leave_out_d_beside_helium(f, a, b, ld, weights);
    for (int i = 0; i < wa + cores; i++)
        for (int j = 0; j < wb + cores; j++) of_limit += weights[diagonal_at(i, wa) * ld + diagonal_at(j, wb)];
    if (cores) leave_out_cores_of_helium(f, a, b, ld, weights);
    return of_limit;
}
#endif
