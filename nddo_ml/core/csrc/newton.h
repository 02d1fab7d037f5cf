/* Newton steps within a trust radius, the lowest curvature, and the search for lower solutions: the algorithms of
 * nddo_ml.scf.newton and nddo_ml.scf.search. Vectors are rotations of all spins, [empty][ld_occupied] each. */
#ifndef NDDO_NEWTON_H
#define NDDO_NEWTON_H
#include "scf.h"

#define SEPARATION 1e3 /* eV, lowers the occupied orbitals so that they come first whatever their energies */
#define FIRST_RADIUS 1.0
#define LAST_RADIUS 3.0 /* eV^½ */
#define INNER 60        /* Hessian-vector products a step */
#define LOOSE 0.2       /* relative residual of a Newton equation far from the solution */
#define NEARLY 1e-2     /* eV, a residual from which the energy hardly falls */
#define GUESSES 3
#define DAVIDSON 15
#define UNSTABLE (-1e-3) /* eV */
#define PUSH 0.5
#define ROUNDS 3
#define LOWER 1e-5 /* eV, by which a solution counts as lower */
#define WINDOW 8

typedef struct {
    double *density, *fock, energy, residual;
} Solution;

typedef struct {
    State *s;
    double *gap, *metric, *slope;                       /* [rotation] */
    double *x, *ax, *r, *z, *d, *ad;                    /* [rotation] */
    double *basis, *images;                             /* [GUESSES + 1 + DAVIDSON][rotation] */
    double *change, *response, *half, *columns, *orbitals, *energies;
    Solution best, before, here;
} Newton;

static Solution new_solution(const Field *f, Arena *arena) {
    Solution made = {NEW(double, f->n_spins * f->plane), NEW(double, f->n_spins * f->plane), 0.0, 0.0};
    return made;
}

static void lay_out_newton(Newton *n, State *s, Arena *arena) {
    const Field *f = s->field;
    int64_t most = 0;
    for (int k = 0; k < f->n_spins; k++) most = s->spin[k].ld_occupied > most ? s->spin[k].ld_occupied : most;
    n->s = s;
    double **all[] = {&n->gap, &n->metric, &n->slope, &n->x, &n->ax, &n->r, &n->z, &n->d, &n->ad};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) *all[k] = NEW(double, s->rotation);
    n->basis = NEW(double, (GUESSES + 1 + DAVIDSON) * s->rotation);
    n->images = NEW(double, (GUESSES + 1 + DAVIDSON) * s->rotation);
    n->change = NEW(double, f->n_spins * f->plane);
    n->response = NEW(double, f->n_spins * f->plane);
    n->half = NEW(double, 2 * f->plane);
    n->columns = NEW(double, 2 * f->n_orbitals * most);
    n->orbitals = NEW(double, f->n_spins * f->plane);
    n->energies = NEW(double, f->n_spins * f->n_orbitals);
    n->best = new_solution(f, arena), n->before = new_solution(f, arena), n->here = new_solution(f, arena);
}

static void save(const State *s, Solution *to) {
    size_t bytes = sizeof(double) * (size_t)(s->field->n_spins * s->field->plane);
    memcpy(to->density, s->density, bytes), memcpy(to->fock, s->fock, bytes);
    to->energy = s->energy, to->residual = s->residual_size;
}

static void restore(State *s, const Solution *from) {
    size_t bytes = sizeof(double) * (size_t)(s->field->n_spins * s->field->plane);
    memcpy(s->density, from->density, bytes), memcpy(s->fock, from->fock, bytes);
    s->energy = from->energy, s->residual_size = from->residual;
}

/* C_emptyᵀ X C_occ of symmetric X [spins][orbitals][ld] */
static void to_rotation(Newton *n, const double *matrix, double *out) {
    const Field *f = n->s->field;
    for (int k = 0; k < f->n_spins; k++) {
        Spin *p = &n->s->spin[k];
        int64_t o = p->n_occupied, lo = p->ld_occupied, m = f->n_orbitals;
        double *columns = n->columns, *force = n->columns + m * lo;
        memset(columns, 0, sizeof(double) * (size_t)(m * lo));
        transpose(o, m, p->orbitals, f->ld, columns, lo);
        multiply(m, o, m, matrix + k * f->plane, f->ld, 1, columns, lo, force, lo, 0);
        multiply(p->n_empty, o, m, p->orbitals + o * f->ld, f->ld, 1, force, lo, out, lo, 0);
        out += p->n_empty * lo;
    }
}

/* A x = gap x + G[C_empty x C_occᵀ + h.c.] */
static void hessian(Newton *n, const double *x, double *out) {
    Field *f = n->s->field;
    const double *part = x;
    for (int k = 0; k < f->n_spins; k++) {
        Spin *p = &n->s->spin[k];
        double *half = n->half + f->plane, *to = n->change + k * f->plane;
        multiply(p->n_empty, f->n_orbitals, p->n_occupied, part, p->ld_occupied, 1, p->orbitals, f->ld, n->half, f->ld, 0);
        multiply(f->n_orbitals, f->n_orbitals, p->n_empty, p->orbitals + p->n_occupied * f->ld, 1, f->ld, n->half,
                 f->ld, half, f->ld, 0);
        memset(to, 0, sizeof(double) * (size_t)f->plane);
        for (int i = 0; i < f->n_orbitals; i++)
            for (int j = 0; j < f->n_orbitals; j++) to[i * f->ld + j] = half[i * f->ld + j] + half[j * f->ld + i];
        part += p->n_empty * p->ld_occupied;
    }
    fock_matrix(f, n->change, n->response);
    for (int k = 0; k < f->n_spins; k++)
        for (int64_t i = 0; i < f->plane; i++) n->response[k * f->plane + i] -= f->h[i];
    to_rotation(n, n->response, out);
    for (int64_t i = 0; i < n->s->rotation; i++) out[i] += n->gap[i] * x[i];
}

/* The energy to second order, in orbitals that make both blocks of the Fock matrix diagonal. */
static int model_at(Newton *n) {
    State *s = n->s;
    const Field *f = s->field;
    double *gap = n->gap, *metric = n->metric;
    for (int k = 0; k < f->n_spins; k++) {
        Spin *p = &s->spin[k];
        const double *density = s->density + k * f->plane, *fock = s->fock + k * f->plane;
        double *half = n->half, *both = n->half + f->plane;
        multiply(f->n_orbitals, f->n_orbitals, f->n_orbitals, density, f->ld, 1, fock, f->ld, half, f->ld, 0);
        multiply(f->n_orbitals, f->n_orbitals, f->n_orbitals, half, f->ld, 1, density, f->ld, both, f->ld, 0);
        memset(s->work, 0, sizeof(double) * (size_t)f->plane);
        for (int i = 0; i < f->n_orbitals; i++)
            for (int j = 0; j < f->n_orbitals; j++) {
                int64_t at = i * f->ld + j, turned = j * f->ld + i;
                s->work[at] = fock[at] - half[at] - half[turned] + both[at] + both[turned] - SEPARATION * density[at];
            }
        if (!eigen(f->n_orbitals, s->work, f->ld, p->energies, p->orbitals, s->small)) return 0;
        for (int64_t v = 0; v < p->n_empty; v++)
            for (int64_t o = 0; o < p->ld_occupied; o++, gap++, metric++) {
                int absent = o >= p->n_occupied;
                *gap = absent ? 0.0 : p->energies[p->n_occupied + v] - p->energies[o] - SEPARATION;
                *metric = fmax(fabs(*gap), MIN_GAP);
            }
    }
    to_rotation(n, s->fock, n->slope);
    return 1;
}

static double weighted_length(const Newton *n, const double *x) {
    double sum = 0.0;
    for (int64_t i = 0; i < n->s->rotation; i++) sum += n->metric[i] * x[i] * x[i];
    return sqrt(sum);
}

/* The positive t with |x + t d| = radius */
static double to_edge(const Newton *n, double radius) {
    double a = 0.0, b = 0.0;
    for (int64_t i = 0; i < n->s->rotation; i++) {
        a += n->metric[i] * n->d[i] * n->d[i];
        b += n->metric[i] * n->d[i] * n->x[i];
    }
    a = fmax(a, 1e-300);
    double c = radius * radius - square(weighted_length(n, n->x));
    return (-b + sqrt(fmax(b * b + a * c, 0.0))) / a;
}

/* The step x of A x = −g within the radius; returns g·x + ½ x·A x and counts Hessian-vector products. */
static double truncated(Newton *n, double radius, int64_t *count) {
    int64_t m = n->s->rotation;
    double product = 0.0;
    for (int64_t i = 0; i < m; i++) {
        n->x[i] = n->ax[i] = 0.0;
        n->r[i] = -n->slope[i];
        n->d[i] = n->r[i] / n->metric[i];
        product += n->r[i] * n->d[i];
    }
    double limit = sqrt(dot(m, n->r, n->r)) * fmin(largest(m, n->r), LOOSE);
    int running = product > 0.0;
    for (int inner = 0; inner < INNER && running; inner++, ++*count) {
        hessian(n, n->d, n->ad);
        double curvature = dot(m, n->d, n->ad), step = curvature > 0 ? product / curvature : INFINITY;
        double edge = to_edge(n, radius);
        int inside = step < edge;
        step = inside ? step : edge;
        axpy(m, step, n->d, n->x), axpy(m, step, n->ad, n->ax), axpy(m, -step, n->ad, n->r);
        running = inside && sqrt(dot(m, n->r, n->r)) > limit;
        double old = product;
        product = 0.0;
        for (int64_t i = 0; i < m; i++) n->z[i] = n->r[i] / n->metric[i], product += n->r[i] * n->z[i];
        double turn = running ? product / old : 0.0;
        for (int64_t i = 0; i < m; i++) n->d[i] = n->z[i] + turn * n->d[i];
    }
    return dot(m, n->slope, n->x) + 0.5 * dot(m, n->x, n->ax);
}

/* The state whose occupied orbitals are rotated by `scale` times x; 0 where that fails. */
static int go_to(State *s, const double *x, double scale) {
    for (int64_t i = 0; i < s->rotation; i++) s->spin[0].x[i] = scale * x[i];
    for (int k = 0; k < s->field->n_spins; k++)
        if (!rotate_occupied(s, k)) return 0;
    evaluate(s, 0);
    s->energy = energy_of(s);
    s->iterations++;
    return s->residual_size >= 0.0 && s->residual_size < 1e30;
}

/* Lower the energy to a minimum; given up where it is about to end above `below`. */
static int minimize(Newton *n, double below) {
    State *s = n->s;
    double radius = FIRST_RADIUS;
    for (int64_t step = 0; step < s->options.max_descent; step++) {
        if (s->residual_size <= s->options.tolerance) return 1;
        if (!(s->energy < below) && s->residual_size <= NEARLY) return 1;
        if (!model_at(n)) return 0;
        int64_t products = 0;
        double foretold = truncated(n, radius, &products) * (s->field->n_spins == 1 ? 4.0 : 2.0);
        save(s, &n->here);
        if (!go_to(s, n->x, 1.0)) return 0;
        s->iterations += products;
        double gained = s->energy - n->here.energy, noise = 100 * 2.220446049250313e-16 * fabs(n->here.energy);
        int small = -foretold < noise;
        double ratio = small ? 1.0 : gained / foretold, length = weighted_length(n, n->x);
        int taken = small ? s->residual_size <= n->here.residual : ratio > 1e-3;
        double grown = fmin(ratio > 0.75 && length > 0.9 * radius ? 2 * radius : radius, LAST_RADIUS);
        radius = taken && ratio > 0.25 ? grown : 0.3 * length;
        if (!taken) restore(s, &n->here);
    }
    return 1;
}

/* Gram–Schmidt, twice, against the vectors before; one that depends on them becomes zero. */
static void orthonormalize(int64_t m, const double *basis, int count, double *v) {
    double size = sqrt(dot(m, v, v));
    for (int64_t i = 0; i < m; i++) v[i] /= fmax(size, 1e-30);
    for (int twice = 0; twice < 2; twice++) {
        for (int j = 0; j < count; j++) axpy(m, -dot(m, basis + j * m, v), basis + j * m, v);
        size = sqrt(dot(m, v, v));
        for (int64_t i = 0; i < m; i++) v[i] = size > 1e-6 ? v[i] / size : 0.0;
    }
}

static int is_present(const State *s, int64_t at) {
    for (int k = 0; k < s->field->n_spins; k++) {
        const Spin *p = &s->spin[k];
        int64_t size = p->n_empty * p->ld_occupied;
        if (at < size) return at % p->ld_occupied < p->n_occupied;
        at -= size;
    }
    return 0;
}

/* The excitations of least energy, each alone, and a sum of all without symmetry; returns how many vectors. */
static int first_guesses(Newton *n) {
    int64_t m = n->s->rotation;
    double *rank = n->ax; /* scratch */
    int count = 0;
    memset(n->basis, 0, sizeof(double) * (size_t)((GUESSES + 1) * m));
    for (int64_t i = 0; i < m; i++) {
        rank[i] = 0.0;
        if (!is_present(n->s, i)) continue;
        for (int64_t j = 0; j < m; j++)
            rank[i] += is_present(n->s, j) && (n->gap[j] < n->gap[i] || (n->gap[j] == n->gap[i] && j < i));
        if (rank[i] < GUESSES) n->basis[(int64_t)rank[i] * m + i] = 1.0, count++;
    }
    for (int64_t i = 0; i < m; i++)
        n->basis[count * m + i] = is_present(n->s, i) ? cos(rank[i] * rank[i]) / n->metric[i] : 0.0;
    for (int k = 0; k <= count; k++) orthonormalize(m, n->basis, k, n->basis + k * m);
    return count + 1;
}

/* The lowest eigenvalue of the orbital Hessian at the state, by Davidson's method; its eigenvector goes to n->d. */
static int lowest_curvature(Newton *n, double *lowest) {
    enum { MOST = GUESSES + 1 + DAVIDSON };
    int64_t m = n->s->rotation;
    if (!model_at(n)) return 0;
    int count = first_guesses(n), done = 0;
    for (int step = 0; step < DAVIDSON; step++) {
        for (; done < count; done++) hessian(n, n->basis + done * m, n->images + done * m);
        double inner[MOST * 20], vectors[MOST * 20], values[MOST], scratch[4 * MOST];
        for (int i = 0; i < count; i++) {
            for (int j = 0; j < count; j++)
                inner[i * 20 + j] = 0.5 * (dot(m, n->basis + i * m, n->images + j * m) +
                                           dot(m, n->basis + j * m, n->images + i * m));
            if (dot(m, n->basis + i * m, n->basis + i * m) < 0.5) inner[i * 20 + i] += 1e4;
        }
        if (!eigen(count, inner, 20, values, vectors, scratch)) return 0;
        *lowest = values[0];
        memset(n->d, 0, sizeof(double) * (size_t)m), memset(n->r, 0, sizeof(double) * (size_t)m);
        for (int j = 0; j < count; j++) {
            axpy(m, vectors[j], n->basis + j * m, n->d);
            axpy(m, vectors[j], n->images + j * m, n->r);
        }
        axpy(m, -*lowest, n->d, n->r);
        if (sqrt(dot(m, n->r, n->r)) < 0.01 * fabs(*lowest) + 1e-3 || step == DAVIDSON - 1) break;
        double *next = n->basis + count * m;
        for (int64_t i = 0; i < m; i++) {
            double distance = n->metric[i] - *lowest;
            next[i] = n->r[i] / (fabs(distance) < 0.3 ? 0.3 : distance);
        }
        orthonormalize(m, n->basis, count++, next);
    }
    return 1;
}

/* Of the state and `best` the lower that is converged becomes both. */
static void keep_lower(State *s, Solution *best) {
    double tolerance = s->options.tolerance;
    int lower = s->residual_size <= tolerance &&
                (s->energy < best->energy - LOWER || best->residual > tolerance);
    if (lower) save(s, best);
    else restore(s, best);
}

/* Down along negative curvatures of the energy until there is none. */
static int stabilize(Newton *n) {
    State *s = n->s;
    for (int round = 0; round < ROUNDS; round++) {
        double value;
        save(s, &n->best);
        if (!lowest_curvature(n, &value)) return 0;
        if (!(value < UNSTABLE)) return 1;
        memcpy(n->z, n->d, sizeof(double) * (size_t)s->rotation);
        if (!go_to(s, n->z, PUSH)) return 0;
        double one = s->energy;
        if (!go_to(s, n->z, -PUSH)) return 0;
        if (!(s->energy < one) && !go_to(s, n->z, PUSH)) return 0;
        if (!minimize(n, INFINITY)) return 0;
        keep_lower(s, &n->best);
    }
    return 1;
}

/* exp(A) of a small matrix by its series, scaled and squared */
static void exponential(int size, double *a) {
    double term[4 * WINDOW * WINDOW], sum[4 * WINDOW * WINDOW], next[4 * WINDOW * WINDOW];
    enum { HALVINGS = 8, TERMS = 14 };
    for (int i = 0; i < size * size; i++) {
        a[i] /= 1 << HALVINGS;
        sum[i] = term[i] = i % (size + 1) == 0;
    }
    for (int k = 1; k <= TERMS + HALVINGS; k++) {
        const double *left = k <= TERMS ? term : sum, *right = k <= TERMS ? a : sum;
        for (int i = 0; i < size; i++)
            for (int j = 0; j < size; j++) {
                double value = 0.0;
                for (int l = 0; l < size; l++) value += left[i * size + l] * right[l * size + j];
                next[i * size + j] = k <= TERMS ? value / k : value;
            }
        if (k > TERMS) memcpy(sum, next, sizeof next);
        else
            for (int i = 0; i < size * size; i++) term[i] = next[i], sum[i] += next[i];
    }
    memcpy(a, sum, sizeof(double) * (size_t)(size * size));
}

/* Orbitals next to the gap mixed by an orthogonal matrix; `angles` are [2·WINDOW][2·WINDOW], antisymmetric. */
static void shuffle(const Field *f, const double *orbitals, int64_t occupied, const double *angles, double *out) {
    int64_t first = occupied - WINDOW > 0 ? occupied - WINDOW : 0;
    int64_t last = occupied + WINDOW < f->n_orbitals ? occupied + WINDOW : f->n_orbitals;
    int size = (int)(last - first), shift = (int)(first - occupied + WINDOW);
    double mixing[4 * WINDOW * WINDOW];
    for (int i = 0; i < size; i++)
        for (int j = 0; j < size; j++) mixing[i * size + j] = angles[(i + shift) * 2 * WINDOW + j + shift];
    exponential(size, mixing);
    memcpy(out, orbitals, sizeof(double) * (size_t)f->plane);
    multiply(size, f->n_orbitals, size, mixing, 1, size, orbitals + first * f->ld, f->ld, out + first * f->ld, f->ld, 0);
}

/* The lowest of the best solution and of what its orbitals, shuffled, come down to; n->best is the best. */
static int try_shuffles(Newton *n, int round, const double *angles) {
    State *s = n->s;
    Field *f = s->field;
    int trials = f->n_spins == 1 ? 3 : 4;
    save(s, &n->best);
    if (!diagonalize(s)) return 0;
    for (int k = 0; k < f->n_spins; k++)
        memcpy(n->orbitals + k * f->plane, s->spin[k].orbitals, sizeof(double) * (size_t)f->plane);
    for (int trial = 0; trial < trials; trial++) {
        const double *drawn = angles + (round * trials + trial) * 2 * 4 * WINDOW * WINDOW;
        for (int k = 0; k < f->n_spins; k++)
            shuffle(f, n->orbitals + k * f->plane, s->spin[k].n_occupied, drawn + k * 4 * WINDOW * WINDOW,
                    s->spin[k].orbitals);
        evaluate(s, 1);
        s->energy = energy_of(s);
        s->iterations++;
        if (!minimize(n, n->best.residual <= s->options.tolerance ? n->best.energy : INFINITY)) return 0;
        keep_lower(s, &n->best);
    }
    return 1;
}

/* Lower solutions of a doubtful system, where there are any; 0 where something fails. */
static int search(Newton *n, const double *closed, const double *open) {
    State *s = n->s;
    const Field *f = s->field;
    int metals = 0;
    for (int a = 0; a < f->n_atoms; a++) metals |= f->parameters[a][P_POPULATION + 2] > 0;
    for (int round = 0; round < ROUNDS; round++) {
        double before = s->energy;
        if (!stabilize(n) || !try_shuffles(n, round, f->n_spins == 1 ? closed : open)) return 0;
        int again = s->energy < before - LOWER;
        if (!(again || (round == 0 && (metals || f->n_orbitals <= 12)))) break;
    }
    return 1;
}
#endif
