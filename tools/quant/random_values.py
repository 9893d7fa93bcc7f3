"""The generator that the golden scripts here and the tests of src/quant (Random in testing.h) share."""
import numpy as np


class Random:
    """A linear congruential generator; values are multiples of 2^-23 in [-1, 1), exact in f32."""

    def __init__(self, seed):
        self.state = seed

    def values(self, *shape):
        values = np.empty(int(np.prod(shape)), np.float32)
        for i in range(values.size):
            self.state = (self.state * 1664525 + 1013904223) % 2**32
            values[i] = (self.state >> 8) * 2.0**-23 - 1
        return values.reshape(shape)
