/* Recognizes one digit and says which it is. */

#define DIGITS_DECLARATIONS
#include "digits.c"

#include "semihosting.h"

/* 28 x 28 bytes: in a product, what the camera or the touch panel gives. */
static const uint8_t image[DIGITS_INPUTS] = {
#include "image.inc"
};

/* What each class got, as a byte. */
static uint8_t output[DIGITS_OUTPUTS];

int main(void) {
    const uint32_t start = clock_ticks();
    digits_predict(image, output);
    const uint32_t ticks = (clock_ticks() - start) & 0xFFFFFF;
    print("This is a ");
    print(digits_classes[digits_class(output)]);
    print(".\n");
    print_number(ticks);
    print(" ticks of the timer\n");
    return 0;
}
