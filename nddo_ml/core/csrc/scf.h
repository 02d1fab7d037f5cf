/* The accelerated loop of the self-consistent field: the algorithm of nddo_ml.scf.loop. */
#ifndef NDDO_SCF_H
#define NDDO_SCF_H
#include "fock.h"

#define MIN_GAP 1.0      /* eV, floor of orbital-energy differences in the preconditioner */
#define MAX_ROTATION 1.2 /* largest element of a rotation about one reference */
#define RENEW 12         /* iterations after which the reference is chosen anew */
#define BONDING 1.5      /* scale of the first Fock matrix between atoms */

typedef struct { /* of one spin: a reference and the rotation about it */
    int64_t n_occupied, n_empty, ld_occupied;
    double *orbitals;   /* [orbitals][ld] rows: occupied ones, then empty ones */
    double *energies;   /* [orbitals] eV */
    double *x, *inverse_gap, *residual; /* [empty][ld_occupied] */
    double *rotated;    /* [occupied][ld] orthonormal occupied orbitals */
} Spin;

typedef struct {
    Field *field;
    Options options;
    Spin spin[2];
    double *density, *fock;  /* [spins][orbitals][ld] */
    double *work, *columns, *gram, *small; /* [orbitals][ld] thrice each; [occupied][ld_occupied] */
    double *steps, *moved;   /* [history][rotation] */
    int64_t rotation;        /* elements of all rotations */
    double products[HISTORY_LIMIT * HISTORY_LIMIT];
    double energy, residual_size;
    int64_t iterations;
} State;

static void lay_out_state(State *s, Arena *arena) {
    Field *f = s->field;
    int64_t most = 0;
    s->rotation = 0;
    for (int k = 0; k < f->n_spins; k++) {
        Spin *p = &s->spin[k];
        p->n_empty = f->n_orbitals - p->n_occupied;
        p->ld_occupied = padded(p->n_occupied);
        most = p->ld_occupied > most ? p->ld_occupied : most;
        s->rotation += p->n_empty * p->ld_occupied;
    }
    s->density = NEW(double, f->n_spins * f->plane);
    s->fock = NEW(double, f->n_spins * f->plane);
    s->work = NEW(double, 2 * f->plane);
    s->columns = NEW(double, 2 * f->n_orbitals * most);
    s->gram = NEW(double, most * most);
    s->small = NEW(double, 8 * f->ld);
    double *x = NEW(double, 3 * s->rotation);
    for (int k = 0; k < f->n_spins; k++) {
        Spin *p = &s->spin[k];
        int64_t size = p->n_empty * p->ld_occupied;
        p->orbitals = NEW(double, f->plane);
        p->energies = NEW(double, f->n_orbitals);
        p->rotated = NEW(double, p->n_occupied * f->ld);
        p->x = x, p->inverse_gap = x ? x + s->rotation : x, p->residual = x ? x + 2 * s->rotation : x;
        if (x) x += size;
    }
    s->steps = NEW(double, s->options.history * s->rotation);
    s->moved = NEW(double, s->options.history * s->rotation);
}

/* Every atom neutral, its electrons spread evenly over its orbitals, scaled to the electrons of each spin. */
static void initial_density(State *s) {
    const Field *f = s->field;
    double total = 0.0;
    for (int a = 0; a < f->n_atoms; a++)
        for (int l = 0; l < n_shells(f->width[a]); l++) total += f->parameters[a][P_POPULATION + l];
    total = total < 1.0 ? 1.0 : total;
    for (int spin = 0; spin < f->n_spins; spin++) {
        double *p = s->density + spin * f->plane, scale = (double)s->spin[spin].n_occupied / total;
        memset(p, 0, sizeof(double) * (size_t)f->plane);
        for (int a = 0; a < f->n_atoms; a++)
            for (int l = 0; l < n_shells(f->width[a]); l++)
                for (int m = 0; m < ORBITAL_SIZE[l]; m++)
                    p[(f->first[a] + ORBITAL_AT[l] + m) * (f->ld + 1)] =
                        scale * f->parameters[a][P_POPULATION + l] / ORBITAL_SIZE[l];
    }
}

static void scale_between_atoms(const Field *f, double *fock, double scale) {
    for (int a = 0; a < f->n_atoms; a++)
        for (int m = f->first[a]; m < f->first[a] + f->width[a]; m++)
            for (int l = 0; l < f->n_orbitals; l++)
                if (l < f->first[a] || l >= f->first[a] + f->width[a]) fock[m * f->ld + l] *= scale;
}

static int diagonalize(State *s) {
    const Field *f = s->field;
    for (int k = 0; k < f->n_spins; k++) {
        Spin *p = &s->spin[k];
        memcpy(s->work, s->fock + k * f->plane, sizeof(double) * (size_t)f->plane);
        if (!eigen(f->n_orbitals, s->work, f->ld, p->energies, p->orbitals, s->small)) return 0;
    }
    return 1;
}

/* P = CᵀC of the occupied orbitals, given as rows */
static void density_of(const Field *f, const Spin *p, const double *rows, double *density) {
    multiply(f->n_orbitals, f->n_orbitals, p->n_occupied, rows, 1, f->ld, rows, f->ld, density, f->ld, 0);
}

/* C_emptyᵀ (1 − P) F C, [empty][ld_occupied], of occupied orbitals as rows */
static void rotation_residual(State *s, int k, const double *rows) {
    const Field *f = s->field;
    Spin *p = &s->spin[k];
    int64_t n = f->n_orbitals, o = p->n_occupied, lo = p->ld_occupied;
    double *columns = s->columns, *force = s->columns + n * lo;
    const double *empty = p->orbitals + o * f->ld;
    memset(columns, 0, sizeof(double) * (size_t)(n * lo));
    transpose(o, n, rows, f->ld, columns, lo);
    multiply(n, o, n, s->fock + k * f->plane, f->ld, 1, columns, lo, force, lo, 0);
    if (2 * o < n) {
        multiply(o, o, n, rows, f->ld, 1, force, lo, s->gram, lo, 0);
        multiply(n, o, o, columns, lo, 1, s->gram, lo, force, lo, -1);
    } else {
        memcpy(columns, force, sizeof(double) * (size_t)(n * lo));
        multiply(n, o, n, s->density + k * f->plane, f->ld, 1, columns, lo, force, lo, -1);
    }
    multiply(p->n_empty, o, n, empty, f->ld, 1, force, lo, p->residual, lo, 0);
}

static double largest(int64_t n, const double *x) {
    double most = 0.0;
    for (int64_t k = 0; k < n; k++) most = fabs(x[k]) > most ? fabs(x[k]) : most;
    return most;
}

/* Fock matrix, residual and energy of the density, whose occupied orbitals are the rows given */
static void evaluate(State *s, int reference) {
    Field *f = s->field;
    for (int k = 0; k < f->n_spins; k++)
        density_of(f, &s->spin[k], reference ? s->spin[k].orbitals : s->spin[k].rotated, s->density + k * f->plane);
    fock_matrix(f, s->density, s->fock);
    for (int k = 0; k < f->n_spins; k++)
        rotation_residual(s, k, reference ? s->spin[k].orbitals : s->spin[k].rotated);
    s->residual_size = largest(s->rotation, s->spin[0].residual);
}

static double energy_of(const State *s) {
    const Field *f = s->field;
    double sum = 0.0;
    for (int k = 0; k < f->n_spins; k++) {
        sum += dot(f->plane, s->density + k * f->plane, f->h);
        sum += dot(f->plane, s->density + k * f->plane, s->fock + k * f->plane);
    }
    return f->n_spins == 1 ? sum : 0.5 * sum;
}

static void fill_inverse_gaps(State *s) {
    for (int k = 0; k < s->field->n_spins; k++) {
        Spin *p = &s->spin[k];
        for (int64_t v = 0; v < p->n_empty; v++)
            for (int64_t o = 0; o < p->ld_occupied; o++) {
                double gap = o < p->n_occupied ? p->energies[p->n_occupied + v] - p->energies[o] : INFINITY;
                p->inverse_gap[v * p->ld_occupied + o] = 1.0 / (gap > MIN_GAP ? gap : MIN_GAP);
            }
    }
}

/* Σ c_k (x_k + step_k), Σ c = 1, whose combined step is shortest; x in, the next x out */
static void accelerate_step(State *s, int count) {
    int history = (int)s->options.history, slot = count % history, used = count + 1 < history ? count + 1 : history;
    int64_t n = s->rotation;
    double *step = s->steps + slot * n, *moved = s->moved + slot * n, *x = s->spin[0].x;
    const double *residual = s->spin[0].residual, *inverse = s->spin[0].inverse_gap;
    for (int64_t k = 0; k < n; k++) step[k] = -residual[k] * inverse[k], moved[k] = x[k] + step[k];
    for (int j = 0; j < used; j++)
        s->products[slot * HISTORY_LIMIT + j] = s->products[j * HISTORY_LIMIT + slot] = dot(n, s->steps + j * n, step);
    memcpy(x, moved, sizeof(double) * (size_t)n);
    if (used == 1) return;
    double matrix[(HISTORY_LIMIT + 1) * (HISTORY_LIMIT + 1)], right[HISTORY_LIMIT + 1], scale = INFINITY;
    int ld = used + 1;
    for (int i = 0; i < used; i++) scale = fmin(scale, s->products[i * (HISTORY_LIMIT + 1)]);
    scale = fmax(scale, 1e-300);
    for (int i = 0; i < used; i++) {
        for (int j = 0; j < used; j++) {
            double g = s->products[i * HISTORY_LIMIT + j];
            matrix[i * ld + j] = (i == j ? g + 1e-10 * g : g) / scale;
        }
        matrix[i * ld + used] = matrix[used * ld + i] = 1.0;
        right[i] = 0.0;
    }
    matrix[used * ld + used] = 0.0;
    right[used] = 1.0;
    if (!solve_small(ld, matrix, ld, right)) return;
    for (int64_t k = 0; k < n; k++) x[k] = right[0] * s->moved[k];
    for (int j = 1; j < used; j++) axpy(n, right[j], s->moved + j * n, x);
}

/* orthonormal (C_occ + C_empty x)(1 + xᵀx)^(−1/2) up to a rotation among themselves, as rows */
static int rotate_occupied(State *s, int k) {
    const Field *f = s->field;
    Spin *p = &s->spin[k];
    int64_t o = p->n_occupied, lo = p->ld_occupied, n = f->n_orbitals;
    multiply(o, o, p->n_empty, p->x, 1, lo, p->x, lo, s->gram, lo, 0);
    for (int64_t i = 0; i < o; i++) s->gram[i * lo + i] += 1.0;
    if (!cholesky(o, s->gram, lo)) return 0;
    memcpy(p->rotated, p->orbitals, sizeof(double) * (size_t)(o * f->ld));
    multiply(o, n, p->n_empty, p->x, 1, lo, p->orbitals + o * f->ld, f->ld, p->rotated, f->ld, 1);
    solve_lower(o, s->gram, lo, f->ld, p->rotated, f->ld);
    return 1;
}

/* One stretch of the iteration about one reference; 0 where something is not a number. */
static int accelerate(State *s) {
    fill_inverse_gaps(s);
    memset(s->spin[0].x, 0, sizeof(double) * (size_t)s->rotation);
    for (int count = 0; count < RENEW && s->residual_size > s->options.tolerance; count++) {
        accelerate_step(s, count);
        double *x = s->spin[0].x, most = largest(s->rotation, x);
        if (most > MAX_ROTATION)
            for (int64_t k = 0; k < s->rotation; k++) x[k] *= MAX_ROTATION / most;
        for (int k = 0; k < s->field->n_spins; k++)
            if (!rotate_occupied(s, k)) return 0;
        evaluate(s, 0);
        s->iterations++;
        if (!(s->residual_size >= 0.0 && s->residual_size < 1e30)) return 0;
    }
    return 1;
}

/* From the density given to self-consistency; 1 where it is reached. */
static int iterate(State *s, int diagonalizations, double bonding) {
    Field *f = s->field;
    for (int step = 0; step < diagonalizations; step++) {
        fock_matrix(f, s->density, s->fock);
        if (step == 0 && bonding != 1.0)
            for (int k = 0; k < f->n_spins; k++) scale_between_atoms(f, s->fock + k * f->plane, bonding);
        if (!diagonalize(s)) return 0;
        for (int k = 0; k < f->n_spins; k++) density_of(f, &s->spin[k], s->spin[k].orbitals, s->density + k * f->plane);
    }
    evaluate(s, 1);
    s->iterations = diagonalizations + 1;
    int64_t rounds = (s->options.max_iterations + RENEW - 1) / RENEW;
    for (int64_t round = 0; round < rounds && s->residual_size > s->options.tolerance; round++) {
        if (round > 0) {
            if (!diagonalize(s)) return 0;
            evaluate(s, 1);
            s->iterations++;
        }
        if (!accelerate(s)) return 0;
    }
    return s->residual_size <= s->options.tolerance;
}

/* Whether the solution may not be the lowest: an open shell, or a small closed one with a small gap. */
static int is_doubtful(State *s) {
    const Field *f = s->field;
    int metals = 0, open = 0;
    for (int a = 0; a < f->n_atoms; a++) metals |= f->parameters[a][P_POPULATION + 2] > 0;
    for (int k = 0; k < f->n_spins; k++) open |= s->spin[k].n_occupied > 0 && s->spin[k].n_empty > 0;
    if (!open || f->n_spins == 2) return open;
    if (f->n_orbitals > 60 && !metals) return 0;
    Spin *p = &s->spin[0];
    double highest = -INFINITY, lowest = INFINITY, limit = 8.0;
    if (f->n_orbitals <= 12) {
        limit = 10.0;
        memcpy(s->work, s->fock, sizeof(double) * (size_t)f->plane);
        if (!eigen(f->n_orbitals, s->work, f->ld, s->small, s->work + f->plane, s->small + 2 * f->ld)) return 1;
        highest = s->small[p->n_occupied - 1], lowest = s->small[p->n_occupied];
    } else {
        multiply(f->n_orbitals, f->n_orbitals, f->n_orbitals, p->orbitals, f->ld, 1, s->fock, f->ld, s->work, f->ld, 0);
        for (int64_t i = 0; i < f->n_orbitals; i++) {
            double level = dot(f->n_orbitals, s->work + i * f->ld, p->orbitals + i * f->ld);
            if (i < p->n_occupied) highest = fmax(highest, level);
            else lowest = fmin(lowest, level);
        }
    }
    return lowest - highest < limit;
}
#endif
