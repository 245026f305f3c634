/* What this example does instead of driving a display: it writes through the debugger, or the emulator. */

#include <stdint.h>

/* Asks the host for operation `operation`. */
static inline void semihosting(uint32_t operation, const void *argument) {
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static inline void print(const char *text) {
    semihosting(0x04, text);
}

static inline void print_number(uint32_t number) {
    char digits[11];
    char *first = digits + 10;
    *first = 0;
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    print(first);
}

/* Ends the emulation. */
static inline void leave(void) {
    semihosting(0x18, (const void *)0x20026);
}

/* The system timer, as one that counts up: 24 bits. */
static inline uint32_t clock_ticks(void) {
    volatile uint32_t *const systick = (volatile uint32_t *)0xE000E010;
    if (!(systick[0] & 1)) {
        systick[1] = 0xFFFFFF;
        systick[2] = 0;
        systick[0] = 5; /* on, by the processor's clock */
    }
    return 0xFFFFFF - systick[2];
}
