/* Products, factorisation and eigenvalues of small dense matrices in double precision. */
#ifndef NDDO_MATRIX_H
#define NDDO_MATRIX_H
#include "types.h"

typedef double v4 __attribute__((vector_size(32), aligned(8), may_alias));

INLINE v4 wide(double x) { return (v4){x, x, x, x}; }

/* rows × (4·vectors) of C from A [rows × k], element (i, p) at a[i·ra + p·ca], and B [k × …] */
INLINE void tile(int rows, int vectors, int64_t k, const double *a, int64_t ra, int64_t ca, const double *b,
                 int64_t ldb, double *c, int64_t ldc, int mode) {
    v4 sum[4][3];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < vectors; j++) sum[i][j] = wide(0.0);
    for (int64_t p = 0; p < k; p++) {
        v4 right[3];
        for (int j = 0; j < vectors; j++) right[j] = *(const v4 *)(b + p * ldb + 4 * j);
        for (int i = 0; i < rows; i++) {
            v4 left = wide(a[i * ra + p * ca]);
            for (int j = 0; j < vectors; j++) sum[i][j] += left * right[j];
        }
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < vectors; j++) {
            v4 *at = (v4 *)(c + i * ldc + 4 * j);
            if (mode == 0) *at = sum[i][j];
            else if (mode > 0) *at += sum[i][j];
            else *at -= sum[i][j];
        }
}

#define TILE_ROWS(ROWS)                                                                    \
    switch (v) {                                                                           \
    case 3: tile(ROWS, 3, k, ai, ra, ca, bj, ldb, cij, ldc, mode); break;                  \
    case 2: tile(ROWS, 2, k, ai, ra, ca, bj, ldb, cij, ldc, mode); break;                  \
    default: tile(ROWS, 1, k, ai, ra, ca, bj, ldb, cij, ldc, mode);                        \
    }

/* C = A B (mode 0), C += A B (1), C −= A B (−1); n columns are rounded up to four, so B and C need zeros there */
static void multiply(int64_t m, int64_t n, int64_t k, const double *a, int64_t ra, int64_t ca, const double *b,
                     int64_t ldb, double *c, int64_t ldc, int mode) {
    int64_t vectors = (n + 3) / 4;
    for (int64_t j = 0; j < vectors; j += 3) {
        int v = vectors - j < 3 ? (int)(vectors - j) : 3;
        const double *bj = b + 4 * j;
        for (int64_t i = 0; i < m; i += 4) {
            const double *ai = a + i * ra;
            double *cij = c + i * ldc + 4 * j;
            switch (m - i) {
            case 1: TILE_ROWS(1); break;
            case 2: TILE_ROWS(2); break;
            case 3: TILE_ROWS(3); break;
            default: TILE_ROWS(4);
            }
        }
    }
}

INLINE void axpy(int64_t n, double f, const double *restrict x, double *restrict y) {
    for (int64_t k = 0; k < n; k++) y[k] += f * x[k];
}

static void transpose(int64_t rows, int64_t cols, const double *a, int64_t lda, double *b, int64_t ldb) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) b[j * ldb + i] = a[i * lda + j];
}

/* upper factor U of UᵀU in place of the upper triangle; 0 where the matrix is not positive definite */
static int cholesky(int64_t n, double *a, int64_t ld) {
    for (int64_t k = 0; k < n; k++) {
        double *row = a + k * ld;
        if (!(row[k] > 0)) return 0;
        double inverse = 1.0 / sqrt(row[k]);
        for (int64_t j = k; j < n; j++) row[j] *= inverse;
        for (int64_t i = k + 1; i < n; i++) axpy(n - i, -row[i], row + i, a + i * ld + i);
    }
    return 1;
}

/* Y in place of B in Uᵀ Y = B, rows of B of `cols` elements */
static void solve_lower(int64_t n, const double *u, int64_t ldu, int64_t cols, double *b, int64_t ldb) {
    for (int64_t first = 0; first < n; first += 4) {
        int64_t last = first + 4 < n ? first + 4 : n;
        if (first) multiply(last - first, cols, first, u + first, 1, ldu, b, ldb, b + first * ldb, ldb, -1);
        for (int64_t i = first; i < last; i++) {
            for (int64_t j = first; j < i; j++) axpy(cols, -u[j * ldu + i], b + j * ldb, b + i * ldb);
            double inverse = 1.0 / u[i * ldu + i];
            for (int64_t k = 0; k < cols; k++) b[i * ldb + k] *= inverse;
        }
    }
}

/* x of A x = b by elimination with row exchanges, in place; 0 where A is singular. n is small. */
static int solve_small(int n, double *a, int ld, double *b) {
    for (int k = 0; k < n; k++) {
        int at = k;
        for (int i = k + 1; i < n; i++)
            if (fabs(a[i * ld + k]) > fabs(a[at * ld + k])) at = i;
        if (a[at * ld + k] == 0.0) return 0;
        if (at != k) {
            for (int j = 0; j < n; j++) {
                double t = a[k * ld + j];
                a[k * ld + j] = a[at * ld + j], a[at * ld + j] = t;
            }
            double t = b[k];
            b[k] = b[at], b[at] = t;
        }
        for (int i = k + 1; i < n; i++) {
            double f = a[i * ld + k] / a[k * ld + k];
            for (int j = k; j < n; j++) a[i * ld + j] -= f * a[k * ld + j];
            b[i] -= f * b[k];
        }
    }
    for (int i = n - 1; i >= 0; i--) {
        for (int j = i + 1; j < n; j++) b[i] -= a[i * ld + j] * b[j];
        b[i] /= a[i * ld + i];
    }
    return 1;
}

/* A = Q T Qᵀ by Householder reflections. A is overwritten; Qᵀ goes to q, T to d and e (e[k] couples k and k + 1). */
static void tridiagonalize(int64_t n, double *a, int64_t ld, double *q, double *d, double *e, double *v, double *w,
                           double *beta) {
    for (int64_t k = 0; k + 2 < n; k++) {
        double *row = a + k * ld, *u = row + k + 1;
        int64_t m = n - k - 1;
        double norm = sqrt(dot(m, u, u)), tail = dot(m - 1, u + 1, u + 1);
        d[k] = row[k];
        beta[k] = 0.0;
        e[k] = u[0];
        if (tail <= 0.0) continue;
        double head = u[0] > 0 ? u[0] + norm : u[0] - norm;
        e[k] = u[0] > 0 ? -norm : norm;
        u[0] = head;
        beta[k] = 2.0 / (head * head + tail);
        double *sub = a + (k + 1) * ld + k + 1;
        for (int64_t i = 0; i < m; i++) v[i] = u[i];
        for (int64_t i = 0; i < m; i++) w[i] = beta[k] * dot(m, sub + i * ld, v);
        double half = 0.5 * beta[k] * dot(m, v, w);
        for (int64_t i = 0; i < m; i++) w[i] -= half * v[i];
        for (int64_t i = 0; i < m; i++) {
            double vi = v[i], wi = w[i], *r = sub + i * ld;
            for (int64_t j = 0; j < m; j++) r[j] -= vi * w[j] + wi * v[j];
        }
    }
    if (n >= 2) {
        d[n - 2] = a[(n - 2) * ld + n - 2];
        e[n - 2] = a[(n - 2) * ld + n - 1];
    }
    d[n - 1] = a[(n - 1) * ld + n - 1];
    for (int64_t i = 0; i < n; i++) {
        memset(q + i * ld, 0, sizeof(double) * (size_t)ld);
        q[i * ld + i] = 1.0;
    }
    for (int64_t k = n - 3; k >= 0; k--) { /* Qᵀ ← Qᵀ H_k on the block it touches */
        if (beta[k] == 0.0) continue;
        int64_t m = n - k - 1;
        const double *u = a + k * ld + k + 1;
        for (int64_t i = k + 1; i < n; i++) {
            double *r = q + i * ld + k + 1;
            axpy(m, -beta[k] * dot(m, r, u), u, r);
        }
    }
}

/* Eigenvalues, ascending, in d and eigenvectors as the rows of q; A is overwritten. 0 where it does not converge.
 * Implicit QL steps on the tridiagonal form (Golub & Van Loan, Matrix Computations, ch. 8). scratch: 4 n. */
static int eigen(int64_t n, double *a, int64_t ld, double *d, double *q, double *scratch) {
    double *e = scratch, *v = scratch + n, *w = scratch + 2 * n, *beta = scratch + 3 * n;
    tridiagonalize(n, a, ld, q, d, e, v, w, beta);
    e[n - 1] = 0.0;
    for (int64_t l = 0; l < n; l++) {
        for (int step = 0;; step++) {
            int64_t m = l;
            for (; m < n - 1; m++) {
                double size = fabs(d[m]) + fabs(d[m + 1]);
                if (fabs(e[m]) <= 2.3e-16 * size) break;
            }
            if (m == l) break;
            if (step == 60) return 0;
            double g = (d[l + 1] - d[l]) / (2.0 * e[l]), r = sqrt(g * g + 1.0);
            g = d[m] - d[l] + e[l] / (g + (g >= 0 ? r : -r));
            double s = 1.0, c = 1.0, p = 0.0;
            int64_t i = m - 1;
            for (; i >= l; i--) {
                double f = s * e[i], b = c * e[i];
                r = sqrt(f * f + g * g);
                e[i + 1] = r;
                if (r == 0.0) {
                    d[i + 1] -= p;
                    e[m] = 0.0;
                    break;
                }
                s = f / r, c = g / r;
                g = d[i + 1] - p;
                r = (d[i] - g) * s + 2.0 * c * b;
                p = s * r;
                d[i + 1] = g + p;
                g = c * r - b;
                double *restrict low = q + i * ld, *restrict high = q + (i + 1) * ld;
                for (int64_t k = 0; k < n; k++) {
                    double t = high[k];
                    high[k] = s * low[k] + c * t;
                    low[k] = c * low[k] - s * t;
                }
            }
            if (r == 0.0 && i >= l) continue;
            d[l] -= p;
            e[l] = g;
            e[m] = 0.0;
        }
    }
    for (int64_t i = 0; i < n - 1; i++) { /* ascending */
        int64_t k = i;
        for (int64_t j = i + 1; j < n; j++)
            if (d[j] < d[k]) k = j;
        if (k == i) continue;
        double t = d[i];
        d[i] = d[k], d[k] = t;
        for (int64_t j = 0; j < n; j++) t = q[i * ld + j], q[i * ld + j] = q[k * ld + j], q[k * ld + j] = t;
    }
    return 1;
}
#endif
