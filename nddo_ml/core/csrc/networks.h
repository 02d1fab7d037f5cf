/* Small feed-forward networks, one a kind of rows, and the radii of multipoles: values and derivatives. */
#ifndef NDDO_NETWORKS_H
#define NDDO_NETWORKS_H
#include "matrix.h"

#define ROWS_AT_ONCE 32
#define NEWTON_STEPS 10

enum { LINEAR = 0, SILU = 1, TANH = 2 };

#define PANEL 12

/* y = f(b + W x), layer after layer; matrices in panels of twelve columns, the last filled with zeros. Of a panel only
 * the rows from its first to its last that is not zero are read, which in matrices of blocks are few. */
typedef struct {
    int64_t n_layers;
    const int64_t *width;           /* [layers + 1] */
    const int64_t *activation;      /* [layers] */
    const double *const *weight;    /* [panels of in][out][12] */
    const double *const *transposed; /* [panels of out][in][12] */
    const double *const *bias;      /* [out in whole panels] */
    const int64_t *const *weight_rows, *const *transposed_rows; /* [panels][2] first row, and the one after the last */
} Network;

typedef struct {
    int64_t n_networks, n_rows, n_inputs, n_outputs, n_kept; /* columns of x and y; of what is kept of a row */
    const Network *networks;
    const int64_t *kind; /* [rows] network, or −1: its outputs are zero */
} Rows;

INLINE int64_t in_panels(int64_t n) { return (n + PANEL - 1) / PANEL * PANEL; }

/* C [m][n] = A [m][k] B, rows of A and C of `ld` elements, B in panels with `rows` that are not zero */
static void multiply_panels(int64_t m, int64_t n, int64_t k, const double *a, const double *b, const int64_t *rows,
                            double *c, int64_t ld) {
    for (int64_t j = 0; j < n; j += PANEL, b += k * PANEL, rows += 2) {
        int64_t first = rows[0], depth = rows[1] - first;
        for (int64_t i = 0; i < m; i += 4) {
            const double *ai = a + i * ld + first, *bj = b + first * PANEL;
            double *cij = c + i * ld + j;
            switch (m - i) {
            case 1: tile(1, 3, depth, ai, ld, 1, bj, PANEL, cij, ld, 0); break;
            case 2: tile(2, 3, depth, ai, ld, 1, bj, PANEL, cij, ld, 0); break;
            case 3: tile(3, 3, depth, ai, ld, 1, bj, PANEL, cij, ld, 0); break;
            default: tile(4, 3, depth, ai, ld, 1, bj, PANEL, cij, ld, 0);
            }
        }
    }
}

/* f and its slope in place of z and into slope */
INLINE void activate(int64_t n, int64_t kind, double *z, double *slope) {
    if (kind == SILU) {
        for (int64_t k = 0; k < n; k++) {
            double x = z[k], e = x < -700.0 ? 700.0 : -x, s = 1.0 / (1.0 + fast_exp(e));
            z[k] = x * s;
            slope[k] = s * (1.0 + x * (1.0 - s));
        }
    } else if (kind == TANH) {
        for (int64_t k = 0; k < n; k++) {
            double x = fabs(z[k]) > 20.0 ? copysign(20.0, z[k]) : z[k], t = 1.0 - 2.0 / (1.0 + fast_exp(2.0 * x));
            z[k] = t;
            slope[k] = 1.0 - t * t;
        }
    } else
        for (int64_t k = 0; k < n; k++) slope[k] = 1.0;
}

static int64_t widest(const Rows *r) {
    int64_t most = in_panels(r->n_inputs);
    for (int64_t k = 0; k < r->n_networks; k++)
        for (int64_t l = 0; l <= r->networks[k].n_layers; l++) {
            int64_t width = in_panels(r->networks[k].width[l]);
            most = width > most ? width : most;
        }
    return most;
}

/* up to ROWS_AT_ONCE rows of a kind, from `from` on; how many */
static int64_t next_rows(const Rows *r, int64_t kind, int64_t *from, int64_t *chosen) {
    int64_t count = 0;
    for (; *from < r->n_rows && count < ROWS_AT_ONCE; ++*from)
        if (r->kind[*from] == kind) chosen[count++] = *from;
    return count;
}

/* Outputs [rows][n_outputs] of inputs [rows][n_inputs]; slopes of all layers go to `kept` [rows][n_kept]. */
EXPORT int64_t nddo_core_networks(const Rows *r, const double *x, double *y, double *kept) {
    int64_t ld = widest(r), chosen[ROWS_AT_ONCE];
    double *block = malloc(sizeof(double) * (size_t)(2 * ROWS_AT_ONCE * ld));
    if (!block) return -1;
    for (int64_t kind = 0; kind < r->n_networks; kind++) {
        const Network *net = r->networks + kind;
        for (int64_t from = 0, m; (m = next_rows(r, kind, &from, chosen)) > 0;) {
            double *in = block, *out = block + ROWS_AT_ONCE * ld;
            for (int64_t i = 0; i < m; i++)
                memcpy(in + i * ld, x + chosen[i] * r->n_inputs, sizeof(double) * (size_t)net->width[0]);
            for (int64_t l = 0, at = 0; l < net->n_layers; l++) {
                int64_t n = in_panels(net->width[l + 1]);
                multiply_panels(m, n, net->width[l], in, net->transposed[l], net->transposed_rows[l], out, ld);
                for (int64_t i = 0; i < m; i++) {
                    for (int64_t k = 0; k < n; k++) out[i * ld + k] += net->bias[l][k];
                    activate(n, net->activation[l], out + i * ld, kept + chosen[i] * r->n_kept + at);
                }
                at += n;
                double *swap = in;
                in = out, out = swap;
            }
            for (int64_t i = 0; i < m; i++)
                memcpy(y + chosen[i] * r->n_outputs, in + i * ld, sizeof(double) * (size_t)net->width[net->n_layers]);
        }
    }
    free(block);
    return 0;
}

/* Adds to `by_x` the derivatives of Σ y · by_y by the inputs. */
EXPORT int64_t nddo_core_networks_back(const Rows *r, const double *by_y, const double *kept, double *by_x) {
    int64_t ld = widest(r), chosen[ROWS_AT_ONCE];
    double *block = malloc(sizeof(double) * (size_t)(2 * ROWS_AT_ONCE * ld));
    if (!block) return -1;
    for (int64_t kind = 0; kind < r->n_networks; kind++) {
        const Network *net = r->networks + kind;
        int64_t last = net->n_layers, end = 0;
        for (int64_t l = 1; l <= last; l++) end += in_panels(net->width[l]);
        for (int64_t from = 0, m; (m = next_rows(r, kind, &from, chosen)) > 0;) {
            double *above = block, *below = block + ROWS_AT_ONCE * ld;
            for (int64_t i = 0; i < m; i++)
                memcpy(above + i * ld, by_y + chosen[i] * r->n_outputs, sizeof(double) * (size_t)net->width[last]);
            for (int64_t l = last - 1, at = end; l >= 0; l--) {
                at -= in_panels(net->width[l + 1]);
                for (int64_t i = 0; i < m; i++)
                    for (int64_t k = 0; k < net->width[l + 1]; k++)
                        above[i * ld + k] *= kept[chosen[i] * r->n_kept + at + k];
                multiply_panels(m, net->width[l], net->width[l + 1], above, net->weight[l], net->weight_rows[l], below, ld);
                double *swap = above;
                above = below, below = swap;
            }
            for (int64_t i = 0; i < m; i++) axpy(net->width[0], 1.0, above + i * ld, by_x + chosen[i] * r->n_inputs);
        }
    }
    free(block);
    return 0;
}

/* u = 1/ρ where a dipole's or quadrupole's interaction with itself is `target`, and u's slopes in target and d */
static double inverse_radius(int quadrupole, double d, double target, double u, double *by_target, double *by_d) {
    double slope = 1.0, of_d = 0.0;
    for (int step = 0; step <= NEWTON_STEPS; step++) {
        double a = sqrt(1.0 + square(d * u)), b = sqrt(1.0 + 2.0 * square(d * u)), value;
        double a3 = 1.0 / (a * a * a), b3 = 1.0 / (b * b * b);
        if (quadrupole) {
            value = u * (0.125 - 0.25 / a + 0.125 / b), slope = 0.125 - 0.25 * a3 + 0.125 * b3;
            of_d = 0.25 * d * u * u * u * (a3 - b3);
        } else {
            value = 0.25 * u * (1.0 - 1.0 / a), slope = 0.25 * (1.0 - a3);
            of_d = 0.25 * d * u * u * u * a3;
        }
        if (step == NEWTON_STEPS) break;
        u = fmax(u - (value - target) / slope, 1e-3);
    }
    *by_target = 1.0 / slope, *by_d = -of_d / slope;
    return u;
}

/* Radii [atoms][2] of products of s and p by separations and one-centre integrals (hartree), [atoms][2] both, started
 * from radii; slopes [atoms][2][2] by the integral and by the separation. Radii are exact solutions. */
EXPORT void nddo_core_radii(int64_t n, const double *separation, const double *integral, double *radius, double *slope) {
    for (int64_t k = 0; k < 2 * n; k++) {
        double by_target, by_d, u = inverse_radius(k % 2, separation[k], integral[k], 1.0 / radius[k], &by_target, &by_d);
        radius[k] = 1.0 / u;
        slope[2 * k] = -by_target / (u * u), slope[2 * k + 1] = -by_d / (u * u);
    }
}
#endif
