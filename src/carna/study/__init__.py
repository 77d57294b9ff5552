"""The typed study: what arrived at one examination, understood and immutable."""

from carna.study.fingerprint import Fingerprint as Fingerprint
from carna.study.fingerprint import fingerprint as fingerprint
from carna.study.parts import Cine as Cine
from carna.study.parts import Ecg as Ecg
from carna.study.parts import Entry as Entry
from carna.study.parts import Geometry as Geometry
from carna.study.parts import Image as Image
from carna.study.parts import Lazy as Lazy
from carna.study.parts import Origin as Origin
from carna.study.parts import Part as Part
from carna.study.parts import Patient as Patient
from carna.study.parts import Picture as Picture
from carna.study.parts import Planes as Planes
from carna.study.parts import Record as Record
from carna.study.parts import Slide as Slide
from carna.study.parts import Source as Source
from carna.study.parts import Study as Study
from carna.study.views import View as View
