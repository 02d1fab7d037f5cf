/* The compiled core: closed forms of what the torch code of nddo_ml defines, one molecule at a time.
 *
 * Lengths that begin with n are counts. Matrices are row-major; those over orbitals have rows of `ld` elements, a
 * multiple of four, with zeros behind the last orbital. Products of orbitals stand in shell order: ss, sp, pp, sd, pd,
 * dd. Energies in eV, positions in Å, what belongs to the integrals in bohr. Tables come from Python. */
#ifndef NDDO_TYPES_H
#define NDDO_TYPES_H
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"

#define MAX_WIDTH 9
#define MAX_ROWS 46  /* products of an atom with d orbitals, and its core */
#define MAX_COLS 48
#define N_NODES 24
#define N_SHELLS 24  /* (n − 1)·3 + l, n up to 8 */
#define HISTORY_LIMIT 16
#define MAX_OVERLAPS 14 /* (la, lb, m) of two atoms with d orbitals: ss sp sd ps pp2 pd2 ds dp2 dd3 */
#define N_FACTORS 15

/* columns of a row of parameters */
enum {
    P_U = 0, P_ZETA = 3, P_BETA = 6, P_RADIAL = 9, P_ALPHA = 26, P_SEPARATION = 27, P_RADIUS = 32,
    P_CORE_RADIUS = 41, P_K = 42, P_L = 46, P_M = 50, P_DIFFERENTIABLE = 54,
    P_CHARGE = 54, P_POPULATION = 55, P_COUNT = 58
};
/* columns of a row of integers */
enum { I_NUMBER = 0, I_WIDTH, I_PERIOD, I_OWN_CORE, I_AVERAGES, I_PRINCIPAL, I_COUNT = 8 };

typedef struct { /* two-centre integrals of a pair of widths, with or without cores of their own */
    int64_t n_separations_a, n_separations_b, n_terms, n_unique, n_entries;
    const double *z, *x, *y;         /* [separations of a, then of b][terms] */
    const int32_t *radius_a, *radius_b; /* [terms] columns */
    const int32_t *first, *term;     /* sparse sums of terms: [unique + 1], [nonzeros] */
    const double *weight;
    const int32_t *row, *col, *unique; /* [entries] where an integral stands in the block */
} PairTable;

typedef struct { /* overlap of two shells: Σ c μ^i ν^j for each m */
    int64_t n_terms, top;
    const int32_t *m, *i, *j;
    const double *c;
} OverlapTable;

typedef struct { /* derivative of a rotation matrix by the angles about x and y */
    int64_t n_entries;
    const int32_t *axis, *row, *col;
    const double *value;
} Generator;

typedef struct { /* one-centre integrals that are not zero: sums of coefficients times radial parameters */
    int64_t n_entries;
    const int32_t *row, *col, *first, *radial; /* [entries], [entries], [entries + 1], [nonzeros] */
    const double *value;
} OneCenter;

typedef struct {
    PairTable pair[12]; /* [kind of widths][own cores] */
    const OverlapTable *overlap[N_SHELLS * N_SHELLS];
    Generator orbital[3], product[3]; /* by number of shells − 1 */
    OneCenter one_center[3];
    const double *nodes, *weights;    /* [24] Gauss–Legendre */
    const double *powers;             /* [24][16] weighted powers of the nodes, transposed: [16][24] */
    const double *forms;              /* [5][9] quadratic forms of the d functions */
    const int32_t *product_a, *product_b; /* [45] orbitals of a product, shell order; first not below second */
    const double *series;             /* [4][3] largest |t|, degree, half range */
    const double *boron;              /* [120][2][3] Gaussians of boron with a partner, AM1; NaN where its own */
    const double *pd_moment;          /* [3][15] dipole moments of the products of p and d */
    double hartree, bohr;
} Tables;

typedef struct {
    int64_t kind; /* of the core repulsion: 0 classic, 1 AM1, 2 MNDO/d, 3 PM6, 4 PM7 */
    const double *parameters; /* [rows][P_COUNT] */
    const int32_t *integers;  /* [rows][I_COUNT] */
    const double *pair_alpha, *pair_x; /* [120][120] */
    double distance, steepness; /* Å, 1/Å²; where integrals go over to those of point charges; 0: nowhere */
} MethodTable;

typedef struct {
    double tolerance;
    int64_t max_iterations, max_descent, history;
    int64_t iterate; /* 0: everything is evaluated at the density given */
    int64_t search;  /* lower solutions of doubtful molecules are looked for */
} Options;

/* states of a molecule when the core leaves it */
enum { DONE = 0, NOT_CONVERGED = 1 };

typedef struct { /* molecules one after another, the atoms of each in the order of their orbitals, wide ones first */
    const Tables *tables;
    const MethodTable *method;
    Options options;
    int64_t n_systems, n_spins_out, size; /* of the density written: [systems][n_spins_out][size][size] */
    const int64_t *first_atom, *first_pair, *n_spins, *n_occupied; /* [systems + 1] twice, [systems], [systems][2] */
    const int64_t *row;                   /* [atoms] of the method's table */
    const double *positions, *masses;     /* [atoms][3] Å, [atoms] */
    const double *guess;                  /* like the density, or NULL */
    const double *closed_angles, *open_angles; /* [trials][2][16][16] antisymmetric, of shuffled orbitals */
    double *density, *fock, *electronic, *core, *residual, *charges, *dipole;
    int64_t *iterations, *state;
    double *gradient;                     /* [atoms][3] eV/Å, or NULL */
    double *by_parameter;                 /* [atoms][P_DIFFERENTIABLE], or NULL */
    const double *factors;                /* [pairs][N_FACTORS] of overlaps (la, lb, m) and core repulsion, or NULL */
    double *by_factor;                    /* like the factors, or NULL */
    int64_t n_surrounded;                 /* products of the largest system, see surroundings.h */
    const double *surrounding, *reaction; /* [systems][n_surrounded], [systems][n_surrounded][n_surrounded], or NULL */
} Batch;

typedef struct { /* scratch memory that grows */
    char *base;
    size_t size, used;
} Arena;

INLINE int64_t padded(int64_t n) { return (n + 3) & ~(int64_t)3; }
INLINE int n_products(int width) { return width * (width + 1) / 2; }
INLINE int n_shells(int width) { return width == 1 ? 1 : width == 4 ? 2 : 3; }
INLINE double square(double x) { return x * x; }
#endif
