/* From reset to main on a Cortex-M4: a board's own start-up code takes this file's place. */

#include <stdint.h>

#include "semihosting.h"

extern uint32_t stack_top, data_start, data_end, data_in_flash, bss_start, bss_end;

int main(void);
void reset(void);
void stop(void);

void reset(void) {
    const uint32_t *from = &data_in_flash;
    for (uint32_t *to = &data_start; to < &data_end;) {
        *to++ = *from++;
    }
    for (uint32_t *to = &bss_start; to < &bss_end;) {
        *to++ = 0;
    }
#ifdef __ARM_FP
    /* The FPU, for networks in floats. */
    *(volatile uint32_t *)0xE000ED88 |= 0xF << 20;
    __asm__ volatile("dsb\n isb");
#endif
    main();
    leave();
    stop();
}

void stop(void) {
    for (;;) {
    }
}

/* The stack, reset, and the faults. */
__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    &stack_top, (void *)reset, (void *)stop, (void *)stop, (void *)stop, (void *)stop, (void *)stop,
};
