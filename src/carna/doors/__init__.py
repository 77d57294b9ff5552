"""Doors: bytes become a case here, and artefacts become bytes. Nothing else reads or writes files."""

from carna.doors.arrive import read as read
