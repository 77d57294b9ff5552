"""The benchmark's own tree: what it is made of."""

import numpy as np
import pytest

from carna.bench import flow
from carna.flow.boundary import coronary
from carna.flow.steady import steady


def test_the_tree_forks_by_the_law_it_names() -> None:
    tree = flow.binary(25, 20, narrowed=())
    assert len(tree) == 25
    assert len(tree.points) == 1 + 25 * 19
    for n, at in enumerate(tree.segments):
        children = np.flatnonzero(tree.parent == n)
        if len(children):
            tips = [tree.radius_mm[tree.segments[c][-1]] for c in children]
            assert sum(r**2.55 for r in tips) == pytest.approx(tree.radius_mm[at[-1]] ** 2.55)
        if tree.parent[n] >= 0:
            assert at[0] == tree.segments[tree.parent[n]][-1]
    assert steady(tree, coronary(tree)).ratio.min() > 0.7


@pytest.mark.slow
def test_the_goals_of_the_steady_rungs_are_met() -> None:
    one, _, forest = flow._steady()
    assert one.ours < 10
    assert forest.ours < 0.3
    (samples,) = flow._samples()
    assert samples.ours < 60
