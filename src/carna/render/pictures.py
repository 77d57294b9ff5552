"""Pictures for a page, each within it: thumbnails, the frames of a cine, plates, and plots as SVG."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from carna.case import Case
from carna.findings import Events, Findings
from carna.render import figures as drawn
from carna.render import ink, paper, say, tiles
from carna.render.words import Words
from carna.study import Cine, Ecg, Image, Part, Picture, Planes, Study

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["cine", "plates", "thumbnail"]

THUMBNAIL = 112
# The player shows three slices; a picture of all its frames stays below this.
# Drawn on paper, which has its own colours in light and dark.
ON_PAPER = ("median.", "strips.", "disclosure.", "vessels.", "sac.", "twin.", "bullseye.")
DISCLOSED = 2
CINE_SLICES, CINE_FRAMES, CINE_PIXELS, CINE_BYTES = 3, 40, 160, 500_000


def thumbnail(part: Part) -> Markup | None:
    """Return a small picture of a part, None where there is nothing to see."""
    from markupsafe import Markup

    match part:
        case Ecg():
            lead = "II" if "II" in part.leads else part.leads[0]
            values = part.signal.lead(lead)[: int(2.5 * part.rate_hz)]
            kept = np.nan_to_num(values - np.nanmedian(values)) if np.isfinite(values).any() else values[:0]
            kept = kept[:: max(1, len(kept) // 400)]
            line = " ".join(
                f"{x / max(len(kept) - 1, 1) * 112:.1f},{50 - 22 * y:.1f}" for x, y in enumerate(kept)
            )
            return Markup(
                '<svg viewBox="0 0 112 84" class="thumb paper" aria-hidden="true">'
                '<polyline points="{}"/></svg>'
            ).format(line)
        case Cine():
            return _small(part.values.array[0, len(part.planes) // 2])
        case Image() | Planes():
            return _small(part.values.array[part.values.shape[0] // 2])
        case Picture():
            return _small(part.values.array[0])
        case _:
            return None


def cine(said: tuple[Findings, ...], study: Study) -> dict[str, Any] | None:
    """Return the sprite of the middle slices of the deepest stack: frames across, slices down."""
    stacks = [p for p in study.parts if isinstance(p, Cine) and len(p.planes) > 2 and p.values.shape[0] > 3]
    if not stacks:
        return None
    deepest = max(stacks, key=lambda c: len(c.planes))
    regions = tiles.regions_on(said, deepest.origin.uid)
    slices = tiles.pick_slices(deepest, regions, CINE_SLICES + 2)[1:-1]
    rows, columns = tiles.cut(deepest, regions)
    frames = np.unique(np.linspace(0, deepest.values.shape[0] - 1, CINE_FRAMES).round().astype(int))
    values = np.asarray(deepest.values.array[frames][:, list(slices), rows, columns], float)
    low, high = tiles.window(values)
    beating = [r.labels[frames] for r in regions if r.labels.shape == deepest.values.shape]
    labels = [each[:, list(slices), rows, columns] for each in beating]
    step = max(1, -(-max(values.shape[2:]) // CINE_PIXELS))
    while True:
        small = values[:, :, ::step, ::step]
        sheet = _ink(
            (_sheet(small) - low) / (high - low), [_sheet(each[:, :, ::step, ::step]) for each in labels]
        )
        uri = _jpeg(sheet, 78)
        if len(uri) < CINE_BYTES:
            break
        step += 1
    height, width = small.shape[2:]
    beat = float(np.median(deepest.rr_ms))
    return {
        "uri": uri,
        "frames": len(frames),
        "slices": [k + 1 for k in slices],
        "aspect": f"{width} / {height}",
        "frame_ms": round(beat / len(frames) if np.isfinite(beat) and beat > 0 else 40.0, 1),
    }


def _sheet(small: Any) -> Any:
    """Return frames (t, k, r, c) as one picture: frames across, slices down."""
    return np.concatenate([np.concatenate(list(small[:, k]), axis=1) for k in range(small.shape[1])], axis=0)


def _ink(grey: Any, labels: list[Any]) -> Any:
    """Return a grey picture (r, c) in colours (r, c, 3) with the rims of each label drawn in."""
    from scipy.ndimage import binary_erosion

    colours = np.repeat(np.clip(grey, 0.0, 1.0)[..., None], 3, 2)
    for each in labels:
        for n, label in enumerate(np.unique(each[each > 0])):
            inside = each == label
            hue = ink.OUTLINES[n % len(ink.OUTLINES)]
            colours[inside & ~binary_erosion(inside)] = [int(hue[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return colours


def plates(
    said: tuple[Findings, ...], case: Case, study: Study, in_words: Words, given: Mapping[str, bytes]
) -> dict[str, Markup]:
    """Return figures as markup by the UID of the part they show, or by their own name."""
    from markupsafe import Markup

    found: dict[str, Markup] = {}
    events = [item for one in said for item in one.items if isinstance(item, Events)]
    for n, ecg in enumerate((p for p in study.parts if isinstance(p, Ecg)), 1):
        sheet = paper.lay(ecg)
        beats = paper.beats_of(events, ecg.origin.uid)
        title = say.part_name(ecg, study, in_words)
        foot = drawn.footer(sheet, in_words)
        found[ecg.origin.uid] = Markup(paper.to_svg(sheet, beats, title=title, footer=foot, id=f"ecg{n}"))
    stacks = [p for p in study.parts if isinstance(p, Cine) and len(p.planes) > 2]
    singles = [p for p in study.parts if isinstance(p, Cine) and len(p.planes) <= 2]
    owner = {f"short-axis.{n}": p for n, p in enumerate(stacks, 1)}
    owner |= {"long-axis": singles[0]} if singles else {}
    for name, draw in drawn.drawings(said, case, in_words.language) if said else _alone(case, in_words):
        if name.startswith("ecg."):
            continue
        if name in owner:
            kind, image = ("png", given[name]) if name in given else ("jpeg", drawn.to_jpeg(draw()))
            title = say.part_name(owner[name], study, in_words)
            found[owner[name].origin.uid] = Markup(
                '<img class="plate" alt="{}" src="data:image/{};base64,{}">'
            ).format(title, kind, base64.b64encode(image).decode())
        elif name.startswith(ON_PAPER):
            if not _spare(name):
                image = given[name] if name in given else drawn.to_png(draw())
                found[name] = Markup('<img class="plate" alt="{}" src="data:image/png;base64,{}">').format(
                    name, base64.b64encode(image).decode()
                )
        else:
            svg = _themed(drawn.to_svg(draw(), name))
            wide = name.startswith(("holter.", "pullback."))
            found[name] = Markup(svg.replace('class="plot"', 'class="plot full"', 1) if wide else svg)
    return found


def _spare(name: str) -> bool:
    """Whether a figure is left to the files beside the page: all but the first hours of a full disclosure."""
    kind, *_, last = name.split(".")
    return kind == "disclosure" and int(last) > DISCLOSED


def _alone(case: Case, in_words: Words) -> Iterable[tuple[str, drawn.Draw]]:
    """Return the figures of a study nothing was said of."""
    return drawn.of_study(case.studies[0], (), in_words)


def _themed(svg: str) -> str:
    """Return a plot whose colours and fonts follow the page, light or dark."""
    for colour, variable in (
        (ink.INK, "--ink"),
        (ink.QUIET, "--quiet"),
        (ink.RULE, "--rule"),
        (ink.LINE, "--line"),
        (ink.DIASTOLE, "--diastole"),
        (ink.SYSTOLE, "--systole"),
    ):
        svg = svg.replace(colour, f"var({variable})")
    svg = re.sub(r"font-family: [^;\"]*", "font-family: var(--sans)", svg)
    return re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', r'<svg class="plot" \1', svg, count=1)


def _small(pixels: Any) -> Markup:
    from markupsafe import Markup

    step = max(1, int(max(pixels.shape[:2]) / (1.5 * THUMBNAIL)))
    grey = np.asarray(pixels, float)[::step, ::step]
    grey = grey.mean(axis=2) if grey.ndim == 3 else grey
    low, high = tiles.window(grey)
    return Markup('<img class="thumb" alt="" src="{}">').format(_jpeg((grey - low) / (high - low), 80))


def _jpeg(values: Any, quality: int) -> str:
    """Return a data URI of grey (r, c) or coloured (r, c, 3) values from 0 to 1."""
    from matplotlib.image import imsave

    levels = (np.clip(values, 0.0, 1.0) * 255).round().astype(np.uint8)
    levels = np.repeat(levels[..., None], 3, 2) if levels.ndim == 2 else levels
    buffer = io.BytesIO()
    imsave(buffer, levels, format="jpeg", pil_kwargs={"quality": quality})
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
