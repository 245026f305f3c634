/* c[0] + c[1] x + c[2] x^2 + ... */
static float gradus_polynomial(float x, const float *c, int32_t n) {
    float sum = 0.0f;
    while (n > 0) {
        sum = sum * x + c[--n];
    }
    return sum;
}

/* 2^n for n from -126 to 127. */
static float gradus_power_of_two(int32_t n) {
    union { uint32_t bits; float value; } power;
    power.bits = (uint32_t)(n + 127) << 23;
    return power.value;
}

/* e^x = 2^n e^r, where n is the whole number nearest to x / ln 2 and r = x - n ln 2. */
static float gradus_exp(float x) {
    static const float c[5] = {0.49999994f, 0.16666515f, 0.041668456f, 0.008369419f, 0.0013813145f};
    int32_t n;
    float r;
    if (x != x) {
        return x;
    }
    x = x < -104.0f ? -104.0f : x > 89.0f ? 89.0f : x;
    n = (int32_t)(x * 1.44269504f + (x < 0.0f ? -0.5f : 0.5f));
    r = (x - (float)n * 0.6933594f) - (float)n * -0.00021219444f;
    r = 1.0f + (r + r * r * gradus_polynomial(r, c, 5));
    return r * gradus_power_of_two(n / 2) * gradus_power_of_two(n - n / 2);
}

/* ln x for x from 1 to 2. */
static float gradus_ln(float x) {
    static const float c[9] = {0.33333313f, -0.2500001f, 0.20002118f, -0.16667996f, 0.14219553f,
                               -0.12405588f, 0.11888159f, -0.11675655f, 0.06746651f};
    float n = x > 1.41421356f ? 1.0f : 0.0f;
    float f = x > 1.41421356f ? 0.5f * x - 1.0f : x - 1.0f;
    float square = f * f;
    return ((square * f * gradus_polynomial(f, c, 9) + n * -0.00021219444f) - 0.5f * square) + f + n * 0.6933594f;
}

/* |x| */
static float gradus_magnitude(float x) {
    return x < 0.0f ? -x : x;
}

/* The hyperbolic tangent. */
static float gradus_tanh(float x) {
    static const float c[5] = {-0.33333283f, 0.13331443f, -0.053739715f, 0.020639088f, -0.005704987f};
    float a = gradus_magnitude(x);
    float y;
    if (a < 0.625f) {
        y = a + a * (a * a * gradus_polynomial(a * a, c, 5));
    } else {
        /* From 10 on it is 1. e^2a would become infinite, by which -ffast-math does not divide right. */
        y = 1.0f - 2.0f / (gradus_exp(a > 10.0f ? 20.0f : 2.0f * a) + 1.0f);
    }
    return x < 0.0f ? -y : y;
}

/* The error function. */
static float gradus_erf(float x) {
    static const float near[7] = {0.12837917f, -0.37612632f, 0.11283664f, -0.026857705f,
                                  0.005196952f, -0.0008097703f, 8.185092e-5f};
    static const float far[7] = {-0.00022279388f, -1.1275626f, -0.6373739f, -0.10376219f,
                                 0.022144701f, -0.0030224622f, 0.00019380934f};
    float a = gradus_magnitude(x);
    float y;
    if (a < 0.94f) {
        y = a + a * gradus_polynomial(a * a, near, 7);
    } else {
        y = 1.0f - gradus_exp(gradus_polynomial(a > 4.0f ? 4.0f : a, far, 7));
    }
    return x < 0.0f ? -y : y;
}

/* 1 / (1 + e^-x) */
static float gradus_logistic(float x) {
    float e = gradus_exp(-gradus_magnitude(x));
    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

/* max(0, x) */
static void gradus_relu(float *y, int32_t n) {
    for (; n > 0; n--, y++) {
        if (*y < 0.0f) {
            *y = 0.0f;
        }
    }
}

/* x above 0, slope x below. */
static void gradus_leaky_relu(float *y, int32_t n, float slope) {
    for (; n > 0; n--, y++) {
        *y *= *y > 0.0f ? 1.0f : slope;
    }
}

/* x above 0, alpha (e^x - 1) below. */
static void gradus_elu(float *y, int32_t n, float alpha) {
    for (; n > 0; n--, y++) {
        float t = gradus_tanh(0.5f * *y);
        *y = *y > 0.0f ? *y : alpha * (2.0f * t / (1.0f - t));
    }
}

/* x (1 + erf(x / sqrt 2)) / 2 */
static void gradus_gelu(float *y, int32_t n) {
    for (; n > 0; n--, y++) {
        *y = 0.5f * *y * (1.0f + gradus_erf(*y * 0.70710678f));
    }
}

/* x / (1 + e^-x) */
static void gradus_silu(float *y, int32_t n) {
    for (; n > 0; n--, y++) {
        *y *= gradus_logistic(*y);
    }
}

/* ln(1 + e^x) */
static void gradus_softplus(float *y, int32_t n) {
    for (; n > 0; n--, y++) {
        float e = gradus_exp(-gradus_magnitude(*y));
        /* What is lost in 1 + e is put right by the second factor. */
        float sum = 1.0f + e;
        float rest = sum == 1.0f ? e : gradus_ln(sum) * (e / (sum - 1.0f));
        *y = rest + (*y > 0.0f ? *y : 0.0f);
    }
}

/* 1 / (1 + e^-x) */
static void gradus_sigmoid(float *y, int32_t n) {
    for (; n > 0; n--, y++) {
        *y = gradus_logistic(*y);
    }
}

/* The hyperbolic tangent. */
static void gradus_hyperbolic(float *y, int32_t n) {
    for (; n > 0; n--, y++) {
        *y = gradus_tanh(*y);
    }
}

/* min(max(x, low), high) */
static void gradus_clamp(float *y, int32_t n, float low, float high) {
    for (; n > 0; n--, y++) {
        *y = *y < low ? low : *y > high ? high : *y;
    }
}

/* min(max(x / 6 + 1/2, 0), 1) */
static void gradus_hard_sigmoid(float *y, int32_t n) {
    int32_t i;
    for (i = 0; i < n; i++) {
        y[i] = y[i] * (1.0f / 6.0f) + 0.5f;
    }
    gradus_clamp(y, n, 0.0f, 1.0f);
}

/* x min(max(x / 6 + 1/2, 0), 1) */
static void gradus_hard_swish(float *y, int32_t n) {
    for (; n > 0; n--, y++) {
        float gate = *y * (1.0f / 6.0f) + 0.5f;
        gate = gate < 0.0f ? 0.0f : gate;
        *y *= gate > 1.0f ? 1.0f : gate;
    }
}

/* lambda x above 0, lambda alpha (e^x - 1) below. */
static void gradus_selu(float *y, int32_t n) {
    gradus_elu(y, n, 1.6732632f);
    for (; n > 0; n--, y++) {
        *y *= 1.050701f;
    }
}

/* x tanh(ln(1 + e^x)), from e^-|x| alone. */
static void gradus_mish(float *y, int32_t n) {
    for (; n > 0; n--, y++) {
        float e = gradus_exp(-gradus_magnitude(*y));
        float part = *y < 0.0f ? e * (e + 2.0f) : 1.0f + 2.0f * e;
        *y *= part / (part + (*y < 0.0f ? 2.0f : 2.0f * e * e));
    }
}

/* x (1 + tanh(u)) / 2 = x / (1 + e^-2u), where u = sqrt(2 / pi) (x + 0.044715 x^3) */
static void gradus_gelu_tanh(float *y, int32_t n) {
    for (; n > 0; n--, y++) {
        /* Further out it is x or 0, and the cube might become infinite. */
        float x = *y > 100.0f ? 100.0f : *y < -100.0f ? -100.0f : *y;
        *y *= gradus_logistic(1.5957691f * (x + 0.044715f * x * x * x));
    }
}

/* e^x[i] / sum of e^x[j] */
static void gradus_softmax(float *y, int32_t n) {
    float largest = y[0], total = 0.0f;
    int32_t i;
    for (i = 1; i < n; i++) {
        if (y[i] > largest) {
            largest = y[i];
        }
    }
    for (i = 0; i < n; i++) {
        y[i] = gradus_exp(y[i] - largest);
        total += y[i];
    }
    for (i = 0; i < n; i++) {
        y[i] /= total;
    }
}

/* x above 0, below it times the slope of each `pixels` values in a row. */
static void gradus_prelu(float *y, int32_t n, const float *slope, int32_t pixels) {
    for (; n > 0; n -= pixels, y += pixels) {
        gradus_leaky_relu(y, pixels, *slope++);
    }
}

/* x[i] - ln of the sum of e^x[j] */
static void gradus_log_softmax(float *y, int32_t n) {
    float largest = y[0], total = 0.0f, log = 0.0f;
    int32_t i;
    for (i = 1; i < n; i++) {
        if (y[i] > largest) {
            largest = y[i];
        }
    }
    for (i = 0; i < n; i++) {
        y[i] -= largest;
        total += gradus_exp(y[i]);
    }
    /* The logarithm of the total, which is at least 1. */
    while (total > 2.0f) {
        total *= 0.5f;
        log += 0.69314718f;
    }
    log += gradus_ln(total);
    for (i = 0; i < n; i++) {
        y[i] -= log;
    }
}

/* The square root of a positive x, by Newton's method. */
static float gradus_root(float x) {
    union { float value; uint32_t bits; } y;
    int32_t i;
    y.value = x;
    y.bits = (y.bits >> 1) + 0x1fbd1df5u;
    for (i = 0; i < 4; i++) {
        y.value = 0.5f * (y.value + x / y.value);
    }
    return y.value;
}

/* Each group of values with mean 0 and variance 1, then times gamma plus beta, which each `pixels` values in a row share. */
static void gradus_normalize(float *y, int32_t n, const float *gamma, const float *beta, int32_t groups, int32_t pixels,
                             float epsilon) {
    int32_t size = n / groups, group, i;
    for (group = 0; group < groups; group++, y += size) {
        float mean = 0.0f, variance = 0.0f, inverse;
        for (i = 0; i < size; i++) {
            mean += y[i];
        }
        mean /= (float)size;
        for (i = 0; i < size; i++) {
            y[i] -= mean;
            variance += y[i] * y[i];
        }
        inverse = 1.0f / gradus_root(variance / (float)size + epsilon);
        for (i = 0; i < size; i++) {
            int32_t channel = (group * size + i) / pixels;
            y[i] = gamma[channel] * (y[i] * inverse) + beta[channel];
        }
    }
}
