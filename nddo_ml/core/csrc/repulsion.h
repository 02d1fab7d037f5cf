/* Core–core repulsion: the functions of nddo_ml.energy.core_repulsion, with their derivatives. */
#ifndef NDDO_REPULSION_H
#define NDDO_REPULSION_H
#include "limits.h"

enum { CLASSIC = 0, AM1 = 1, MNDOD = 2, PM6 = 3, PM7 = 4 };

typedef struct { /* of one pair, eV; derivatives by the distance (Å) and by parameters of both atoms */
    double energy, by_distance;
} Repulsion;

/* Σ K exp(−L (r − M)²) over the first n, its slope, and the derivatives by K, L and M times `scale` */
static double gaussians(const double *p, int n, double r, double *slope, double scale, double *by) {
    double sum = 0.0;
    for (int k = 0; k < n; k++) {
        double x = r - p[P_M + k], e = exp(-p[P_L + k] * x * x), g = p[P_K + k] * e;
        sum += g;
        *slope += -2.0 * p[P_L + k] * x * g;
        if (!by) continue;
        by[P_K + k] += scale * e;
        by[P_L + k] -= scale * x * x * g;
        by[P_M + k] += scale * 2.0 * p[P_L + k] * x * g;
    }
    return sum;
}

static double boron_gaussians(const double *row, double r, double *slope) {
    double sum = 0.0;
    for (int k = 0; k < 2; k++) {
        double x = r - row[3 * k + 2], g = row[3 * k] * exp(-row[3 * k + 1] * x * x);
        sum += g;
        *slope += -2.0 * row[3 * k + 1] * x * g;
    }
    return sum;
}

/* exp(−αr), times r for N and O bound to hydrogen */
static double decay(double alpha, int z, int partner, double r, double *slope, double *by_alpha) {
    double e = exp(-alpha * r);
    int special = partner == 1 && (z == 7 || z == 8);
    *slope += special ? (1.0 - alpha * r) * e : -alpha * e;
    *by_alpha = special ? -r * r * e : -r * e;
    return special ? r * e : e;
}

static int is_pair(int a, int b, int one, int two) { return (a == one && b == two) || (a == two && b == one); }

static int is_lanthanoid(int z) { return z > 56 && z < 72; }

/* Energy of a pair at r Å. by_a and by_b, where not NULL, take `factor` times the derivatives by the atoms' parameters. */
static Repulsion repulsion_of(const Field *f, int a, int b, double r, double factor, double *by_a, double *by_b) {
    const MethodTable *m = f->method;
    const double *pa = f->parameters[a], *pb = f->parameters[b];
    int za = f->integers[a][I_NUMBER], zb = f->integers[b][I_NUMBER];
    double bohr = f->tables->bohr, hartree = f->tables->hartree, charges = pa[P_CHARGE] * pb[P_CHARGE];
    double rho = pa[P_CORE_RADIUS] + pb[P_CORE_RADIUS], inverse = 1.0 / sqrt(square(r / bohr) + rho * rho);
    Limit limit = limit_at(f, r / bohr);
    double gamma = hartree * inverse, cube = charges * limit.weight * gamma * inverse * inverse;
    double coulomb = charges * (limit.weight * gamma + limit.point);
    double slope = charges * (limit.weight_slope * gamma + limit.point_slope) / bohr - cube * r / (bohr * bohr);
    double alpha = m->pair_alpha[za * 120 + zb], x = m->pair_x[za * 120 + zb];
    int diatomic = isfinite(alpha) && fabs(x) > 1e-5;
    double bracket = 1.0, d_bracket = 0.0, gauss = 0.0, d_gauss = 0.0, extra = 0.0, d_extra = 0.0;
    double alpha_a = 0.0, alpha_b = 0.0; /* derivatives of the bracket by the atoms' α */
    double weight = charges / r, scale = factor * weight;
    if (m->kind >= PM6) {
        if (diatomic) {
            int square_ = (za == 1 && (zb == 6 || zb == 7 || zb == 8)) || (zb == 1 && (za == 6 || za == 7 || za == 8));
            double e = square_ ? r * r : r + 3e-4 * power(r, 6), de = square_ ? 2 * r : 1 + 18e-4 * power(r, 5);
            double g = 2.0 * x * exp(-alpha * e);
            bracket += g, d_bracket -= alpha * de * g;
            if (za == 6 && zb == 6) {
                double k = m->kind == PM7 ? 6.024265 : 5.983752, c = (m->kind == PM7 ? 8.947612 : 9.278465) * exp(-k * r);
                bracket += c, d_bracket -= k * c;
            }
            if (m->kind == PM7 && is_pair(za, zb, 8, 1)) {
                double k = 2.0 * 0.701333, c = 0.012037 * exp(-k * r);
                bracket += c, d_bracket -= k * c;
            }
            if (is_pair(za, zb, 14, 8)) {
                double c = 7e-4 * exp(-square(r - 2.9));
                bracket -= c, d_bracket += 2.0 * (r - 2.9) * c;
            }
        } else {
            double k = is_lanthanoid(za) || is_lanthanoid(zb) ? 3.0 : 2.18, g = 10.0 * exp(-k * r);
            bracket += g, d_bracket -= k * g;
            gauss += gaussians(pa, 4, r, &d_gauss, scale, by_a) + gaussians(pb, 4, r, &d_gauss, scale, by_b);
        }
        gauss += gaussians(pa, 1, r, &d_gauss, scale, by_a) + gaussians(pb, 1, r, &d_gauss, scale, by_b);
        extra = 1e-8 * power((pow(za, 0.3333) + pow(zb, 0.3333)) / r, 12);
        d_extra = -12.0 * extra / r;
    } else if (m->kind == MNDOD) {
        if (diatomic) {
            int metal_a = za >= 11 && za <= 13;
            double other = metal_a ? pb[P_ALPHA] : pa[P_ALPHA], special = exp(-alpha * r);
            double partner = za == zb ? special : exp(-other * r);
            bracket += special + partner;
            d_bracket -= alpha * special + (za == zb ? alpha : other) * partner;
            if (za != zb) *(metal_a ? &alpha_b : &alpha_a) = -r * partner;
        } else {
            bracket += decay(pa[P_ALPHA], za, zb, r, &d_bracket, &alpha_a);
            bracket += decay(pb[P_ALPHA], zb, za, r, &d_bracket, &alpha_b);
        }
    } else if (diatomic) {
        int hydride = m->kind == AM1 && is_pair(za, zb, 42, 1);
        double g = 2.0 * x * exp(-alpha * r);
        bracket += hydride ? r * g : g;
        d_bracket += hydride ? (1.0 - alpha * r) * g : -alpha * g;
    } else {
        bracket += decay(pa[P_ALPHA], za, zb, r, &d_bracket, &alpha_a);
        bracket += decay(pb[P_ALPHA], zb, za, r, &d_bracket, &alpha_b);
        for (int k = 0; k < 2; k++) {
            int z = k ? zb : za, partner = k ? za : zb;
            const double *own = f->tables->boron + partner * 6;
            if (m->kind == AM1 && z == 5 && !isnan(own[0])) gauss += boron_gaussians(own, r, &d_gauss);
            else gauss += gaussians(k ? pb : pa, 4, r, &d_gauss, scale, k ? by_b : by_a);
        }
    }
    if (by_a) {
        double by_rho = -factor * cube * rho * bracket;
        by_a[P_CORE_RADIUS] += by_rho, by_b[P_CORE_RADIUS] += by_rho;
        by_a[P_ALPHA] += factor * coulomb * alpha_a, by_b[P_ALPHA] += factor * coulomb * alpha_b;
    }
    Repulsion result = {coulomb * bracket + weight * gauss + extra,
                        slope * bracket + coulomb * d_bracket +
                            weight * (d_gauss - gauss / r) + d_extra};
    return result;
}
#endif
