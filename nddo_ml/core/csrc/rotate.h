/* Local frames of pairs and the rotation of orbitals and their products. */
#ifndef NDDO_ROTATE_H
#define NDDO_ROTATE_H
#include "types.h"

#define N_BLOCKS 6
static const int BLOCK_SIZE[N_BLOCKS] = {1, 3, 6, 5, 15, 15};
static const int BLOCK_MATRIX[N_BLOCKS] = {0, 1, 10, 46, 71, 296}; /* where a block's matrix begins */
static const int N_BLOCKS_OF[4] = {0, 1, 3, 6};                     /* by number of shells */
static const int ORBITAL_SIZE[3] = {1, 3, 5}, ORBITAL_AT[3] = {0, 1, 4}, ORBITAL_MATRIX[3] = {0, 1, 10};
#define MATRIX_SIZE 521

typedef struct { /* rows are Cartesian, columns local; `turned` the transposes */
    double frame[3][3];
    double orbital[35], orbital_turned[35];
    double product[MATRIX_SIZE], product_turned[MATRIX_SIZE];
} Rotation;

INLINE void transposed(int n, const double *a, double *b) {
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) b[j * n + i] = a[i * n + j];
}

/* products of two different shells: R_one ⊗ R_two */
INLINE void outer_rotation(int n, const double *one, int m, const double *two, double *out) {
    for (int i = 0; i < n; i++)
        for (int k = 0; k < m; k++)
            for (int j = 0; j < n; j++)
                for (int l = 0; l < m; l++) out[(i * m + k) * n * m + j * m + l] = one[i * n + j] * two[k * m + l];
}

/* products of a shell with itself, packed: sums of mn and nm */
INLINE void square_rotation(int n, const double *r, double *out) {
    int size = n * (n + 1) / 2, row = 0;
    for (int i = 0; i < n; i++)
        for (int k = 0; k <= i; k++, row++) {
            int col = 0;
            for (int m = 0; m < n; m++)
                for (int l = 0; l <= m; l++, col++)
                    out[row * size + col] = m == l ? r[i * n + m] * r[k * n + m]
                                                   : r[i * n + m] * r[k * n + l] + r[i * n + l] * r[k * n + m];
        }
}

static void d_rotation(const double *forms, double frame[3][3], double *out) {
    for (int k = 0; k < 5; k++) {
        double half[3][3], turned[3][3];
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++) {
                half[i][j] = 0.0;
                for (int m = 0; m < 3; m++) half[i][j] += forms[k * 9 + i * 3 + m] * frame[m][j];
            }
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++) {
                turned[i][j] = 0.0;
                for (int m = 0; m < 3; m++) turned[i][j] += frame[m][i] * half[m][j];
            }
        for (int i = 0; i < 5; i++) {
            double sum = 0.0;
            for (int m = 0; m < 9; m++) sum += forms[i * 9 + m] * turned[m / 3][m % 3];
            out[i * 5 + k] = sum;
        }
    }
}

/* The frame whose third axis is u, and its rotations for blocks up to `shells`. */
static void rotation_to(const Tables *t, const double u[3], int shells, Rotation *r) {
    double ax = fabs(u[0]), ay = fabs(u[1]), az = fabs(u[2]);
    int least = ax <= ay ? (ax <= az ? 0 : 2) : (ay <= az ? 1 : 2);
    double h[3] = {0, 0, 0}, x[3];
    h[least] = 1.0;
    x[0] = h[1] * u[2] - h[2] * u[1], x[1] = h[2] * u[0] - h[0] * u[2], x[2] = h[0] * u[1] - h[1] * u[0];
    double inverse = 1.0 / sqrt(x[0] * x[0] + x[1] * x[1] + x[2] * x[2]);
    for (int k = 0; k < 3; k++) x[k] *= inverse;
    double y[3] = {u[1] * x[2] - u[2] * x[1], u[2] * x[0] - u[0] * x[2], u[0] * x[1] - u[1] * x[0]};
    memcpy(r->frame[0], x, sizeof x), memcpy(r->frame[1], y, sizeof y), memcpy(r->frame[2], u, sizeof x);
    r->orbital[0] = r->orbital_turned[0] = r->product[0] = r->product_turned[0] = 1.0;
    if (shells < 2) return;
    double *p = r->orbital + 1;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) p[i * 3 + j] = r->frame[j][i];
    transposed(3, p, r->orbital_turned + 1);
    memcpy(r->product + 1, p, 9 * sizeof(double));
    square_rotation(3, p, r->product + 10);
    if (shells == 3) {
        double *d = r->orbital + 10;
        d_rotation(t->forms, r->frame, d);
        transposed(5, d, r->orbital_turned + 10);
        memcpy(r->product + 46, d, 25 * sizeof(double));
        outer_rotation(5, d, 3, p, r->product + 71);
        square_rotation(5, d, r->product + 296);
    }
    for (int b = 1; b < N_BLOCKS_OF[shells]; b++)
        transposed(BLOCK_SIZE[b], r->product + BLOCK_MATRIX[b], r->product_turned + BLOCK_MATRIX[b]);
}

/* out = D in, for the rows of one block; a compiler sees the sizes */
INLINE void block_left(int n, int cols, const double *d, const double *in, double *out, int ld) {
    for (int i = 0; i < n; i++) {
        double sum[MAX_COLS];
        for (int j = 0; j < cols; j++) sum[j] = d[i * n] * in[j];
        for (int k = 1; k < n; k++)
            for (int j = 0; j < cols; j++) sum[j] += d[i * n + k] * in[k * ld + j];
        for (int j = 0; j < cols; j++) out[i * ld + j] = sum[j];
    }
}

/* out = in E, for the columns of one block */
INLINE void block_right(int n, int rows, const double *e, const double *in, double *out, int ld) {
    for (int i = 0; i < rows; i++) {
        double sum[16];
        for (int j = 0; j < n; j++) sum[j] = in[i * ld] * e[j];
        for (int k = 1; k < n; k++)
            for (int j = 0; j < n; j++) sum[j] += in[i * ld + k] * e[k * n + j];
        for (int j = 0; j < n; j++) out[i * ld + j] = sum[j];
    }
}

INLINE int columns_of(int n) { return n <= 1 ? 4 : n <= 12 ? 12 : MAX_COLS; }

INLINE void left_products(int shells, int ld, const double *d, const double *in, double *out) {
    memcpy(out, in, sizeof(double) * (size_t)ld);
    block_left(3, ld, d + 1, in + ld, out + ld, ld);
    block_left(6, ld, d + 10, in + 4 * ld, out + 4 * ld, ld);
    if (shells < 3) return;
    block_left(5, ld, d + 46, in + 10 * ld, out + 10 * ld, ld);
    block_left(15, ld, d + 71, in + 15 * ld, out + 15 * ld, ld);
    block_left(15, ld, d + 296, in + 30 * ld, out + 30 * ld, ld);
}

INLINE void right_products(int shells, int rows, int ld, const double *e, const double *in, double *out) {
    for (int i = 0; i < rows; i++) out[i * ld] = in[i * ld];
    block_right(3, rows, e + 1, in + 1, out + 1, ld);
    block_right(6, rows, e + 10, in + 4, out + 4, ld);
    if (shells < 3) return;
    block_right(5, rows, e + 46, in + 10, out + 10, ld);
    block_right(15, rows, e + 71, in + 15, out + 15, ld);
    block_right(15, rows, e + 296, in + 30, out + 30, ld);
}

/* out = D_A in D_Bᵀ over products of orbitals, or D_Aᵀ in D_B with `back`; a core's row and column do not turn.
 * in and out have columns_of(cols) columns. */
static void rotate_products(const Rotation *r, int shells_a, int shells_b, int cores, int back, const double *in,
                            double *out) {
    int rows = n_products(shells_a * shells_a) + cores, cols = n_products(shells_b * shells_b) + cores;
    int ld = columns_of(cols);
    double half[MAX_ROWS * MAX_COLS];
    const double *left = back ? r->product_turned : r->product, *right = back ? r->product : r->product_turned;
    if (shells_a == 1) {
        memcpy(out, in, sizeof(double) * (size_t)(rows * ld));
        return;
    }
    double *middle = shells_b == 1 ? out : half;
    if (shells_a == 2 && ld == 4) left_products(2, 4, left, in, middle);
    else if (shells_a == 2) left_products(2, 12, left, in, middle);
    else left_products(shells_a, ld, left, in, middle);
    if (cores) memcpy(middle + (rows - 1) * ld, in + (rows - 1) * ld, sizeof(double) * (size_t)ld);
    if (shells_b == 1) return;
    if (shells_b == 2 && rows == 10) right_products(2, 10, 12, right, half, out);
    else right_products(shells_b, rows, ld, right, half, out);
    if (cores)
        for (int i = 0; i < rows; i++) out[i * ld + cols - 1] = half[i * ld + cols - 1];
}

/* The same over orbitals; blocks [width_a][width_b]. */
static void rotate_orbitals(const Rotation *r, int width_a, int width_b, int back, const double *in, double *out) {
    double half[MAX_WIDTH * MAX_WIDTH];
    const double *left = back ? r->orbital_turned : r->orbital, *right = back ? r->orbital : r->orbital_turned;
    for (int s = 0; s < n_shells(width_a); s++) {
        int n = ORBITAL_SIZE[s], at = ORBITAL_AT[s];
        for (int i = 0; i < n; i++)
            for (int j = 0; j < width_b; j++) {
                double sum = 0.0;
                for (int k = 0; k < n; k++) sum += left[ORBITAL_MATRIX[s] + i * n + k] * in[(at + k) * width_b + j];
                half[(at + i) * width_b + j] = sum;
            }
    }
    for (int s = 0; s < n_shells(width_b); s++) {
        int n = ORBITAL_SIZE[s], at = ORBITAL_AT[s];
        for (int i = 0; i < width_a; i++)
            for (int j = 0; j < n; j++) {
                double sum = 0.0;
                for (int k = 0; k < n; k++) sum += half[i * width_b + at + k] * right[ORBITAL_MATRIX[s] + k * n + j];
                out[i * width_b + at + j] = sum;
            }
    }
}

/* Torques about x and y of a block `value` that turns, whose elements count `weight`: Σ w (G v + v Gᵀ), in any frame */
INLINE void add_torque(const Generator *a, const Generator *b, int rows, int cols, int ld, const double *value,
                       const double *weight, double torque[2]) {
    for (int64_t e = 0; e < a->n_entries; e++) {
        const double *w = weight + a->row[e] * ld, *v = value + a->col[e] * ld;
        double sum = 0.0;
        for (int j = 0; j < cols; j++) sum += w[j] * v[j];
        torque[a->axis[e]] += a->value[e] * sum;
    }
    for (int64_t e = 0; e < b->n_entries; e++) {
        double sum = 0.0;
        for (int i = 0; i < rows; i++) sum += weight[i * ld + b->row[e]] * value[i * ld + b->col[e]];
        torque[b->axis[e]] += b->value[e] * sum;
    }
}
#endif
