"""Findings: the one noun of Carna. Every application returns them, every renderer draws them."""

from carna.findings.items import Absent as Absent
from carna.findings.items import Curve as Curve
from carna.findings.items import Events as Events
from carna.findings.items import Evidence as Evidence
from carna.findings.items import Field as Field
from carna.findings.items import Interval as Interval
from carna.findings.items import Item as Item
from carna.findings.items import Measurement as Measurement
from carna.findings.items import Region as Region
from carna.findings.items import Samples as Samples
from carna.findings.items import Sd as Sd
from carna.findings.items import Segment as Segment
from carna.findings.items import Shape as Shape
from carna.findings.items import Statement as Statement
from carna.findings.items import Uncertainty as Uncertainty
from carna.findings.items import Unknown as Unknown
from carna.findings.model import Findings as Findings
from carna.findings.model import Input as Input
from carna.findings.model import Manifest as Manifest
from carna.findings.model import Review as Review
from carna.findings.wire import from_json as from_json
from carna.findings.wire import load as load
from carna.findings.wire import save as save
from carna.findings.wire import to_json as to_json
