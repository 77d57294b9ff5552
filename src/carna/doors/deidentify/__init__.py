"""De-identification: DICOM, electrocardiograms and FHIR without the person (DICOM PS3.15 Annex E).

>>> from carna.doors.deidentify import Profile, Project, deidentify
>>> project = Project("a study", b"thirty-two bytes of a random gen")
>>> clean = deidentify(dataset, Profile(retain_modified_dates=True), project)  # doctest: +SKIP
"""

from carna.doors.deidentify.engine import deidentify as deidentify
from carna.doors.deidentify.profile import Profile as Profile
from carna.doors.deidentify.profile import named as named
from carna.doors.deidentify.project import Project as Project
from carna.doors.deidentify.project import project_at as project_at
