/* Entry points of the compiled core. */
#include "gradient.h"
#include "networks.h"
#include "newton.h"

#define ABI 5
#define KEPT_TABLES 65536 /* bytes for tables of pairs of kinds of atoms */

EXPORT int64_t nddo_core_abi(void) { return ABI; }

EXPORT int64_t nddo_core_sizes(int64_t which) {
    return which == 0 ? (int64_t)sizeof(Tables) : which == 1 ? (int64_t)sizeof(MethodTable) : (int64_t)sizeof(Batch);
}

static int find_species(Field *f, const int64_t *row) {
    int64_t kinds[SPECIES + 1] = {0};
    int count = 0;
    for (int a = 0; a < f->n_atoms; a++) {
        int k = 0;
        while (k < count && kinds[k] != row[a]) k++;
        if (k == count) {
            if (count == SPECIES) return SPECIES + 1;
            kinds[count++] = row[a];
        }
        f->species[a] = k;
    }
    return count;
}

static int reserve(Arena *arena, size_t bytes) {
    if (bytes <= arena->size) return 1;
    free(arena->base);
    arena->size = bytes + bytes / 4;
    arena->base = malloc(arena->size);
    if (!arena->base) arena->size = 0;
    return arena->base != NULL;
}

static void set_up_atoms(Field *f, Arena *arena, const Batch *batch, int64_t k) {
    int64_t begin = batch->first_atom[k];
    memset(f, 0, sizeof *f);
    f->tables = batch->tables, f->method = batch->method;
    f->n_atoms = (int)(batch->first_atom[k + 1] - begin);
    f->n_spins = (int)batch->n_spins[k];
    f->positions = batch->positions + 3 * begin;
    f->factors = batch->factors ? batch->factors + batch->first_pair[k] * N_FACTORS : NULL;
    int64_t products = batch->n_surrounded;
    f->surrounding = batch->surrounding ? batch->surrounding + k * products : NULL;
    f->reaction = batch->reaction ? batch->reaction + k * products * products : NULL;
    f->reaction_ld = products;
    f->parameters = NEW(const double *, f->n_atoms);
    f->integers = NEW(const int32_t *, f->n_atoms);
    f->width = NEW(int, 3 * f->n_atoms);
    f->first = f->width + f->n_atoms, f->species = f->first + f->n_atoms;
    for (int a = 0; a < f->n_atoms; a++) {
        int64_t row = batch->row[begin + a];
        f->parameters[a] = batch->method->parameters + row * P_COUNT;
        f->integers[a] = batch->method->integers + row * I_COUNT;
        f->width[a] = f->integers[a][I_WIDTH];
        f->first[a] = f->n_orbitals;
        f->n_orbitals += f->width[a];
    }
    f->n_species = find_species(f, batch->row + begin);
}

static void set_up_state(State *s, Field *f, const Batch *batch, int64_t k) {
    memset(s, 0, sizeof *s);
    s->field = f;
    s->options = batch->options;
    for (int spin = 0; spin < f->n_spins; spin++) s->spin[spin].n_occupied = batch->n_occupied[2 * k + spin];
}

/* A field and, if not NULL, its state in the arena, which grows where it is too small. Without a state matrices are
 * as they are outside, their rows next to each other. */
static int set_up(Field *f, State *s, Arena *arena, const Batch *batch, int64_t k) {
    int64_t n = batch->first_atom[k + 1] - batch->first_atom[k];
    for (size_t wanted = 64 * (size_t)n + 4096;;) {
        if (!reserve(arena, wanted)) return 0;
        arena->used = 0;
        set_up_atoms(f, arena, batch, k);
        f->ld = s ? padded(f->n_orbitals) : f->n_orbitals;
        f->plane = f->ld * f->n_orbitals;
        if (s) set_up_state(s, f, batch, k);
        Arena dry = {NULL, 0, arena->used};
        lay_out(f, &dry);
        if (s) lay_out_state(s, &dry);
        if (dry.used + KEPT_TABLES <= arena->size) break;
        wanted = dry.used + KEPT_TABLES;
    }
    lay_out(f, arena);
    if (s) lay_out_state(s, arena);
    return 1;
}

static void copy_out(const Field *f, const double *from, int64_t size, double *to) {
    for (int spin = 0; spin < f->n_spins; spin++)
        for (int i = 0; i < f->n_orbitals; i++)
            memcpy(to + (spin * size + i) * size, from + spin * f->plane + i * f->ld,
                   sizeof(double) * (size_t)f->n_orbitals);
}

static void charges_and_dipole(const Field *f, const Batch *batch, int64_t k, const double *density) {
    double mass = 0.0, center[3] = {0, 0, 0}, moment[3] = {0, 0, 0};
    int64_t begin = batch->first_atom[k];
    for (int a = 0; a < f->n_atoms; a++) {
        mass += batch->masses[begin + a];
        for (int c = 0; c < 3; c++) center[c] += batch->masses[begin + a] * f->positions[3 * a + c];
    }
    for (int a = 0; a < f->n_atoms; a++) {
        int w = f->width[a];
        double block[81], q[45], charge = f->parameters[a][P_CHARGE];
        charges_of_atom(f, a, density, q, block);
        for (int m = 0; m < w; m++) charge -= block[m * w + m];
        batch->charges[begin + a] = charge;
        for (int c = 0; c < 3; c++) {
            moment[c] += charge * (f->positions[3 * a + c] - center[c] / mass);
            if (w < 4) continue;
            double own = f->parameters[a][P_SEPARATION] * block[1 + c];
            for (int i = 0; w == 9 && i < 15; i++)
                own += f->parameters[a][P_SEPARATION + 3] * f->tables->pd_moment[c * 15 + i] *
                       block[(4 + i / 3) * w + 1 + i % 3];
            moment[c] -= 2.0 * own * f->tables->bohr;
        }
    }
    memcpy(batch->dipole + 3 * k, moment, sizeof moment);
}

static void copy_in(const Field *f, const double *from, int64_t size, int64_t spins, double *to) {
    for (int spin = 0; spin < f->n_spins; spin++)
        for (int i = 0; i < f->n_orbitals; i++)
            for (int64_t j = 0; j < f->ld; j++)
                to[spin * f->plane + i * f->ld + j] =
                    j < f->n_orbitals ? from[((spin < spins ? spin : 0) * size + i) * size + j] : 0.0;
}

/* Newton steps where the loop did not converge, and the search for lower solutions; 1 where all went well. */
static int finish(State *s, const Batch *batch, int done) {
    if (done == 1 && !(batch->options.search && is_doubtful(s))) return 1;
    Arena own = {NULL, 0, 0};
    Newton newton;
    lay_out_newton(&newton, s, &own);
    size_t bytes = own.used;
    own = (Arena){malloc(bytes), bytes, 0};
    if (!own.base) return 0;
    lay_out_newton(&newton, s, &own);
    if (done != 1) done = minimize(&newton, INFINITY) && s->residual_size <= s->options.tolerance;
    if (done == 1 && batch->options.search && is_doubtful(s))
        done = search(&newton, batch->closed_angles, batch->open_angles) && s->residual_size <= s->options.tolerance;
    free(own.base);
    return done;
}

/* Charges, dipole, core energy, and the derivatives that are asked for, at a density. */
static void write_results(Field *f, const Batch *batch, int64_t k, const double *density, Arena *arena) {
    int64_t begin = batch->first_atom[k], pairs = batch->first_pair[k];
    charges_and_dipole(f, batch, k, density);
    Gradient gradient = {
        0.0,
        batch->gradient ? batch->gradient + 3 * begin : NULL,
        batch->by_parameter ? batch->by_parameter + begin * P_DIFFERENTIABLE : NULL,
        batch->by_factor ? batch->by_factor + pairs * N_FACTORS : NULL,
    };
    differentiate(f, density, &gradient, arena);
    batch->core[k] = gradient.core;
}

static int solve_one(const Batch *batch, int64_t k, Arena *arena) {
    Field field, *f = &field;
    State state, *s = &state;
    if (!set_up(f, s, arena, batch, k)) return -1;
    int64_t spins = batch->n_spins_out, plane = batch->size * batch->size;
    build_integrals(f, arena);
    int done = 1;
    if (batch->guess) copy_in(f, batch->guess + k * spins * plane, batch->size, spins, s->density);
    else initial_density(s);
    if (!batch->options.iterate) fock_matrix(f, s->density, s->fock);
    else if (batch->guess) done = iterate(s, 1, 1.0);
    else done = iterate(s, f->n_spins == 1 ? 1 : 6, BONDING);
    s->energy = energy_of(s);
    if (batch->options.iterate && done >= 0) done = finish(s, batch, done);
    batch->state[k] = done == 1 ? DONE : NOT_CONVERGED;
    batch->residual[k] = s->residual_size;
    batch->iterations[k] = s->iterations;
    if (batch->state[k] != DONE) return 0;
    for (int64_t spin = 0; spin < spins; spin += f->n_spins) {
        copy_out(f, s->density, batch->size, batch->density + (k * spins + spin) * plane);
        copy_out(f, s->fock, batch->size, batch->fock + (k * spins + spin) * plane);
    }
    batch->electronic[k] = energy_of(s);
    write_results(f, batch, k, s->density, arena);
    return 0;
}

/* Eigenvalues and eigenvectors (rows of q) of a symmetric matrix [n][ld], which is overwritten; 1 where it succeeds. */
EXPORT int64_t nddo_core_eigen(int64_t n, double *a, int64_t ld, double *d, double *q) {
    double *scratch = malloc(sizeof(double) * 4 * (size_t)n);
    int64_t done = scratch && eigen(n, a, ld, d, q, scratch);
    free(scratch);
    return done;
}

/* Works on the molecules of a batch until none is left; `next` is shared by all threads. 0, or −1 without memory. */
EXPORT int64_t nddo_core_solve(const Batch *batch, int64_t *next) {
    Arena arena = {NULL, 0, 0};
    int64_t failed = 0;
    while (!failed) {
        int64_t k = __atomic_fetch_add(next, 1, __ATOMIC_RELAXED);
        if (k >= batch->n_systems) break;
        failed = solve_one(batch, k, &arena);
    }
    free(arena.base);
    return failed;
}

typedef struct { /* the only molecule of a batch, whose iteration is elsewhere; the batch must outlive it */
    Field field;
    Arena arena;
    const Batch *batch;
} Held;

EXPORT void nddo_core_close(Held *held) {
    free(held->arena.base);
    free(held);
}

/* The integrals of a molecule; NULL without memory. */
EXPORT Held *nddo_core_open(const Batch *batch) {
    Held *held = calloc(1, sizeof *held);
    if (!held) return NULL;
    held->batch = batch;
    if (!set_up(&held->field, NULL, &held->arena, batch, 0)) {
        nddo_core_close(held);
        return NULL;
    }
    build_integrals(&held->field, &held->arena);
    return held;
}

/* The core Hamiltonian [orbitals][orbitals], there until the molecule is closed */
EXPORT const double *nddo_core_hamiltonian(const Held *held) { return held->field.h; }

/* F of a density, both [spins][orbitals][orbitals] */
EXPORT void nddo_core_fock(Held *held, const double *density, double *fock) {
    fock_matrix(&held->field, density, fock);
}

/* What the batch asks for beside the field, at its density */
EXPORT void nddo_core_finish(Held *held) {
    write_results(&held->field, held->batch, 0, held->batch->density, &held->arena);
}
