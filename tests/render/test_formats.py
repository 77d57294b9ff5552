"""Every format writes its files, the same ones for the same findings."""

from __future__ import annotations

import pytest

from carna.render import FORMATS
from carna.render.carries import left_out


@pytest.mark.parametrize("name", [n for n in FORMATS if n != "pdf"])
def test_each_format_writes_the_same_files_twice(small, name):
    said = (small.rhythm, small.heart)
    files = FORMATS[name].write(said, small.case)
    assert files and all(data for data in files.values())
    assert files == FORMATS[name].write(said, small.case)


@pytest.mark.slow
def test_documents_are_written_in_both_languages_and_as_dicom(small):
    files = FORMATS["pdf"].write((small.rhythm,), small.case)
    assert sorted(files) == [f"ecg_rhythm{end}" for end in (".pdf", ".pdf.dcm", ".zh.pdf", ".zh.pdf.dcm")]
    assert files["ecg_rhythm.pdf"] in files["ecg_rhythm.pdf.dcm"]


def test_two_runs_of_one_application_keep_their_own_files(small):
    files = FORMATS["json"].write((small.rhythm, small.rhythm), small.case)
    assert {"ecg_rhythm/findings.json", "ecg_rhythm.2/findings.json"} <= set(files)


def test_only_json_carries_everything(small):
    for name, format in FORMATS.items():
        assert (left_out(small.every, format.carries) == ()) == (name == "json")
