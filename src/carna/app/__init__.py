"""Applications: a function whose signature is its whole declaration."""

from carna.app.declare import Application as Application
from carna.app.declare import Need as Need
from carna.app.declare import Setting as Setting
from carna.app.declare import Slot as Slot
from carna.app.declare import application as application
from carna.app.fill import Filled as Filled
from carna.app.fill import fill as fill
from carna.app.fill import ready as ready
from carna.app.runner import Job as Job
from carna.app.runner import applications as applications
from carna.app.runner import in_order as in_order
from carna.app.runner import run as run
