/* y = W x + b */
static void gradus_dense(const float *x, float *y, int32_t inputs, int32_t units, const float *w, const float *b,
                         int relu) {
    int32_t i, j;
    for (j = 0; j < units; j++) {
        float sum = b[j];
        for (i = 0; i < inputs; i++) {
            sum += *w++ * x[i];
        }
        y[j] = relu && sum < 0.0f ? 0.0f : sum;
    }
}

/* The convolution of an image, channels x height x width. */
static void gradus_conv2d(const float *x, float *y, const float *w, const float *b, const struct gradus_window *window,
                          int relu) {
    const struct gradus_axis *rows = &window->rows, *columns = &window->columns;
    const int32_t inputs = window->inputs / window->groups, outputs = window->outputs / window->groups;
    int32_t o, i, j, c, k, l;
    for (o = 0; o < window->outputs; o++) {
        for (i = 0; i < rows->output; i++) {
            const int32_t top = gradus_first_tap(rows, i), bottom = gradus_end_tap(rows, i);
            for (j = 0; j < columns->output; j++) {
                const int32_t left = gradus_first_tap(columns, j), right = gradus_end_tap(columns, j);
                float sum = b[o];
                for (c = 0; c < inputs; c++) {
                    const float *image = x + (o / outputs * inputs + c) * rows->input * columns->input;
                    const float *kernel = w + (o * inputs + c) * rows->kernel * columns->kernel;
                    for (k = top; k < bottom; k++) {
                        const float *row = image + gradus_pixel(rows, i, k) * columns->input;
                        int32_t at = gradus_pixel(columns, j, left);
                        for (l = left; l < right; l++, at += columns->dilation) {
                            sum += kernel[k * columns->kernel + l] * row[at];
                        }
                    }
                }
                *y++ = relu && sum < 0.0f ? 0.0f : sum;
            }
        }
    }
}

/* The largest value of each window; NaN if there is one. */
static void gradus_max_pool2d(const float *x, float *y, const struct gradus_window *window) {
    const struct gradus_axis *rows = &window->rows, *columns = &window->columns;
    int32_t c, i, j, k, l;
    for (c = 0; c < window->inputs; c++, x += rows->input * columns->input) {
        for (i = 0; i < rows->output; i++) {
            const int32_t top = gradus_first_tap(rows, i), bottom = gradus_end_tap(rows, i);
            for (j = 0; j < columns->output; j++) {
                const int32_t left = gradus_first_tap(columns, j), right = gradus_end_tap(columns, j);
                float largest = x[gradus_pixel(rows, i, top) * columns->input + gradus_pixel(columns, j, left)];
                for (k = top; k < bottom; k++) {
                    const float *row = x + gradus_pixel(rows, i, k) * columns->input;
                    for (l = left; l < right; l++) {
                        const float value = row[gradus_pixel(columns, j, l)];
                        largest = value > largest || value != value ? value : largest;
                    }
                }
                *y++ = largest;
            }
        }
    }
}

/* The mean of each window, whose padding counts as zeros unless it is excluded. */
static void gradus_avg_pool2d(const float *x, float *y, const struct gradus_window *window, int exclude_padding) {
    const struct gradus_axis *rows = &window->rows, *columns = &window->columns;
    int32_t c, i, j, k, l;
    for (c = 0; c < window->inputs; c++, x += rows->input * columns->input) {
        for (i = 0; i < rows->output; i++) {
            const int32_t top = gradus_first_tap(rows, i), bottom = gradus_end_tap(rows, i);
            for (j = 0; j < columns->output; j++) {
                const int32_t left = gradus_first_tap(columns, j), right = gradus_end_tap(columns, j);
                float sum = 0.0f;
                for (k = top; k < bottom; k++) {
                    /* Row by row: one sum of all pixels would lose precision. */
                    const float *row = x + gradus_pixel(rows, i, k) * columns->input;
                    float of_row = 0.0f;
                    for (l = left; l < right; l++) {
                        of_row += row[gradus_pixel(columns, j, l)];
                    }
                    sum += of_row;
                }
                *y++ = sum / (float)(exclude_padding ? (bottom - top) * (right - left)
                                                     : rows->kernel * columns->kernel);
            }
        }
    }
}

/* Each pixel of rows of `width` pixels, n in all, `rows` times down and `columns` times across. */
static void gradus_upsample_nearest(const float *x, float *y, int32_t n, int32_t width, int32_t rows, int32_t columns) {
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
static void gradus_crop(const float *x, float *y, int32_t n, int32_t plane, int32_t width, int32_t start, int32_t rows,
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

/* Linear interpolation between the pixels, n in all, along both axes. */
static void gradus_upsample_bilinear(const float *x, float *y, int32_t n, int32_t height, int32_t width, int32_t rows,
                                     int32_t columns) {
    int32_t i, j;
    for (; n > 0; n -= height * width, x += height * width) {
        for (i = 0; i < height * rows; i++) {
            const int32_t down = gradus_position(i, rows), row = down / (2 * rows);
            const float *top = x + row * width, *bottom = row + 1 < height ? top + width : top;
            const float weight = (float)(down % (2 * rows)) / (float)(2 * rows);
            for (j = 0; j < width * columns; j++) {
                const int32_t across = gradus_position(j, columns), left = across / (2 * columns);
                const int32_t right = left + 1 < width ? left + 1 : left;
                const float after = (float)(across % (2 * columns)) / (float)(2 * columns);
                const float above = (1.0f - after) * top[left] + after * top[right];
                const float below = (1.0f - after) * bottom[left] + after * bottom[right];
                *y++ = (1.0f - weight) * above + weight * below;
            }
        }
    }
}

/* y += x */
static void gradus_add(const float *x, float *y, int32_t n, int relu) {
    for (; n > 0; n--, x++, y++) {
        const float sum = *y + *x;
        *y = relu && sum < 0.0f ? 0.0f : sum;
    }
}

/* y *= x, which has a number for each of n values of y, or one for each of m channels */
static void gradus_multiply(const float *x, float *y, int32_t m, int32_t n) {
    const int32_t each = n / m;
    int32_t i;
    for (; m > 0; m--, x++) {
        for (i = 0; i < each; i++) {
            *y++ *= *x;
        }
    }
}

/* y = (x - mean) / deviation, value by value */
static void gradus_standardize(const float *x, float *y, int32_t n, const float *mean, const float *deviation) {
    for (; n > 0; n--) {
        *y++ = (*x++ - *mean++) / *deviation++;
    }
}

/* y = y deviation + mean, value by value */
static void gradus_rescale(float *y, int32_t n, const float *mean, const float *deviation) {
    for (; n > 0; n--, y++) {
        *y = *y * *deviation++ + *mean++;
    }
}

/* y = x from place `start` on */
static void gradus_copy_into(const float *x, float *y, int32_t n, int32_t start) {
    for (y += start; n > 0; n--) {
        *y++ = *x++;
    }
}

/* y = x */
static void gradus_copy(const float *x, float *y, int32_t n) {
    for (; n > 0; n--) {
        *y++ = *x++;
    }
}
