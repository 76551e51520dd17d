"""Control pilot and proximity by a PWM of the kernel and an ADC of its IIO subsystem."""
