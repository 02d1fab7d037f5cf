/* Factors of symmetry functions for arrays of distances or cosines, in loops that the compiler turns into vector
 * instructions: values and slopes. */
#ifndef BP_FACTORS_H
#define BP_FACTORS_H
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"

#define PI 3.141592653589793

INLINE double inside(double x) { return x < 0.0 ? 0.0 : x > 1.0 ? 1.0 : x; }

/* 1 − x^(m+1) Σ_k c_k x^k, whose slope is −A x^m (1 − x)^m */
static void polynomial_cutoff(int m, double start, double scale, int64_t n, const double *r, double *value,
                              double *slope) {
    static const double table[4][6] = {{3, -2, 0, 0, 0, 6}, {10, -15, 6, 0, 0, 30}, {35, -84, 70, -20, 0, 140},
                                       {126, -420, 540, -315, 70, 630}};
    const double *c = table[m - 1];
    for (int64_t k = 0; k < n; k++) {
        double x = inside((r[k] - start) * scale), y = x * (1.0 - x), power = x, bump = 1.0;
        for (int i = 0; i < m; i++) power *= x, bump *= y;
        value[k] = 1.0 - power * (c[0] + x * (c[1] + x * (c[2] + x * (c[3] + x * c[4]))));
        slope[k] = -c[5] * scale * bump;
    }
}

/* f_c and its slope; kinds are numbered as n2p2 does */
static void cutoff(int kind, double inner, double radius, int64_t n, const double *r, double *value, double *slope) {
    double start = inner * radius, scale = 1.0 / (radius - start);
    if (kind == 1)
        for (int64_t k = 0; k < n; k++) {
            double x = inside((r[k] - start) * scale);
            value[k] = 0.5 * (1.0 + cos(PI * x));
            slope[k] = -0.5 * PI * scale * sin(PI * x);
        }
    else if (kind <= 3) {
        double t1 = tanh(1.0), norm = kind == 2 ? 1.0 : 1.0 / (t1 * t1 * t1);
        for (int64_t k = 0; k < n; k++) {
            double x = r[k] * scale, t = tanh(1.0 - (x > 1.0 ? 1.0 : x));
            value[k] = norm * t * t * t;
            slope[k] = -3.0 * norm * scale * t * t * (1.0 - t * t);
        }
    } else if (kind == 4)
        for (int64_t k = 0; k < n; k++) {
            double x = inside((r[k] - start) * scale), gap = fmax(1.0 - x * x, 1e-3);
            value[k] = exp(1.0 - 1.0 / gap);
            slope[k] = -2.0 * x * scale * value[k] / (gap * gap);
        }
    else if (kind == 5) polynomial_cutoff(1, start, scale, n, r, value, slope);
    else if (kind == 6) polynomial_cutoff(2, start, scale, n, r, value, slope);
    else if (kind == 7) polynomial_cutoff(3, start, scale, n, r, value, slope);
    else polynomial_cutoff(4, start, scale, n, r, value, slope);
}

/* 2^(1−ζ) (1 + λ c)^ζ and its slope in c */
static void angular_power(double zeta, double lambda, int64_t n, const double *c, double *value, double *slope) {
    int exponent = (int)zeta - 1;
    if (exponent + 1 != zeta || zeta < 1.0) {
        for (int64_t k = 0; k < n; k++) {
            double p = fmax(0.5 * (1.0 + lambda * c[k]), 1e-12), q = pow(p, zeta - 1.0);
            value[k] = 2.0 * p * q;
            slope[k] = zeta * lambda * q;
        }
        return;
    }
    int bit = 1;
    while (2 * bit <= exponent) bit *= 2;
    for (int64_t k = 0; k < n; k++) slope[k] = 1.0;
    for (; exponent > 0 && bit > 0; bit /= 2) { /* (½ + ½ λ c)^exponent, binary digits from the highest */
        if (exponent & bit)
            for (int64_t k = 0; k < n; k++) slope[k] *= slope[k] * (0.5 * (1.0 + lambda * c[k]));
        else
            for (int64_t k = 0; k < n; k++) slope[k] *= slope[k];
    }
    for (int64_t k = 0; k < n; k++) {
        double q = slope[k];
        value[k] = (1.0 + lambda * c[k]) * q;
        slope[k] = zeta * lambda * q;
    }
}

/* Values and slopes [2][factors][stride] of rows (cut-off, η, r_s, κ): exp(−η (r − r_s)²) cos(κ r) f_c(r); 1 and 0
 * where not chosen. cut: [2][stride] */
static void factors(const double *cutoffs, int64_t count, const double *rows, const uint8_t *chosen, int64_t n,
                    const double *r, int64_t stride, double *cut, double *out) {
    int64_t last = -1;
    for (int64_t f = 0; f < count; f++) {
        double *value = out + f * stride, *slope = out + (count + f) * stride;
        if (chosen && !chosen[f]) {
            for (int64_t k = 0; k < n; k++) value[k] = 1.0, slope[k] = 0.0;
            continue;
        }
        const double *row = rows + 4 * f;
        int64_t c = (int64_t)row[0];
        if (c != last) cutoff((int)cutoffs[3 * c], cutoffs[3 * c + 1], cutoffs[3 * c + 2], n, r, cut, cut + stride);
        last = c;
        double eta = row[1], shift = row[2], kappa = row[3];
        for (int64_t k = 0; k < n; k++) {
            double d = r[k] - shift, g = fast_exp(-eta * d * d);
            value[k] = g * cut[k];
            slope[k] = g * (cut[stride + k] - 2.0 * eta * d * cut[k]);
        }
        if (kappa != 0.0)
            for (int64_t k = 0; k < n; k++) {
                double cosine = cos(kappa * r[k]), sine = sin(kappa * r[k]);
                slope[k] = cosine * slope[k] - kappa * sine * value[k];
                value[k] *= cosine;
            }
    }
}
#endif
