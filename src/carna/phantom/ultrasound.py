"""Ultrasound pictures of tissue: scatterers, a beam, and what they do to each other.

The phased probe sends along ``beams`` of a fan and listens; everything is computed there, in polar samples
``(range, beam)``, and only the finished picture is resampled to a sector. The echo is::

    s(r, b) = h * (sqrt(m) n) + d |grad z| |cos a|^p         n complex Gaussian, fixed to the tissue
    picture = log |s g + haze + noise|

- ``h``: pulse along the range times a beam of constant angle that widens away from the focus. Its blur of
  Gaussian scatterers is fully developed speckle, its magnitude Rayleigh (Wagner 1983,
  doi:10.1109/T-SU.1983.31404).
- ``m``: backscatter of the tissue. ``n`` belongs to material points, so speckle moves with the muscle and
  decorrelates as it leaves the plane.
- ``z``: impedance. A wall square to the beam (``a`` = 0) shines, one along it drops out.
- ``g``: attenuation after time gain, shadows of ribs and lung by beam; side lobes smear what is bright.
- haze: reverberation near the probe; the last step is logarithmic compression.

Assumed: linear sound along straight rays, no refraction, no harmonic, one plane without thickness.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
Labels = npt.NDArray[np.uint8]
Complex = npt.NDArray[np.complex64]

_CELL_MM = 0.5  # of the lattice of scatterers: below a pulse, so that several share one
_PERIODS = (61, 59, 67)  # coprime: the lattice repeats after 12 m of diagonal


@dataclass(frozen=True, slots=True, eq=False)
class Fan:
    """Where a sector probe looks.

    Parameters
    ----------
    origin_lps, forward_lps, right_lps : (3,) float
        The point from which the beams leave (mm); unit vectors along the middle beam and to the right of the
        picture.
    half_deg : float
        Half the opening angle, 25 to 50.
    depth_mm : float
        Largest range, 80 to 260 mm.
    samples, beams : int
        Of the polar picture.
    """

    origin_lps: Array
    forward_lps: Array
    right_lps: Array
    half_deg: float
    depth_mm: float
    samples: int = 256
    beams: int = 112

    @property
    def step_mm(self) -> float:
        """Distance of two samples of a beam."""
        return self.depth_mm / self.samples

    @property
    def ranges_mm(self) -> Array:
        """Range of the samples (samples,)."""
        return (np.arange(self.samples) + 0.5) * self.step_mm

    @property
    def angles_rad(self) -> Array:
        """Angle of the beams (beams,), positive to the right."""
        half = np.deg2rad(self.half_deg)
        return np.linspace(-half, half, self.beams)

    @property
    def in_plane_mm(self) -> tuple[Array, Array]:
        """Rightward and forward distance of every sample from the origin, (samples, beams) each."""
        r, a = self.ranges_mm[:, None], self.angles_rad[None]
        return r * np.sin(a), r * np.cos(a)

    def points(self, right_mm: Array, forward_mm: Array) -> npt.NDArray[np.float32]:
        """LPS points (..., 3) of distances in the plane [mm]."""
        at = right_mm[..., None] * self.right_lps + forward_mm[..., None] * self.forward_lps
        return np.asarray(self.origin_lps + at, np.float32)

    def scanned(self, polar: Array | Labels, pixels: int, *, order: int = 1, shift_mm: float = 0.0) -> Array:
        """Resample (samples, beams) to a square (pixels, pixels) as deep as the fan; 0 outside the sector.

        The middle beam runs down the middle column, or ``shift_mm`` to the left of it.
        """
        from scipy.ndimage import map_coordinates

        mm = self.depth_mm / pixels
        z = (np.arange(pixels) + 0.5)[:, None] * mm
        x = (np.arange(pixels) - (pixels - 1) / 2.0)[None] * mm + shift_mm
        range_at = np.hypot(x, z) / self.step_mm - 0.5
        half = np.deg2rad(self.half_deg)
        beam_at = (np.arctan2(x, z) + half) / (2.0 * half) * (self.beams - 1)
        seen: Array = map_coordinates(polar, np.stack([range_at, beam_at]), order=order, mode="constant")
        return seen


@dataclass(frozen=True, slots=True)
class Sound:
    """What the scanner and the chest do to the echo.

    Parameters
    ----------
    pulse_mm : float
        Standard deviation of the pulse's envelope, 0.3 to 1.2 mm.
    beam_deg : float
        Standard deviation of the beam at its focus, 0.5 to 1.5 degrees.
    focus_mm, spread : float
        Depth of the focus; how much wider the beam is at the skin and at twice that depth, 0 to 2.
    lobes_db, lobes_deg : float
        Side lobes: level below the main lobe (-45 to -20) and how far they reach.
    mirror, mirror_power : float
        Strength of specular echoes over that of speckle of muscle, and power of the cosine of incidence.
    loss_db_cm : float
        Attenuation that the time gain does not make up for, -0.8 to 0.8 dB/cm.
    haze_db, haze_mm : float
        Reverberation at the skin relative to muscle, and the depth over which it fades.
    noise_db : float
        Electronic noise relative to muscle at the focus; it grows with the time gain.
    gain_db_cm : float
        Growth of that noise.
    range_db, white_db : float
        Dynamic range of the picture, 35 to 80 dB; level above muscle that is shown white.
    """

    pulse_mm: float = 0.6
    beam_deg: float = 0.9
    focus_mm: float = 80.0
    spread: float = 0.7
    lobes_db: float = -32.0
    lobes_deg: float = 7.0
    mirror: float = 3.0
    mirror_power: float = 2.0
    loss_db_cm: float = 0.0
    haze_db: float = -4.0
    haze_mm: float = 14.0
    noise_db: float = -38.0
    gain_db_cm: float = 0.8
    range_db: float = 55.0
    white_db: float = 14.0


def lattice(seed: int) -> Complex:
    """Return the scatterers: a periodic lattice of complex Gaussian amplitudes, mean square 1."""
    random = np.random.default_rng([seed, 77])
    pair = random.standard_normal((2, *_PERIODS), dtype=np.float32)
    return np.asarray((pair[0] + 1j * pair[1]) / np.sqrt(2.0), np.complex64)


def scatterers(grain: Complex, material_mm: Array) -> Complex:
    """Return the amplitude of the scatterer at material points (..., 3) [mm], from `lattice`."""
    cell = np.floor(np.asarray(material_mm) / _CELL_MM).astype(np.int64)
    x, y, z = (cell[..., i] % period for i, period in enumerate(_PERIODS))
    amplitude: Complex = grain[x, y, z]
    return amplitude


def insonified(
    backscatter_db: Array,
    impedance: Array,
    grain: Complex,
    gain_db: Array,
    fan: Fan,
    sound: Sound,
    random: np.random.Generator,
) -> npt.NDArray[np.float32]:
    """Return what the fan shows, 0 (black) to 1 (white), as (samples, beams).

    Parameters
    ----------
    backscatter_db : (samples, beams)
        Of the tissue, relative to muscle.
    impedance : (samples, beams)
        0 for blood, 1 for muscle.
    grain : (samples, beams) complex
        Scatterers of mean square 1 (`scatterers`).
    gain_db : (samples, beams)
        Shadows and uneven contact; 0 where nothing is lost.
    fan : Fan
    sound : Sound
    random : numpy.random.Generator
        Of noise and reverberation, which do not move with the tissue.
    """
    source = grain * (10.0 ** (backscatter_db / 20.0)).astype(np.float32)
    echo = _blurred(source, fan, sound) + sound.mirror * _mirrored(impedance, fan, sound.mirror_power)
    power = np.abs(echo) ** 2
    power += _lobes(power, fan, sound)
    depth = fan.ranges_mm[:, None]
    power *= 10.0 ** ((gain_db - sound.loss_db_cm * (depth - sound.focus_mm) / 10.0) / 10.0)
    rest = _noise(fan, sound, random)
    level = 10.0 * np.log10(power + rest + 1e-12)
    return np.asarray(np.clip((level - sound.white_db) / sound.range_db + 1.0, 0.0, 1.0), np.float32)


def _blurred(source: Complex, fan: Fan, sound: Sound) -> Complex:
    """Convolve with pulse and beam; mean power stays, a uniform tissue is brightest at the focus."""
    pulse = max(sound.pulse_mm / fan.step_mm, 0.4)
    beam = max(np.deg2rad(sound.beam_deg) / float(fan.angles_rad[1] - fan.angles_rad[0]), 0.4)
    narrow, wide = (_spread(source, pulse, beam * w) for w in (1.0, 1.0 + sound.spread))
    away = np.clip(np.abs(fan.ranges_mm / sound.focus_mm - 1.0), 0.0, 1.0)[:, None]
    mixed = (1.0 - away) * narrow + away * wide
    return np.asarray(mixed / np.sqrt(np.mean(np.abs(mixed) ** 2) / np.mean(np.abs(source) ** 2) + 1e-9))


def _spread(source: Complex, pulse: float, beam: float) -> Complex:
    from scipy.ndimage import gaussian_filter

    parts = [gaussian_filter(part, (pulse, beam), mode="nearest") for part in (source.real, source.imag)]
    return np.asarray(parts[0] + 1j * parts[1], np.complex64)


def _mirrored(impedance: Array, fan: Fan, power: float) -> npt.NDArray[np.float32]:
    """Echo of interfaces: the step of impedance over a millimetre, by the angle to the beam."""
    from scipy.ndimage import gaussian_filter

    beam_mm = np.maximum(fan.ranges_mm[:, None], 5.0) * float(fan.angles_rad[1] - fan.angles_rad[0])
    soft = gaussian_filter(np.asarray(impedance, np.float32), (0.7 / fan.step_mm, 0.7))
    along, across = np.gradient(soft)
    along, across = along / fan.step_mm, across / beam_mm
    size = np.hypot(along, across)
    cosine = np.abs(along) / np.maximum(size, 1e-6)
    return np.asarray(np.minimum(size, 1.5) * cosine**power, np.float32)


def _lobes(power: Array, fan: Fan, sound: Sound) -> Array:
    from scipy.ndimage import gaussian_filter1d

    reach = np.deg2rad(sound.lobes_deg) / float(fan.angles_rad[1] - fan.angles_rad[0])
    lobes: Array = 10.0 ** (sound.lobes_db / 10.0) * gaussian_filter1d(power, reach, axis=1) * reach
    return lobes


def _noise(fan: Fan, sound: Sound, random: np.random.Generator) -> Array:
    """Power of reverberation near the probe and of electronic noise, speckled."""
    shape = (2, fan.samples, fan.beams)
    pair = random.standard_normal(shape, dtype=np.float32)
    grain = _spread(np.asarray(pair[0] + 1j * pair[1], np.complex64), 0.8, 0.8)
    speckle = np.abs(grain) ** 2
    speckle /= speckle.mean()
    depth = fan.ranges_mm[:, None]
    haze = sound.haze_db - 4.34 * depth / sound.haze_mm
    # Rings at multiples of the probe's own thickness.
    haze = haze + 3.0 * np.cos(2.0 * np.pi * depth / 7.0) * np.exp(-depth / sound.haze_mm)
    noise = sound.noise_db + sound.gain_db_cm * (depth - sound.focus_mm) / 10.0
    total: Array = speckle * (10.0 ** (haze / 10.0) + 10.0 ** (noise / 10.0))
    return total
