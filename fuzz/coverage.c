/* Coverage of gcc's trace-pc instrumentation for libFuzzer, which only reads counters of clang's.
 *
 * gcc calls __sanitizer_cov_trace_pc in every basic block; each call site gets one of a fixed
 * number of 8-bit counters, which are handed to libFuzzer when the module is loaded.
 */
#include <stddef.h>
#include <stdint.h>

#define COUNTERS (1u << 14)

struct location {
    uintptr_t pc;
    uintptr_t flags;
};

static uint8_t counters[COUNTERS];
static struct location locations[COUNTERS];

void __sanitizer_cov_8bit_counters_init(uint8_t *start, uint8_t *stop);
void __sanitizer_cov_pcs_init(const uintptr_t *start, const uintptr_t *stop);

__attribute__((visibility("hidden"))) void __sanitizer_cov_trace_pc(void)
{
    uintptr_t pc = (uintptr_t)__builtin_return_address(0);
    uint32_t place = ((uint32_t)pc * 2654435761u) >> 18;

    locations[place].pc = pc;
    counters[place]++;
}

/* Comparisons of floating point numbers, which libFuzzer does not look at. */
__attribute__((visibility("hidden"))) void __sanitizer_cov_trace_cmpf(float a, float b)
{
    (void)a, (void)b;
}

__attribute__((visibility("hidden"))) void __sanitizer_cov_trace_cmpd(double a, double b)
{
    (void)a, (void)b;
}

__attribute__((constructor)) static void register_counters(void)
{
    __sanitizer_cov_8bit_counters_init(counters, counters + COUNTERS);
    __sanitizer_cov_pcs_init(
        (const uintptr_t *)locations, (const uintptr_t *)(locations + COUNTERS));
}
