/* Integrals of a molecule, its Fock matrix and the core repulsion. */
#ifndef NDDO_FIELD_H
#define NDDO_FIELD_H
#include "pair.h"

#define SPECIES 8 /* kinds of atoms up to which tables of pairs are kept */

typedef struct {
    const Tables *tables;
    const MethodTable *method;
    int n_atoms, n_orbitals, n_spins, n_species;
    int64_t ld, plane;               /* of matrices; elements of one */
    const double **parameters;       /* [atoms] rows */
    const int32_t **integers;
    const double *positions;         /* [atoms][3] Å */
    int *width, *first, *species;    /* [atoms] */
    double *norm;                    /* [atoms][3] of Slater functions */
    int64_t *charge_at, *two_at, *overlap_at; /* where an atom's products, a pair's integrals and overlaps begin */
    double *one_center, *two_center; /* [atoms] nonzeros; [pairs] products of a × width_b² */
    int64_t *one_at;
    Overlap *overlap;
    const double *factors;           /* [pairs][N_FACTORS], or NULL */
    double *h;                       /* [orbitals][ld] core Hamiltonian, eV */
    double *charge, *potential, *full; /* scratch of the Fock matrix */
    double *kept_along[SPECIES * SPECIES * 2], *kept_apart[SPECIES * SPECIES * 2];
} Field;

static void *take(Arena *arena, size_t bytes) {
    size_t at = (arena->used + 63) & ~(size_t)63;
    arena->used = at + bytes;
    return arena->used <= arena->size ? arena->base + at : NULL;
}
#define NEW(type, count) ((type *)take(arena, sizeof(type) * (size_t)((count) > 0 ? (count) : 1)))

/* Memory of a field; called twice, first with an empty arena to learn the size. */
static void lay_out(Field *f, Arena *arena) {
    int n = f->n_atoms;
    int64_t charges = 0, twos = 0, overlaps = 0, ones = 0, full = 0;
    f->charge_at = NEW(int64_t, n);
    f->one_at = NEW(int64_t, n);
    f->two_at = NEW(int64_t, (int64_t)n * (n - 1) / 2);
    f->overlap_at = NEW(int64_t, (int64_t)n * (n - 1) / 2);
    int fits = f->overlap_at != NULL;
    for (int a = 0, k = 0; a < n; a++) {
        int wa = f->width[a];
        if (fits) f->charge_at[a] = charges, f->one_at[a] = ones;
        charges += n_products(wa);
        full += wa * wa;
        ones += f->tables->one_center[n_shells(wa) - 1].n_entries;
        for (int b = a + 1; b < n; b++, k++) {
            int wb = f->width[b];
            if (fits) f->two_at[k] = twos, f->overlap_at[k] = overlaps;
            twos += n_products(wa) * wb * wb;
            overlaps += wb == 1 ? n_shells(wa) : wa == 4 ? 5 : wb == 4 ? 8 : MAX_OVERLAPS;
        }
    }
    f->norm = NEW(double, 3 * n);
    f->one_center = NEW(double, ones);
    f->two_center = NEW(double, twos);
    f->overlap = NEW(Overlap, overlaps);
    f->h = NEW(double, f->plane);
    f->charge = NEW(double, charges);
    f->potential = NEW(double, charges);
    f->full = NEW(double, 2 * full);
}

static int has_cores(const Field *f, int a, int b) {
    return f->integers[a][I_OWN_CORE] || f->integers[b][I_OWN_CORE];
}

/* Tables of a pair of kinds of atoms, computed once where there are few kinds. */
static const PairTable *places_of(Field *f, int a, int b, Arena *arena, double *scratch, const double **along,
                                  const double **apart) {
    int cores = has_cores(f, a, b);
    const PairTable *t = &f->tables->pair[2 * kind_of(f->width[a], f->width[b]) + cores];
    double *z = scratch, *c = scratch + MAX_TERMS;
    int slot = f->n_species <= SPECIES ? 2 * (f->species[a] * SPECIES + f->species[b]) : -1;
    if (slot >= 0 && f->kept_along[slot]) {
        *along = f->kept_along[slot], *apart = f->kept_apart[slot];
        return t;
    }
    if (slot >= 0) {
        double *kept = NEW(double, 2 * t->n_terms);
        if (kept) z = f->kept_along[slot] = kept, c = f->kept_apart[slot] = kept + t->n_terms;
    }
    charge_places(t, f->parameters[a], f->parameters[b], z, c);
    *along = z, *apart = c;
    return t;
}

INLINE double factor_of(const Field *f, int64_t pair, int which) {
    return f->factors ? f->factors[pair * N_FACTORS + which] : 1.0;
}

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

static void vector_between(const Field *f, int a, int b, double u[3], double *r) {
    double s = 0.0;
    for (int k = 0; k < 3; k++) u[k] = f->positions[3 * b + k] - f->positions[3 * a + k], s += u[k] * u[k];
    *r = sqrt(s);
    for (int k = 0; k < 3; k++) u[k] /= *r;
}

static void add_attraction(const Field *f, int a, int of, const double *block, int step) {
    /* −Z (μν|core) on the diagonal block of a; helium's p orbitals feel no other core */
    int w = f->width[a], n = w > 1 && f->integers[a][I_PERIOD] == 1 ? 1 : n_products(w);
    double z = f->parameters[of][P_CHARGE], *h = f->h + f->first[a] * (f->ld + 1);
    for (int i = 0; i < n; i++) {
        int m = f->tables->product_a[i], v = f->tables->product_b[i];
        double value = z * block[i * step];
        h[m * f->ld + v] -= value;
        if (m != v) h[v * f->ld + m] -= value;
    }
}

/* Products with a p orbital of helium do nothing to products with a d orbital of another atom. */
static void leave_out_helium(const Field *f, int a, int b, int ld, double *block) {
    if (f->width[a] != 9 || f->width[b] != 4 || f->integers[b][I_PERIOD] != 1) return;
    for (int i = n_products(4); i < n_products(9); i++)
        for (int j = 1; j < n_products(4); j++) block[i * ld + j] = 0.0;
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
    local_integrals(t, r / tab->bohr, along, apart, inverse, unique);
    int cores = has_cores(f, a, b), na = n_products(wa), nb = n_products(wb), ld = columns_of(nb + cores);
    fill_block(t, unique, tab->hartree, na + cores, ld, local);
    leave_out_helium(f, a, b, ld, local);
    rotate_products(&rotation, sa, sb, cores, 0, local, block);
    double *w = f->two_center + f->two_at[k];
    for (int j = 0; j < nb; j++) {
        int l = tab->product_a[j], s = tab->product_b[j];
        for (int i = 0; i < na; i++) w[(i * wb + l) * wb + s] = w[(i * wb + s) * wb + l] = block[i * ld + j];
    }
    add_attraction(f, a, b, block + (cores ? nb : 0), ld);
    add_attraction(f, b, a, block + (cores ? na * ld : 0), 1);
    Overlap *overlap = f->overlap + f->overlap_at[k];
    local_overlaps(tab, r / tab->bohr, f->parameters[a] + P_ZETA, f->norm + 3 * a, f->integers[a] + I_PRINCIPAL, sa,
                   f->parameters[b] + P_ZETA, f->norm + 3 * b, f->integers[b] + I_PRINCIPAL, sb, overlap);
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
}

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
