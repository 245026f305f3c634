/* value / 2^shift, rounded to the nearest, halves away from 0; then a byte around `zero`. */
static uint8_t gradus_byte(int64_t value, uint8_t shift, int32_t zero) {
    const int64_t half = (int64_t)1 << (shift - 1);
    const int64_t y = zero + (value < 0 ? -((half - value) >> shift) : (half + value) >> shift);
    return (uint8_t)(y < 0 ? 0 : y > 255 ? 255 : y);
}

/* y = W x + b, where b makes up for the zero of x. */
static void gradus_dense(const uint8_t *x, uint8_t *y, int32_t inputs, int32_t units, const int8_t *w,
                         const int32_t *b, const int32_t *multiplier, const uint8_t *shift, int32_t zero) {
    int32_t i, j;
    for (j = 0; j < units; j++) {
        int32_t sum = b[j];
        for (i = 0; i < inputs; i++) {
            sum += *w++ * x[i];
        }
        y[j] = gradus_byte((int64_t)sum * multiplier[j], shift[j], zero);
    }
}

/* The convolution of an image, channels x height x width. */
static void gradus_conv2d(const uint8_t *x, uint8_t *y, const int8_t *w, const int32_t *b, const int32_t *multiplier,
                          const uint8_t *shift, const struct gradus_window *window, int32_t x_zero, int32_t y_zero) {
    const struct gradus_axis *rows = &window->rows, *columns = &window->columns;
    const int32_t inputs = window->inputs / window->groups, outputs = window->outputs / window->groups;
    int32_t o, i, j, c, k, l;
    for (o = 0; o < window->outputs; o++) {
        for (i = 0; i < rows->output; i++) {
            const int32_t top = gradus_first_tap(rows, i), bottom = gradus_end_tap(rows, i);
            for (j = 0; j < columns->output; j++) {
                const int32_t left = gradus_first_tap(columns, j), right = gradus_end_tap(columns, j);
                int32_t sum = b[o];
                for (c = 0; c < inputs; c++) {
                    const uint8_t *image = x + (o / outputs * inputs + c) * rows->input * columns->input;
                    const int8_t *kernel = w + (o * inputs + c) * rows->kernel * columns->kernel;
                    for (k = top; k < bottom; k++) {
                        const uint8_t *row = image + gradus_pixel(rows, i, k) * columns->input;
                        int32_t at = gradus_pixel(columns, j, left);
                        for (l = left; l < right; l++, at += columns->dilation) {
                            sum += kernel[k * columns->kernel + l] * (row[at] - x_zero);
                        }
                    }
                }
                *y++ = gradus_byte((int64_t)sum * multiplier[o], shift[o], y_zero);
            }
        }
    }
}

/* The largest value of each window. */
static void gradus_max_pool2d(const uint8_t *x, uint8_t *y, const struct gradus_window *window) {
    const struct gradus_axis *rows = &window->rows, *columns = &window->columns;
    int32_t c, i, j, k, l;
    for (c = 0; c < window->inputs; c++, x += rows->input * columns->input) {
        for (i = 0; i < rows->output; i++) {
            const int32_t top = gradus_first_tap(rows, i), bottom = gradus_end_tap(rows, i);
            for (j = 0; j < columns->output; j++) {
                const int32_t left = gradus_first_tap(columns, j), right = gradus_end_tap(columns, j);
                uint8_t largest = 0;
                for (k = top; k < bottom; k++) {
                    const uint8_t *row = x + gradus_pixel(rows, i, k) * columns->input;
                    for (l = left; l < right; l++) {
                        const uint8_t value = row[gradus_pixel(columns, j, l)];
                        largest = value > largest ? value : largest;
                    }
                }
                *y++ = largest;
            }
        }
    }
}

/* The mean of each window, whose padding counts as zeros unless it is excluded. */
static void gradus_avg_pool2d(const uint8_t *x, uint8_t *y, const struct gradus_window *window, int exclude_padding,
                              int32_t multiplier, uint8_t shift, int32_t x_zero, int32_t y_zero) {
    const struct gradus_axis *rows = &window->rows, *columns = &window->columns;
    int32_t c, i, j, k, l;
    for (c = 0; c < window->inputs; c++, x += rows->input * columns->input) {
        for (i = 0; i < rows->output; i++) {
            const int32_t top = gradus_first_tap(rows, i), bottom = gradus_end_tap(rows, i);
            for (j = 0; j < columns->output; j++) {
                const int32_t left = gradus_first_tap(columns, j), right = gradus_end_tap(columns, j);
                const int32_t counted =
                    exclude_padding ? (bottom - top) * (right - left) : rows->kernel * columns->kernel;
                int32_t sum = 0;
                for (k = top; k < bottom; k++) {
                    const uint8_t *row = x + gradus_pixel(rows, i, k) * columns->input;
                    for (l = left; l < right; l++) {
                        sum += row[gradus_pixel(columns, j, l)] - x_zero;
                    }
                }
                /* The mean in 256ths. */
                *y++ = gradus_byte((int64_t)(sum * 256 / counted) * multiplier, shift, y_zero);
            }
        }
    }
}

/* Each pixel of rows of `width` pixels, n in all, `rows` times down and `columns` times across. */
static void gradus_upsample_nearest(const uint8_t *x, uint8_t *y, int32_t n, int32_t width, int32_t rows,
                                    int32_t columns) {
    int32_t i, j, k;
    for (; n > 0; n -= width, x += width) {
        for (i = 0; i < rows; i++) {
            for (j = 0; j < width; j++) {
                for (k = 0; k < columns; k++) {
                    *y++ = x[j];
                }
            }
        }
    }
}

/* Of planes of `plane` pixels in rows of `width`, n pixels in all, `rows` rows of `columns` pixels, from pixel `start` on. */
static void gradus_crop(const uint8_t *x, uint8_t *y, int32_t n, int32_t plane, int32_t width, int32_t start, int32_t rows,
                        int32_t columns) {
    int32_t i, j;
    for (; n > 0; n -= plane, x += plane) {
        for (i = 0; i < rows; i++) {
            for (j = 0; j < columns; j++) {
                *y++ = x[start + i * width + j];
            }
        }
    }
}

/* Linear interpolation between the pixels, along both axes, rounded to the nearest byte: of the same scale and zero. */
static void gradus_upsample_bilinear(const uint8_t *x, uint8_t *y, int32_t n, int32_t height, int32_t width,
                                     int32_t rows, int32_t columns) {
    const int32_t parts = 4 * rows * columns;
    int32_t i, j;
    for (; n > 0; n -= height * width, x += height * width) {
        for (i = 0; i < height * rows; i++) {
            const int32_t down = gradus_position(i, rows), row = down / (2 * rows);
            const uint8_t *top = x + row * width, *bottom = row + 1 < height ? top + width : top;
            const int32_t lower = down % (2 * rows), upper = 2 * rows - lower;
            for (j = 0; j < width * columns; j++) {
                const int32_t across = gradus_position(j, columns), left = across / (2 * columns);
                const int32_t right = left + 1 < width ? left + 1 : left;
                const int32_t after = across % (2 * columns), before = 2 * columns - after;
                const int32_t above = before * top[left] + after * top[right];
                const int32_t below = before * bottom[left] + after * bottom[right];
                *y++ = (uint8_t)((upper * above + lower * below + parts / 2) / parts);
            }
        }
    }
}

/* y += x, each in its own scale. */
static void gradus_add(const uint8_t *x, uint8_t *y, int32_t n, int32_t x_multiplier, int32_t y_multiplier,
                       uint8_t shift, int32_t x_zero, int32_t y_zero, int32_t zero) {
    for (; n > 0; n--, x++, y++) {
        const int64_t sum = (int64_t)(*x - x_zero) * x_multiplier + (int64_t)(*y - y_zero) * y_multiplier;
        *y = gradus_byte(sum, shift, zero);
    }
}

/* y *= x, each in its own scale; x has a number for each of n values of y, or one for each of m channels. */
static void gradus_multiply(const uint8_t *x, uint8_t *y, int32_t m, int32_t n, int32_t multiplier, uint8_t shift,
                            int32_t x_zero, int32_t y_zero, int32_t zero) {
    const int32_t each = n / m;
    int32_t i;
    for (; m > 0; m--, x++) {
        const int64_t factor = (int64_t)(*x - x_zero) * multiplier;
        for (i = 0; i < each; i++, y++) {
            *y = gradus_byte((*y - y_zero) * factor, shift, zero);
        }
    }
}

/* A function of one value, from its table. */
static void gradus_map(uint8_t *y, int32_t n, const uint8_t *table) {
    for (; n > 0; n--, y++) {
        *y = table[*y];
    }
}

/* 256 e^x[i] / sum of e^x[j], where table[d] is e^-x of the difference d to the largest, in 65536ths. */
static void gradus_softmax(uint8_t *y, int32_t n, const uint32_t *table) {
    uint8_t largest = 0;
    uint64_t total = 0;
    int32_t i;
    for (i = 0; i < n; i++) {
        largest = y[i] > largest ? y[i] : largest;
    }
    for (i = 0; i < n; i++) {
        total += table[largest - y[i]];
    }
    for (i = 0; i < n; i++) {
        const uint64_t share = ((uint64_t)256 * table[largest - y[i]] + total / 2) / total;
        y[i] = (uint8_t)(share > 255 ? 255 : share);
    }
}

/* The byte nearest to x, where byte `zero` stands for `mean` and each further one for `scale` more; 0 if x is NaN. */
static uint8_t gradus_nearest(float x, float mean, float scale, float zero) {
    const float q = (x - mean) / scale + zero + 0.5f;
    return (uint8_t)(q > 255.0f ? 255.0f : q > 0.0f ? q : 0.0f);
}

/* y = x from place `start` on, each in its own scale. */
static void gradus_copy_into(const uint8_t *x, uint8_t *y, int32_t n, int32_t start, int32_t multiplier, uint8_t shift,
                             int32_t x_zero, int32_t y_zero) {
    for (y += start; n > 0; n--) {
        *y++ = gradus_byte((int64_t)(*x++ - x_zero) * multiplier, shift, y_zero);
    }
}

/* y = x */
static void gradus_copy(const uint8_t *x, uint8_t *y, int32_t n) {
    for (; n > 0; n--) {
        *y++ = *x++;
    }
}
