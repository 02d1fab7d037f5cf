/* Energy at a density and its derivatives by positions and parameters, pair by pair in closed form. */
#ifndef NDDO_GRADIENT_H
#define NDDO_GRADIENT_H
#include "fock.h"
#include "integrals.h"
#include "repulsion.h"

typedef struct {
    double core;
    double *by_position;  /* [atoms][3] eV/Å, or NULL */
    double *by_parameter; /* [atoms][P_DIFFERENTIABLE], or NULL */
    double *by_factor;    /* [pairs][N_FACTORS], or NULL */
} Gradient;

/* Weights of the two-centre integrals: P_μν P_λσ − Σ_σ P_μλ P_νσ over the members of packed products */
static void two_center_weights(const Field *f, int a, int b, const double *density, int ld, double *out) {
    const int32_t *one = f->tables->product_a, *two = f->tables->product_b;
    int na = n_products(f->width[a]), nb = n_products(f->width[b]), wb = f->width[b];
    const double *qa = f->charge + f->charge_at[a], *qb = f->charge + f->charge_at[b];
    double scale = f->n_spins == 1 ? 1.0 : 0.5, block[2][81];
    for (int spin = 0; spin < f->n_spins; spin++)
        for (int m = 0; m < f->width[a]; m++)
            for (int l = 0; l < wb; l++)
                block[spin][m * wb + l] = density[spin * f->plane + (f->first[a] + m) * f->ld + f->first[b] + l];
    for (int i = 0; i < na; i++)
        for (int j = 0; j < nb; j++) {
            int m = one[i], n = two[i], l = one[j], s = two[j];
            double exchange = 0.0, members = (m == n ? 1.0 : 2.0) * (l == s ? 1.0 : 2.0);
            for (int spin = 0; spin < f->n_spins; spin++) {
                const double *p = block[spin];
                exchange += p[m * wb + l] * p[n * wb + s] + p[m * wb + s] * p[n * wb + l];
            }
            out[i * ld + j] = qa[i] * qb[j] - scale * members * exchange;
        }
}

static void add_core_weights(const Field *f, int a, int b, int cores, int ld, double *out) {
    int na = n_products(f->width[a]), nb = n_products(f->width[b]);
    const double *qa = f->charge + f->charge_at[a], *qb = f->charge + f->charge_at[b];
    if (cores) {
        for (int i = 0; i <= na; i++) out[i * ld + nb] = 0.0;
        for (int j = 0; j <= nb; j++) out[na * ld + j] = 0.0;
    }
    for (int i = 0; i < na; i++) out[i * ld + (cores ? nb : 0)] -= f->parameters[b][P_CHARGE] * qa[i];
    for (int j = 0; j < nb; j++) out[(cores ? na * ld : 0) + j] -= f->parameters[a][P_CHARGE] * qb[j];
}

/* Derivatives by charge separations and additive radii; unit × weight[k] is that of the interaction of charges k. */
static void by_multipoles(double unit, const PairTable *t, const double *pa, const double *pb, double r,
                          const double *along, const double *inverse, const double *weight, double *by_a,
                          double *by_b) {
    int64_t n = t->n_terms, na = t->n_separations_a, all = na + t->n_separations_b;
    double cube[MAX_TERMS], x[MAX_TERMS], y[MAX_TERMS];
    for (int64_t k = 0; k < n; k++) {
        cube[k] = -unit * weight[k] * inverse[k] * inverse[k] * inverse[k];
        x[k] = y[k] = 0.0;
        double rho = pa[t->radius_a[k]] + pb[t->radius_b[k]];
        by_a[t->radius_a[k]] += cube[k] * rho;
        by_b[t->radius_b[k]] += cube[k] * rho;
    }
    for (int64_t s = 0; s < all; s++) {
        double d = s < na ? pa[P_SEPARATION + s] : pb[P_SEPARATION + s - na];
        axpy(n, d, t->x + s * n, x);
        axpy(n, d, t->y + s * n, y);
    }
    for (int64_t s = 0; s < all; s++) {
        double sum = 0.0;
        const double *tz = t->z + s * n, *tx = t->x + s * n, *ty = t->y + s * n;
        for (int64_t k = 0; k < n; k++) sum += cube[k] * ((r + along[k]) * tz[k] + x[k] * tx[k] + y[k] * ty[k]);
        *(s < na ? by_a + P_SEPARATION + s : by_b + P_SEPARATION + s - na) += sum;
    }
}

/* Two-electron part: by the distance (eV/bohr), torques, parameters */
static double two_electron_slope(Field *f, int a, int b, double r, const Rotation *rotation, const double *density,
                                 Arena *arena, double torque[2], double *by_a, double *by_b) {
    const Tables *tab = f->tables;
    double scratch[2 * MAX_TERMS], inverse[MAX_TERMS], unique[MAX_UNIQUE], on_unique[MAX_UNIQUE], weight[MAX_TERMS];
    double local[MAX_ROWS * MAX_COLS], turned[MAX_ROWS * MAX_COLS], weights[MAX_ROWS * MAX_COLS];
    const double *along, *apart;
    const PairTable *t = places_of(f, a, b, arena, scratch, &along, &apart);
    int cores = has_cores(f, a, b), wa = f->width[a], wb = f->width[b];
    int rows = n_products(wa) + cores, cols = n_products(wb) + cores, ld = columns_of(cols);
    Limit limit = limit_at(f, r);
    local_integrals(t, r, along, apart, inverse, unique);
    if (cols < ld) memset(weights, 0, sizeof(double) * (size_t)(rows * ld));
    two_center_weights(f, a, b, density, ld, weights);
    add_core_weights(f, a, b, cores, ld, weights);
    rotate_products(rotation, n_shells(wa), n_shells(wb), cores, 1, weights, turned);
    if (wa > 1) {
        double about[2] = {0, 0};
        local_block(f, a, b, t, unique, &limit, ld, local);
        add_torque(&tab->product[n_shells(wa) - 1], &tab->product[n_shells(wb) - 1], rows, cols, ld, local, turned,
                   about);
        torque[0] += about[0], torque[1] += about[1];
    }
    double of_limit = unchanged_weights(f, a, b, ld, turned);
    memset(on_unique, 0, sizeof(double) * (size_t)t->n_unique);
    memset(weight, 0, sizeof(double) * (size_t)t->n_terms);
    for (int64_t e = 0; e < t->n_entries; e++) on_unique[t->unique[e]] += turned[t->row[e] * ld + t->col[e]];
    for (int64_t u = 0; u < t->n_unique; u++)
        for (int32_t e = t->first[u]; e < t->first[u + 1]; e++) weight[t->term[e]] += t->weight[e] * on_unique[u];
    double slope = 0.0, sum = 0.0; /* of the point charges: Σ weight ∂I/∂r, Σ weight I */
#pragma omp simd reduction(+ : slope, sum)
    for (int64_t k = 0; k < t->n_terms; k++) {
        slope -= weight[k] * (r + along[k]) * inverse[k] * inverse[k] * inverse[k];
        sum += weight[k] * inverse[k];
    }
    double unit = limit.weight * tab->hartree;
    if (by_a) by_multipoles(unit, t, f->parameters[a], f->parameters[b], r, along, inverse, weight, by_a, by_b);
    return slope * unit + sum * limit.weight_slope * tab->hartree + of_limit * limit.point_slope;
}

/* Resonance integrals: by the distance (eV/bohr), torques, parameters */
static double resonance_slope(Field *f, int a, int b, int64_t k, double r, const Rotation *rotation,
                              const double *density, double torque[2], double *by_a, double *by_b,
                              double *by_factor) {
    const Tables *tab = f->tables;
    int wa = f->width[a], wb = f->width[b], count = 0;
    double weights[81], turned[81], local[81], slope = 0.0, scale = f->n_spins == 1 ? 4.0 : 2.0;
    for (int m = 0; m < wa; m++)
        for (int l = 0; l < wb; l++) {
            const double *p = density + (f->first[a] + m) * f->ld + f->first[b] + l;
            weights[m * wb + l] = scale * (f->n_spins == 1 ? p[0] : p[0] + p[f->plane]);
        }
    rotate_orbitals(rotation, wa, wb, 1, weights, turned);
    const Overlap *s = f->overlap + f->overlap_at[k];
    const double *pa = f->parameters[a], *pb = f->parameters[b];
    for (int la = 0; la < n_shells(wa); la++)
        for (int lb = 0; lb < n_shells(wb); lb++) {
            double beta = 0.5 * (pa[P_BETA + la] + pb[P_BETA + lb]), za = pa[P_ZETA + la], zb = pb[P_ZETA + lb];
            double p = 0.5 * r * (za + zb), t = 0.5 * r * (za - zb);
            int na = f->integers[a][I_PRINCIPAL + la], nb = f->integers[b][I_PRINCIPAL + lb];
            for (int m = 0; m <= (la < lb ? la : lb); m++, count++) {
                const Overlap *o = s + count;
                double w = 0.0;
                for (int second = 0; second <= (m > 0); second++)
                    w += turned[orbital_of(la, m, second) * wb + orbital_of(lb, m, second)];
                if (by_factor) by_factor[count] += w * beta * o->value;
                w *= factor_of(f, k, count);
                slope += w * beta * ((na + nb + 1) * o->value - p * o->by_mu + t * o->by_nu) / r;
                if (!by_a) continue;
                by_a[P_BETA + la] += 0.5 * w * o->value, by_b[P_BETA + lb] += 0.5 * w * o->value;
                by_a[P_ZETA + la] += w * beta * ((na + 0.5) / za * o->value + 0.5 * r * (o->by_nu - o->by_mu));
                by_b[P_ZETA + lb] += w * beta * ((nb + 0.5) / zb * o->value - 0.5 * r * (o->by_nu + o->by_mu));
            }
        }
    if (wa > 1) {
        local_resonance(f, a, b, k, local);
        add_torque(&tab->orbital[n_shells(wa) - 1], &tab->orbital[n_shells(wb) - 1], wa, wb, wb, local, turned, torque);
    }
    return slope;
}

static void one_center_parameters(const Field *f, int a, const double *density, double *by) {
    const Tables *tab = f->tables;
    const OneCenter *o = &tab->one_center[n_shells(f->width[a]) - 1];
    const double *q = f->charge + f->charge_at[a];
    int64_t corner = f->first[a] * (f->ld + 1), ld = f->ld;
    double scale = f->n_spins == 1 ? 1.0 : 0.5;
    for (int l = 0; l < n_shells(f->width[a]); l++)
        for (int m = 0; m < ORBITAL_SIZE[l]; m++) {
            int orbital = ORBITAL_AT[l] + m;
            for (int spin = 0; spin < f->n_spins; spin++)
                by[P_U + l] += (f->n_spins == 1 ? 2.0 : 1.0) * density[spin * f->plane + corner + orbital * (ld + 1)];
        }
    for (int64_t e = 0; e < o->n_entries; e++) {
        int i = o->row[e], j = o->col[e];
        int m = tab->product_a[i], n = tab->product_b[i], l = tab->product_a[j], s = tab->product_b[j];
        double exchange = 0.0, members = (m == n ? 1.0 : 2.0) * (l == s ? 1.0 : 2.0);
        for (int spin = 0; spin < f->n_spins; spin++) {
            const double *p = density + spin * f->plane + corner;
            exchange += p[m * ld + l] * p[n * ld + s] + p[m * ld + s] * p[n * ld + l];
        }
        double weight = 0.5 * (q[i] * q[j] - scale * members * exchange);
        for (int32_t k = o->first[e]; k < o->first[e + 1]; k++) by[P_RADIAL + o->radial[k]] += o->value[k] * weight;
    }
}

/* Core energy, and the derivatives of the whole energy at a frozen density where they are asked for. */
static void differentiate(Field *f, const double *density, Gradient *g, Arena *arena) {
    int n = f->n_atoms;
    int64_t k = 0, at = 0;
    double *total = f->full;
    g->core = 0.0;
    if (g->by_position)
        for (int a = 0; a < n; a++) charges_of_atom(f, a, density, f->charge + f->charge_at[a], total + at);
    if (g->by_parameter)
        for (int a = 0; a < n; a++) one_center_parameters(f, a, density, g->by_parameter + a * P_DIFFERENTIABLE);
    for (int a = 0; a < n; a++)
        for (int b = a + 1; b < n; b++, k++) {
            double u[3], distance, torque[2] = {0, 0};
            double *by_a = g->by_parameter ? g->by_parameter + a * P_DIFFERENTIABLE : NULL;
            double *by_b = by_a ? g->by_parameter + b * P_DIFFERENTIABLE : NULL;
            double *by_factor = g->by_factor ? g->by_factor + k * N_FACTORS : NULL;
            double factor = factor_of(f, k, MAX_OVERLAPS);
            vector_between(f, a, b, u, &distance);
            Repulsion repulsion = repulsion_of(f, a, b, distance, factor, by_a, by_b);
            g->core += factor * repulsion.energy;
            if (by_factor) by_factor[MAX_OVERLAPS] = repulsion.energy;
            if (!g->by_position) continue;
            Rotation rotation;
            rotation_to(f->tables, u, n_shells(f->width[a]), &rotation);
            double r = distance / f->tables->bohr;
            double slope = two_electron_slope(f, a, b, r, &rotation, density, arena, torque, by_a, by_b);
            if (overlap_at(r, f->parameters[a] + P_ZETA, n_shells(f->width[a]), f->parameters[b] + P_ZETA,
                           n_shells(f->width[b])))
                slope += resonance_slope(f, a, b, k, r, &rotation, density, torque, by_a, by_b, by_factor);
            double along = slope / f->tables->bohr + factor * repulsion.by_distance;
            double x = torque[1] / distance, y = -torque[0] / distance;
            for (int c = 0; c < 3; c++) {
                double d = x * rotation.frame[0][c] + y * rotation.frame[1][c] + along * u[c];
                g->by_position[3 * b + c] += d;
                g->by_position[3 * a + c] -= d;
            }
        }
}
#endif
