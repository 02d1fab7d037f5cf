/* A molecule, what the core keeps of it, and where. */
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
    const double *surrounding, *reaction; /* [products], [products][reaction_ld], or NULL; see surroundings.h */
    int64_t reaction_ld;
    double *h;                       /* [orbitals][ld] core Hamiltonian, eV */
    double *charge, *potential, *full, *packed; /* scratch of the Fock matrix */
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
    f->packed = NEW(double, charges);
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

static void vector_between(const Field *f, int a, int b, double u[3], double *r) {
    double s = 0.0;
    for (int k = 0; k < 3; k++) u[k] = f->positions[3 * b + k] - f->positions[3 * a + k], s += u[k] * u[k];
    *r = sqrt(s);
    for (int k = 0; k < 3; k++) u[k] /= *r;
}
#endif
