"""An ensemble: its draw, its screening by whoever does the work, and its circuits put together by place."""

from __future__ import annotations

from concurrent.futures import Future
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from carna.ep.reentry import Circuit, Outcome, Protocol, Restitution
from carna.errors import Cancelled, InputError
from carna.heart.anatomy import Anatomy
from carna.heart.ensemble import (
    Member,
    Priors,
    Screening,
    Share,
    circuits,
    inducible,
    members,
    screen_all,
    screened,
    unplaced,
)  # fmt: skip
from carna.heart.executor import executor, spread
from carna.heart.scar import Infarct
from carna.heart.twin import lesion
from carna.heart.ventricles import ventricles
from carna.intervals import wilson
from carna.progress import Progress
from carna.space import Grid

HEALTHY = Restitution(
    np.array([0.0, 20, 50, 100, 200, 300]), np.array([190.0, 215, 240, 262, 280, 290]),
    np.array([0.6, 0.75, 0.88, 0.95, 0.99, 1]),
)  # fmt: skip
GREY = Restitution(
    np.array([0.0, 20, 50, 100, 200, 300]), np.array([230.0, 260, 285, 305, 330, 345]),
    np.array([0.5, 0.6, 0.75, 0.88, 0.96, 1]),
)  # fmt: skip
SITE = "12 mid anterolateral"
GRID = Grid((40, 40, 40), np.diag([1.0, 1.0, 1.0, 1.0]))


@pytest.fixture(scope="module")
def screening() -> Screening:
    """A channel of 8 mm through an infarct of 60 by 50 mm, one site, four couplings."""
    infarct = Infarct(segment=7, around_mm=60.0, along_mm=50.0, rim_mm=0.0, channel_mm=8.0, channel_deg=70.0)
    heart = ventricles(Anatomy(rv_wall_mm=5.0), spacing_mm=2.5, infarcts=(infarct,))
    protocol = Protocol(extras=1, s1_beats=3, longest_ms=340.0, shortest_ms=300.0, sustained_ms=1200.0)
    return Screening(heart, HEALTHY, GREY, protocol, (SITE,))


def _signature(outcomes: tuple[tuple[Outcome, ...], ...]) -> list[tuple[Any, ...]]:
    return [(o.site, o.couplings_ms, o.sustained, o.lasted_ms, o.cycle_ms) for each in outcomes for o in each]


def test_the_draw_covers_every_range_evenly_and_again() -> None:
    drawn = members(20, seed=3)
    assert drawn == members(20, seed=3)
    assert drawn != members(20, seed=4)
    for name in ("border_mm", "along", "across", "grey", "apd_scale"):
        low, high = getattr(Priors(), name)
        cells = [int(20 * (getattr(one, name) - low) / (high - low)) for one in drawn]
        assert sorted(cells) == list(range(20)), name


def test_the_answer_does_not_depend_on_who_works_it_out(screening: Screening) -> None:
    two = (Member(), Member(grey=0.5))
    told: list[float] = []
    here = screen_all(screening, two, progress=Progress(lambda done, _: told.append(done)))
    assert told[-1] == pytest.approx(1.0)
    with executor(2) as on:
        there = screen_all(screening, two, on)
    assert _signature(here) == _signature(there)
    assert inducible(here) == Share(2, 2)
    found = circuits(here, screening.heart.grid)
    assert found[0].share.interval == wilson(found[0].share.hits, 2)
    # In this heart the isthmus lies in the channel, and slower conduction makes a longer cycle.
    grey = screening.heart.spread(screening.heart.region) == 1
    assert grey[tuple(found[0].isthmus.T)].mean() > 0.5
    slow, fast = (one[-1].cycle_ms for one in here)
    assert slow is not None and fast is not None and slow > fast + 20.0


def test_a_lesion_across_the_channel_ends_it(screening: Screening) -> None:
    found = circuits((screened(screening, Member()),), screening.heart.grid)[0]
    cut = Screening(
        screening.heart, HEALTHY, GREY, screening.protocol, (SITE,),
        lesion(screening.heart, found.isthmus, 6.0),
    )  # fmt: skip
    assert inducible((screened(cut, Member()),)) == Share(0, 1)


def test_longer_recovery_blocks_couplings_that_captured(screening: Screening) -> None:
    tried = screened(screening, Member(apd_scale=1.3))
    assert not tried[-1].captured


def test_a_wrong_site_is_refused(screening: Screening) -> None:
    wrong = Screening(screening.heart, HEALTHY, GREY, screening.protocol, ("nowhere",))
    with pytest.raises(InputError, match="nowhere"):
        screened(wrong, Member())


def _outcome(centre: tuple[int, int, int], cycle: float = 400.0, closed: bool = True) -> Outcome:
    """A circuit once round a square of 12 mm whose isthmus is the middle of one side."""
    ring = [(0, i, 0) for i in range(12)] + [(0, 12, i) for i in range(12)]
    ring += [(0, 12 - i, 12) for i in range(12)] + [(0, 0, 12 - i) for i in range(12)]
    path = np.array(ring) + centre
    times = np.linspace(0, cycle, len(path))
    circuit = Circuit(path, times, cycle, 1, np.ones(len(path)), path[5:8], path[9])
    return Outcome("a", (300.0,), True, True, 2000.0, cycle, circuit if closed else None)


def test_circuits_are_put_together_by_place() -> None:
    near, far = _outcome((5, 5, 5)), _outcome((5, 5, 5), 420.0)
    other, quiet = _outcome((35, 25, 25)), Outcome("a", (), True, False, 90.0, None, None)
    found = circuits(((near,), (far, other), (quiet,), (quiet,)), GRID)
    assert [one.share for one in found] == [Share(2, 4), Share(1, 4)]
    assert found[0].cycles_ms == (400.0, 410.0, 420.0)
    assert found[0].spread_mm == 0.0
    assert [one.member for one in found[0].induced] == [0, 1]
    assert found[1].place_lps_mm == pytest.approx((35.0, 31.0, 25.0))
    assert len(circuits(((near,), (far, other)), GRID, same_mm=100.0)) == 1
    with pytest.raises(InputError, match="same_mm"):
        circuits(((near,),), GRID, 0.0)


def test_what_drifts_is_counted_but_has_no_place() -> None:
    drifts = _outcome((5, 5, 5), closed=False)
    assert circuits(((drifts,),), GRID) == ()
    assert unplaced(((drifts,), ())) == Share(1, 2)
    assert inducible(((drifts,), ())) == Share(1, 2)


def test_a_cancellation_leaves_the_rest_undone(screening: Screening) -> None:
    with pytest.raises(Cancelled):
        screen_all(screening, (Member(),), progress=Progress(cancelled=lambda: True))
    done: list[int] = []

    class Later:
        """Does one task; the others wait until they are cancelled."""

        def submit(self, function: Any, *task: Any) -> Future[Any]:
            future: Future[Any] = Future()
            if not done:
                done.append(1)
                future.set_result(function(*task))
            return future

    with pytest.raises(Cancelled):
        spread(pow, [(2, 2), (2, 3)], Later(), Progress(cancelled=lambda: True))  # type: ignore[arg-type]


def test_what_no_executor_is() -> None:
    with pytest.raises(InputError, match="at least 1"), executor(0):
        pass
    if find_spec("distributed") is None:
        with pytest.raises(InputError, match="no dask"), executor("tcp://nowhere:1"):
            pass


def test_ranges_are_refused() -> None:
    with pytest.raises(InputError, match="lower end first"):
        Priors(grey=(0.5, 0.2))
    with pytest.raises(InputError, match="1 to 10,000"):
        members(0, 1)
