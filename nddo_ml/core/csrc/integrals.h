/* Integrals of a molecule. */
#ifndef NDDO_INTEGRALS_H
#define NDDO_INTEGRALS_H
#include "limits.h"
#include "surroundings.h"

/* ½ (β_μ + β_λ) times the overlap of pair k in the local frame, [width_a][width_b] */
static void local_resonance(const Field *f, int a, int b, int64_t k, double *out) {
    const Overlap *s = f->overlap + f->overlap_at[k];
    int wa = f->width[a], wb = f->width[b], count = 0;
    memset(out, 0, sizeof(double) * (size_t)(wa * wb));
    for (int la = 0; la < n_shells(wa); la++)
        for (int lb = 0; lb < n_shells(wb); lb++) {
            double beta = 0.5 * (f->parameters[a][P_BETA + la] + f->parameters[b][P_BETA + lb]);
            for (int m = 0; m <= (la < lb ? la : lb); m++, count++) {
                double value = beta * s[count].value * factor_of(f, k, count);
                for (int second = 0; second <= (m > 0); second++)
                    out[orbital_of(la, m, second) * wb + orbital_of(lb, m, second)] = value;
            }
        }
}

static void add_attraction(const Field *f, int a, int of, const double *block, int step) {
    /* −Z (μν|core) on the diagonal block of a */
    double z = f->parameters[of][P_CHARGE], *h = f->h + f->first[a] * (f->ld + 1);
    for (int i = 0; i < n_products(f->width[a]); i++) {
        int m = f->tables->product_a[i], v = f->tables->product_b[i];
        double value = z * block[i * step];
        h[m * f->ld + v] -= value;
        if (m != v) h[v * f->ld + m] -= value;
    }
}

static void one_center_of(Field *f, int a) {
    const OneCenter *o = &f->tables->one_center[n_shells(f->width[a]) - 1];
    double *w = f->one_center + f->one_at[a];
    for (int64_t e = 0; e < o->n_entries; e++) {
        w[e] = 0.0;
        for (int32_t k = o->first[e]; k < o->first[e + 1]; k++)
            w[e] += o->value[k] * f->parameters[a][P_RADIAL + o->radial[k]];
    }
}

static void build_pair(Field *f, int a, int b, int64_t k, Arena *arena) {
    const Tables *tab = f->tables;
    double u[3], r, scratch[2 * MAX_TERMS], inverse[MAX_TERMS], unique[MAX_UNIQUE];
    double local[MAX_ROWS * MAX_COLS], block[MAX_ROWS * MAX_COLS], small[81], turned[81];
    const double *along, *apart;
    int wa = f->width[a], wb = f->width[b], sa = n_shells(wa), sb = n_shells(wb);
    vector_between(f, a, b, u, &r);
    Rotation rotation;
    rotation_to(tab, u, sa, &rotation);
    const PairTable *t = places_of(f, a, b, arena, scratch, &along, &apart);
    Limit limit = limit_at(f, r / tab->bohr);
    local_integrals(t, r / tab->bohr, along, apart, inverse, unique);
    int cores = has_cores(f, a, b), na = n_products(wa), nb = n_products(wb), ld = columns_of(nb + cores);
    local_block(f, a, b, t, unique, &limit, ld, local);
    rotate_products(&rotation, sa, sb, cores, 0, local, block);
    double *w = f->two_center + f->two_at[k];
    for (int j = 0; j < nb; j++) {
        int l = tab->product_a[j], s = tab->product_b[j];
        for (int i = 0; i < na; i++) w[(i * wb + l) * wb + s] = w[(i * wb + s) * wb + l] = block[i * ld + j];
    }
    add_attraction(f, a, b, block + (cores ? nb : 0), ld);
    add_attraction(f, b, a, block + (cores ? na * ld : 0), 1);
    const double *pa = f->parameters[a], *pb = f->parameters[b];
    if (!overlap_at(r / tab->bohr, pa + P_ZETA, sa, pb + P_ZETA, sb)) return;
    Overlap *overlap = f->overlap + f->overlap_at[k];
    local_overlaps(tab, r / tab->bohr, pa + P_ZETA, f->norm + 3 * a, f->integers[a] + I_PRINCIPAL, sa, pb + P_ZETA,
                   f->norm + 3 * b, f->integers[b] + I_PRINCIPAL, sb, overlap);
    local_resonance(f, a, b, k, small);
    rotate_orbitals(&rotation, wa, wb, 0, small, turned);
    for (int i = 0; i < wa; i++)
        for (int j = 0; j < wb; j++) {
            int64_t row = f->first[a] + i, col = f->first[b] + j;
            f->h[row * f->ld + col] = f->h[col * f->ld + row] = turned[i * wb + j];
        }
}

static void build_integrals(Field *f, Arena *arena) {
    memset(f->h, 0, sizeof(double) * (size_t)f->plane);
    memset(f->kept_along, 0, sizeof f->kept_along);
    for (int a = 0; a < f->n_atoms; a++) {
        const double *p = f->parameters[a];
        one_center_of(f, a);
        for (int l = 0; l < n_shells(f->width[a]); l++) {
            int n = f->integers[a][I_PRINCIPAL + l];
            f->norm[3 * a + l] = pow(2 * p[P_ZETA + l], n + 0.5) / sqrt(tgamma(2 * n + 1));
            for (int m = 0; m < ORBITAL_SIZE[l]; m++)
                f->h[(f->first[a] + ORBITAL_AT[l] + m) * (f->ld + 1)] = p[P_U + l];
        }
    }
    int64_t k = 0;
    for (int a = 0; a < f->n_atoms; a++)
        for (int b = a + 1; b < f->n_atoms; b++, k++) build_pair(f, a, b, k, arena);
    add_surroundings(f);
}
#endif
