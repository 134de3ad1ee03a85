"""Memory devices: what a programmed conductance becomes, now, later, and at each read.

A device model is a table of fitted curves over x = g / g_max in [0, 1]; conductances in microsiemens, times in seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from golden_model.errors import UserError

Floats = NDArray[np.float64]
Curve = Callable[[Floats], Floats]


def _cubic(c0: float, c1: float, c2: float, c3: float = 0.0) -> Curve:
    return lambda x: c0 + x * (c1 + x * (c2 + x * c3))


def _logarithmic(slope: float, intercept: float, low: float, high: float) -> Curve:
    """Return clip(slope * ln x + intercept, low, high): how the fits behave near x = 0."""
    return lambda x: np.clip(slope * np.log(np.maximum(x, 1e-12)) + intercept, low, high)


def _split(at: float, below: Curve, above: Curve) -> Curve:
    return lambda x: np.where(x < at, below(x), above(x))


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A memory device (or a pair of devices in parallel) with its programming, drift and read noise.

    programming: g = max(g_target + N(0, sigma(x)), 0); drift: g(t) = g (t / t0)^-nu, nu = |N(mean(x), std(x))|;
    read: g_read = g(t) (1 + Q(x) sqrt(ln((t + t_read) / (2 t_read))) N(0, 1)); t = time since programming + t0.
    """

    name: str
    g_max: float
    """Largest conductance, uS."""
    programming_sigma: Curve
    """Standard deviation of the programmed conductance over x, uS."""
    drift_mean: Curve
    """Mean of the drift exponent nu over x."""
    drift_std: Curve
    """Standard deviation of nu over x."""
    t0: float
    """When the conductance counts as programmed, s after the last pulse."""
    read_q: Curve
    """1/f amplitude Q over x."""
    t_read: float
    """Duration of a read, s."""

    def __str__(self) -> str:
        return self.name

    @staticmethod
    def parse(text: str) -> Device:
        """Return a device model by name."""
        if text not in DEVICES:
            raise UserError(f"device {text!r} is unknown: there are {', '.join(DEVICES)}")
        return DEVICES[text]

    def program(self, target: Floats, generator: np.random.Generator, *, noise: bool = True) -> Floats:
        """Return programmed conductances (uS) for targets of 0 .. g_max."""
        if target.size and (target.min() < 0 or target.max() > self.g_max * (1 + 1e-9)):
            raise UserError(
                f"{self.name}: conductances {target.min():.3g} .. {target.max():.3g} uS asked for; "
                f"the model is fitted for 0 .. {self.g_max} uS"
            )
        if not noise:
            return target
        sigma = self.programming_sigma(target / self.g_max)
        return np.maximum(target + sigma * generator.standard_normal(target.shape), 0.0)

    def drift(self, programmed: Floats, seconds: float, generator: np.random.Generator) -> Floats:
        """Return conductances `seconds` after programming; 0 leaves them as they are."""
        if seconds < 0:
            raise UserError(f"time = {seconds} s: conductances are known from 0 s after programming on")
        if seconds == 0:
            return programmed
        x = np.clip(programmed / self.g_max, 0.0, 1.0)
        nu = np.abs(self.drift_mean(x) + self.drift_std(x) * generator.standard_normal(x.shape))
        drifted: Floats = programmed * ((seconds + self.t0) / self.t0) ** -nu
        return drifted

    def read_sigma(self, programmed: Floats, drifted: Floats, seconds: float) -> Floats:
        """Return the standard deviation (uS) of one read of each device, drawn anew at every read."""
        x = np.clip(programmed / self.g_max, 0.0, 1.0)
        growth = np.sqrt(np.log((seconds + self.t0 + self.t_read) / (2 * self.t_read)))
        sigma: Floats = drifted * self.read_q(x) * growth
        return sigma


HERMES_PAIR = Device(
    name="hermes_pair",
    g_max=20.7,
    programming_sigma=_cubic(0.16603222, 4.71806468, -8.48101252, 4.68961419),
    drift_mean=_split(0.0945, _logarithmic(-0.0387, -0.0182, 0.072, 0.13), _cubic(0.0736, -0.0126, -0.0436)),
    drift_std=_split(0.3055, _logarithmic(-0.0117, -0.0057, 0.0091, 0.04), _cubic(0.0073, 0.0093, -0.0118)),
    t0=300.0,
    read_q=_split(0.16, _logarithmic(-0.0117, -0.0069, 0.015, 0.04), _cubic(0.0123, 0.0211, -0.0280, 0.0069)),
    t_read=512e-9,
)
"""Two PCM devices a polarity, fitted on the HERMES chip (aihwkit's PCMHermesNoiseModel, two devices; MIT)."""

HERMES_SINGLE = Device(
    name="hermes_single",
    g_max=10.35,
    programming_sigma=_cubic(0.15781817, 2.32443916, -2.16310839, 0.68841818),
    drift_mean=_split(0.0945, _logarithmic(-0.0387, -0.0182, 0.072, 0.13), _cubic(0.0736, -0.0126, -0.0436)),
    drift_std=_split(0.3039, _logarithmic(-0.0120, -0.0023, 0.0124, 0.04), _cubic(0.0104, 0.0116, -0.0165)),
    t0=200.0,
    read_q=_split(0.1591, _logarithmic(-0.0078, 0.0038, 0.0179, 0.04), _cubic(0.0088, 0.0768, -0.1352, 0.0664)),
    t_read=512e-9,
)
"""One PCM device a polarity, fitted on the HERMES chip (aihwkit's PCMHermesNoiseModel, one device; MIT)."""

PCM_LIKE = Device(
    name="pcm_like",
    g_max=25.0,
    programming_sigma=_cubic(0.26348, 1.9650, -1.1731),
    drift_mean=_logarithmic(-0.0155, 0.0244, 0.049, 0.1),
    drift_std=_logarithmic(-0.0125, -0.0059, 0.008, 0.045),
    t0=20.0,
    read_q=lambda x: np.minimum(0.0088 / np.maximum(x**0.65, 1e-3), 0.2),
    t_read=250e-9,
)
"""A doped GST mushroom cell (aihwkit's PCMLikeNoiseModel; Joshi et al., Nature Communications 2020)."""

DEVICES = {device.name: device for device in (HERMES_PAIR, HERMES_SINGLE, PCM_LIKE)}
"""The device models by name."""
