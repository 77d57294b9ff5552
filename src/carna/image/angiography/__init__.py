"""X-ray angiography: key frame, vessels, walls, QCA, frame count, trees from one or two views. Research use.

Pictures are arrays with dark vessels, places are row and column in pixels. Millimetres come from a `View` or
a `Scale`; where there is none, sizes in mm are None and say why.
"""

from carna.image.angiography.contour import Contour, find_contour
from carna.image.angiography.qca import Qca, qca
from carna.image.angiography.run import KeyFrame, Transit, key_frame, transit
from carna.image.angiography.trace import Drawn, trace
from carna.image.angiography.tree import Rebuilt, planar_tree, tree_from_views
from carna.image.angiography.vessels import Vessels, find_vessels
from carna.image.angiography.view import Scale, View, scale

__all__ = [
    "Contour",
    "Drawn",
    "KeyFrame",
    "Qca",
    "Rebuilt",
    "Scale",
    "Transit",
    "Vessels",
    "View",
    "find_contour",
    "find_vessels",
    "key_frame",
    "planar_tree",
    "qca",
    "scale",
    "trace",
    "transit",
    "tree_from_views",
]
