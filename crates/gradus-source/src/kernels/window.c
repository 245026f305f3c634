/* Along one axis, in pixels. */
struct gradus_axis {
    int32_t input, output, kernel, stride, dilation, padding;
};

/* A window that moves over an image of `inputs` channels and gives one of `outputs` channels. */
struct gradus_window {
    int32_t inputs, outputs, groups;
    struct gradus_axis rows, columns;
};

/* The first tap of output i of an axis that is not before the image; the kernel's size if there is none. */
static int32_t gradus_first_tap(const struct gradus_axis *axis, int32_t i) {
    int32_t distance = axis->padding - i * axis->stride;
    int32_t tap = distance > 0 ? (distance + axis->dilation - 1) / axis->dilation : 0;
    return tap < axis->kernel ? tap : axis->kernel;
}

/* The first tap of output i of an axis that is behind the image; the kernel's size if there is none. */
static int32_t gradus_end_tap(const struct gradus_axis *axis, int32_t i) {
    int32_t distance = axis->padding + axis->input - i * axis->stride;
    int32_t tap = distance > 0 ? (distance + axis->dilation - 1) / axis->dilation : 0;
    return tap < axis->kernel ? tap : axis->kernel;
}

/* The pixel under a tap; any number if the tap is on the padding. */
static int32_t gradus_pixel(const struct gradus_axis *axis, int32_t i, int32_t tap) {
    return i * axis->stride + tap * axis->dilation - axis->padding;
}

/* How far output i of an upsampled axis lies behind the first pixel: in parts, of which a pixel has 2 scale. */
static int32_t gradus_position(int32_t i, int32_t scale) {
    const int32_t position = 2 * i + 1 - scale;
    return position > 0 ? position : 0;
}
