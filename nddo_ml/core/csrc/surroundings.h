/* What surrounds a molecule: a potential V for its one-centre products, and a matrix M by which it answers their
 * charges. In both, the products of an atom stand in packed order: μν at μ(μ + 1)/2 + ν. */
#ifndef NDDO_SURROUNDINGS_H
#define NDDO_SURROUNDINGS_H
#include "field.h"

INLINE int packed_place(const Tables *t, int product) {
    int m = t->product_a[product];
    return m * (m + 1) / 2 + t->product_b[product];
}

/* V on the diagonal blocks of the core Hamiltonian */
static void add_surroundings(Field *f) {
    if (!f->surrounding) return;
    for (int a = 0; a < f->n_atoms; a++) {
        double *h = f->h + f->first[a] * (f->ld + 1);
        const double *v = f->surrounding + f->charge_at[a];
        for (int i = 0; i < n_products(f->width[a]); i++) {
            int m = f->tables->product_a[i], n = f->tables->product_b[i];
            double value = v[packed_place(f->tables, i)];
            h[m * f->ld + n] += value;
            if (m != n) h[n * f->ld + m] += value;
        }
    }
}

/* M times the charges of all products, added to their potential */
static void add_answer(Field *f) {
    if (!f->reaction) return;
    int n = 0;
    for (int a = 0; a < f->n_atoms; a++)
        for (int i = 0; i < n_products(f->width[a]); i++, n++)
            f->packed[f->charge_at[a] + packed_place(f->tables, i)] = f->charge[n];
    for (int a = 0; a < f->n_atoms; a++)
        for (int i = 0; i < n_products(f->width[a]); i++) {
            int64_t row = f->charge_at[a] + packed_place(f->tables, i);
            f->potential[f->charge_at[a] + i] += dot(n, f->reaction + row * f->reaction_ld, f->packed);
        }
}
#endif
