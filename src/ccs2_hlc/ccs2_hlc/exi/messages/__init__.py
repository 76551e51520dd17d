"""The message sets, one module each; importing one declares nothing but what it needs."""
