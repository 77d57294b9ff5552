"""A tiny kernel by hand: Mitchell-Schaeffer (doi:10.1016/S0092-8240(03)00041-7), V from -85 to 15 mV."""

import numpy as np
from numba import njit


@njit(nogil=True, error_model="numpy")
def _advance(v, s, stimulus, dt, blocks, close):
    for b in blocks:
        for i in range(512):
            u = (v[b, i] + 85) / 100
            h = s[b, 0, i]
            tau_close = s[b, 1, i] if close else 150.0
            du = h * u * u * (1 - u) / 0.3 - u / 6.0 + stimulus[b, i] / 100
            dh = (1 - h) / 120.0 if u < 0.13 else -h / tau_close
            v[b, i] += dt * 100 * du
            s[b, 0, i] = h + dt * dh


class MitchellSchaeffer:
    """The interface of `carna.ep.cell`'s kernels."""

    lanes = 512
    name = "mitchell_schaeffer"

    def __init__(self, precision="float32", varied=()):
        self.precision = precision
        self.slots = ("h", *varied)

    def start(self, n_blocks):
        s = np.zeros((n_blocks, len(self.slots), 512), self.precision)
        s[:, 0] = 1
        s[:, 1:] = 150
        return np.full((n_blocks, 512), -85, self.precision), s

    def advance(self, v, s, stimulus, dt_ms, blocks):
        _advance(v, s, stimulus, v.dtype.type(dt_ms), blocks, len(self.slots) > 1)
