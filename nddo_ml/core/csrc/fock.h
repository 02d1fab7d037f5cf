/* The Fock matrix of a molecule at a density. */
#ifndef NDDO_FOCK_H
#define NDDO_FOCK_H
#include "surroundings.h"

/* Coulomb potentials on both atoms and −K between them, of a pair of fixed widths */
INLINE void fock_of_pair(const Tables *tab, int wa, int wb, const double *w, const double *charge_a, double *on_a,
                         const double *total_b, double *on_b, int spins, const double *density, double *fock,
                         int64_t ld, int64_t plane, int64_t ra, int64_t rb) {
    int na = wa * (wa + 1) / 2, nb = wb * wb;
    double sum_b[81] = {0};
    for (int i = 0; i < na; i++) {
        double sum = 0.0, q = charge_a[i];
        for (int k = 0; k < nb; k++) sum += w[i * nb + k] * total_b[k];
        for (int k = 0; k < nb; k++) sum_b[k] += q * w[i * nb + k];
        on_a[i] += sum;
    }
    for (int k = 0; k < nb; k++) on_b[k] += sum_b[k];
    for (int spin = 0; spin < spins; spin++) {
        const double *p = density + spin * plane + ra * ld + rb;
        double *g = fock + spin * plane, x[MAX_WIDTH][MAX_WIDTH];
        for (int m = 0; m < wa; m++)
            for (int l = 0; l < wb; l++) x[m][l] = 0.0;
        for (int i = 0; i < na; i++) {
            int m = tab->product_a[i], v = tab->product_b[i];
            const double *row = w + i * nb;
            for (int s = 0; s < wb; s++) {
                double pv = p[v * ld + s];
                for (int l = 0; l < wb; l++) x[m][l] += pv * row[s * wb + l];
            }
            if (m == v) continue;
            for (int s = 0; s < wb; s++) {
                double pm = p[m * ld + s];
                for (int l = 0; l < wb; l++) x[v][l] += pm * row[s * wb + l];
            }
        }
        for (int m = 0; m < wa; m++)
            for (int l = 0; l < wb; l++) {
                g[(ra + m) * ld + rb + l] -= x[m][l];
                g[(rb + l) * ld + ra + m] -= x[m][l];
            }
    }
}

/* a pair of s and p on A with s on B: the most frequent by far */
INLINE void fock_of_sp_s(const double *w, const double *charge_a, double *on_a, double total_b, double *on_b,
                         int spins, const double *density, double *fock, int64_t ld, int64_t plane, int64_t ra,
                         int64_t rb) {
    double sum = 0.0;
    for (int i = 0; i < 10; i++) sum += w[i] * charge_a[i], on_a[i] += w[i] * total_b;
    *on_b += sum;
    for (int spin = 0; spin < spins; spin++) {
        const double *p = density + spin * plane + ra * ld + rb;
        double *g = fock + spin * plane, s = p[0], x = p[ld], y = p[2 * ld], z = p[3 * ld];
        double k[4] = {w[0] * s + w[1] * x + w[2] * y + w[3] * z, w[1] * s + w[4] * x + w[5] * y + w[7] * z,
                       w[2] * s + w[5] * x + w[6] * y + w[8] * z, w[3] * s + w[7] * x + w[8] * y + w[9] * z};
        for (int m = 0; m < 4; m++) {
            g[(ra + m) * ld + rb] -= k[m];
            g[rb * ld + ra + m] -= k[m];
        }
    }
}

/* s and p on both */
INLINE void fock_of_sp_sp(const double *w, const double *charge_a, double *on_a, const double *total_b, double *on_b,
                          int spins, const double *density, double *fock, int64_t ld, int64_t plane, int64_t ra,
                          int64_t rb) {
    static const int one[10] = {0, 1, 2, 3, 1, 2, 2, 3, 3, 3}, two[10] = {0, 0, 0, 0, 1, 1, 2, 1, 2, 3};
    v4 *on = (v4 *)on_b;
    const v4 *t = (const v4 *)total_b, *block = (const v4 *)w;
    v4 sum[4] = {on[0], on[1], on[2], on[3]};
    for (int i = 0; i < 10; i++) {
        const v4 *row = block + 4 * i, q = wide(charge_a[i]);
        v4 potential = row[0] * t[0] + row[1] * t[1] + row[2] * t[2] + row[3] * t[3];
        for (int s = 0; s < 4; s++) sum[s] += q * row[s];
        on_a[i] += (potential[0] + potential[1]) + (potential[2] + potential[3]);
    }
    for (int s = 0; s < 4; s++) on[s] = sum[s];
    for (int spin = 0; spin < spins; spin++) {
        const double *p = density + spin * plane + ra * ld + rb;
        double *g = fock + spin * plane;
        v4 x[4] = {wide(0), wide(0), wide(0), wide(0)};
        for (int i = 0; i < 10; i++) {
            const v4 *row = block + 4 * i;
            const double *pm = p + one[i] * ld, *pn = p + two[i] * ld;
            for (int s = 0; s < 4; s++) x[one[i]] += wide(pn[s]) * row[s];
            if (one[i] == two[i]) continue;
            for (int s = 0; s < 4; s++) x[two[i]] += wide(pm[s]) * row[s];
        }
        for (int m = 0; m < 4; m++) {
            *(v4 *)(g + (ra + m) * ld + rb) -= x[m];
            for (int l = 0; l < 4; l++) g[(rb + l) * ld + ra + m] -= x[m][l];
        }
    }
}

/* the exchange of an atom with itself, and its own Coulomb potential */
static void fock_of_atom(const Field *f, int a, const double *density, double *fock) {
    const OneCenter *o = &f->tables->one_center[n_shells(f->width[a]) - 1];
    const int32_t *one = f->tables->product_a, *two = f->tables->product_b;
    const double *w = f->one_center + f->one_at[a], *q = f->charge + f->charge_at[a];
    double *v = f->potential + f->charge_at[a];
    int64_t ld = f->ld, corner = f->first[a] * (ld + 1);
    for (int64_t e = 0; e < o->n_entries; e++) {
        int i = o->row[e], j = o->col[e], m = one[i], n = two[i], l = one[j], s = two[j];
        double x = w[e];
        v[i] += x * q[j];
        for (int spin = 0; spin < f->n_spins; spin++) {
            const double *p = density + spin * f->plane + corner;
            double *g = fock + spin * f->plane + corner;
            g[m * ld + l] -= x * p[n * ld + s];
            if (l != s) g[m * ld + s] -= x * p[n * ld + l];
            if (m != n) {
                g[n * ld + l] -= x * p[m * ld + s];
                if (l != s) g[n * ld + s] -= x * p[m * ld + l];
            }
        }
    }
}

/* packed charges of an atom in `charge` and its block of the total density in `total` */
static void charges_of_atom(const Field *f, int a, const double *density, double *charge, double *total) {
    int w = f->width[a];
    const double *p = density + f->first[a] * (f->ld + 1);
    double scale = f->n_spins == 1 ? 2.0 : 1.0;
    for (int m = 0; m < w; m++)
        for (int n = 0; n < w; n++) {
            double t = p[m * f->ld + n];
            if (f->n_spins == 2) t += p[f->plane + m * f->ld + n];
            total[m * w + n] = scale * t;
        }
    for (int i = 0; i < n_products(w); i++) {
        int m = f->tables->product_a[i], n = f->tables->product_b[i];
        charge[i] = (m == n ? 1.0 : 2.0) * total[m * w + n];
    }
}

/* F_σ = h_core + J[P_α + P_β] − K[P_σ], [spins][orbitals][ld] eV; one spin is P_α = P_β of a closed shell */
static void fock_matrix(Field *f, const double *density, double *fock) {
    const Tables *tab = f->tables;
    int n = f->n_atoms, spins = f->n_spins;
    int64_t ld = f->ld, plane = f->plane, at = 0;
    int64_t squares = 0;
    for (int a = 0; a < n; a++) squares += f->width[a] * f->width[a];
    double *total = f->full, *on = f->full + squares;
    for (int spin = 0; spin < spins; spin++) memcpy(fock + spin * plane, f->h, sizeof(double) * (size_t)plane);
    for (int a = 0; a < n; a++) {
        charges_of_atom(f, a, density, f->charge + f->charge_at[a], total + at);
        memset(f->potential + f->charge_at[a], 0, sizeof(double) * (size_t)n_products(f->width[a]));
        at += f->width[a] * f->width[a];
    }
    memset(on, 0, sizeof(double) * (size_t)squares);
    int64_t k = 0, at_a = 0;
    for (int a = 0; a < n; a++) {
        int wa = f->width[a];
        at_a += wa * wa;
        int64_t at_b = at_a;
        const double *qa = f->charge + f->charge_at[a];
        double *va = f->potential + f->charge_at[a];
        for (int b = a + 1; b < n; b++, k++) {
            int wb = f->width[b];
            const double *w = f->two_center + f->two_at[k];
            int64_t ra = f->first[a], rb = f->first[b];
#define PAIR(WA, WB) \
    fock_of_pair(tab, WA, WB, w, qa, va, total + at_b, on + at_b, spins, density, fock, ld, plane, ra, rb)
            switch (kind_of(wa, wb)) {
            case 0: PAIR(1, 1); break;
            case 1: fock_of_sp_s(w, qa, va, total[at_b], on + at_b, spins, density, fock, ld, plane, ra, rb); break;
            case 2:
                fock_of_sp_sp(w, qa, va, total + at_b, on + at_b, spins, density, fock, ld, plane, ra, rb);
                break;
            case 3: PAIR(9, 1); break;
            case 4: PAIR(9, 4); break;
            default: PAIR(9, 9);
            }
            at_b += wb * wb;
        }
    }
    add_answer(f);
    at = 0;
    for (int a = 0; a < n; a++) {
        int w = f->width[a];
        const double *v = f->potential + f->charge_at[a];
        fock_of_atom(f, a, density, fock);
        for (int spin = 0; spin < spins; spin++) {
            double *g = fock + spin * plane + f->first[a] * (ld + 1);
            for (int i = 0; i < n_products(w); i++) {
                int m = tab->product_a[i], l = tab->product_b[i];
                g[m * ld + l] += v[i] + on[at + m * w + l];
                if (m != l) g[l * ld + m] += v[i] + on[at + l * w + m];
            }
        }
        at += w * w;
    }
}
#endif
