"""Tokens planted in every attribute of the standard's table, at three depths: none may come out."""

from __future__ import annotations

import csv
import io
import random
from datetime import date, timedelta
from importlib.resources import files

import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread

from carna.doors.deidentify import Profile, deidentify
from carna.doors.deidentify.engine import encode
from carna.doors.deidentify.profile import METHODS

ROWS = tuple(
    csv.DictReader(
        (files("carna.doors.deidentify") / "tables" / "attributes.csv").read_text("utf-8").splitlines()
    )
)
SINGLE = tuple(row for row in ROWS if row["vr"])
OPTIONS = tuple(name for name in ROWS[0] if name.startswith(("retain_", "clean_")))
# The values a token may not be written with.
_MADE_BY_US = ("00100010", "00100020", "00120040")


def token(row, depth):
    """Return a value of the attribute's kind that stands nowhere else."""
    n = SINGLE.index(row) + 1000 * (depth + 1)
    match row["vr"]:
        case "DA":
            return f"{date(1850, 1, 1) + timedelta(days=n):%Y%m%d}"
        case "TM":
            return f"{n % 24:02d}{n % 60:02d}{n * 7 % 60:02d}.{n:06d}"
        case "DT":
            return f"{1900 + depth:04d}0203040506.{n:06d}"
        case "UI":
            return f"1.2.3.987.{n}"
        case "AS":
            return f"{n % 90 + 10:03d}Y"
        case "DS":
            return f"0.77{n}"
        case "IS":
            return f"77{n}"
        case "US":
            return 7000 + n
        case "OB" | "UN":
            return f"Q{n:05d}Q.".encode()
        case "CS":
            return f"Q{n:05d}Q"
        case "UR":
            return f"http://Q{n:05d}Q"
        case _:
            return f"Q{n:05d}Q"


def item_of(row, depth):
    """Return an item for a sequence of the table, with a token where nothing else would remove it."""
    item = Dataset()
    if row["clean_structured_content"]:
        item.ValueType, item.TextValue = "TEXT", f"Q{SINGLE.index(row):04d}S{depth}"
    elif row["clean_graphics"]:
        item.UnformattedTextValue = f"Q{SINGLE.index(row):04d}S{depth}"
    elif "U" in row["basic"]:
        item.ReferencedSOPInstanceUID = f"1.2.3.987.5.{SINGLE.index(row)}{depth}"
    else:
        item.CodeValue = f"Q{SINGLE.index(row):04d}S{depth}"
        item.CodingSchemeDesignator = f"99Q{SINGLE.index(row):04d}S{depth}"
        item.CodeMeaning = f"Q{SINGLE.index(row):04d}S{depth}"
    return item


def plant(ds, row, depth):
    """Put one attribute into a data set."""
    value = [item_of(row, depth)] if row["vr"] == "SQ" else token(row, depth)
    ds[int(row["tag"], 16)] = DataElement(int(row["tag"], 16), row["vr"], value)


def planted(ct):
    """Return an object with every attribute of the table, at the top and in two nested sequences."""
    ds, inner, innermost = ct(), Dataset(), Dataset()
    for depth, place in enumerate((ds, inner, innermost)):
        for row in SINGLE:
            if row["tag"] >= "00080000" or depth:
                plant(place, row, depth)
    ds.SOPInstanceUID = "1.2.3.987.1"
    for group in (0x5000, 0x6000):
        ds.add_new(group << 16 | 0x3000, "OB", b"QOVERLAY")
        ds.add_new(group << 16 | 0x0022, "LO", "QOVERLAYTEXT")
    ds.add_new(0x60004000, "LT", "QOVERLAYCOMMENT")
    ds.add_new(0x00290010, "LO", "QCREATOR")
    ds.add_new(0x00291001, "UN", b"QPRIVATE")
    inner.ReferencedInstanceSequence = [innermost]
    ds.ReferencedSeriesSequence = [inner]
    return ds


def tokens(data):
    """Return the planted tokens found in the bytes of an object."""
    found = []
    for row in SINGLE:
        for depth in range(3):
            told = [f"Q{SINGLE.index(row):04d}S{depth}"] if row["vr"] == "SQ" else [token(row, depth)]
            for one in told:
                raw = one if isinstance(one, bytes) else str(one).encode()
                # An age and a number of two bytes are in too many bytes.
                if row["vr"] not in ("US", "AS") and raw in data:
                    found.append((row, depth))
    return found


def test_the_basic_profile_lets_no_token_through(ct, project):
    ds = planted(ct)
    before = encode(ds)
    assert len(tokens(before)) > 1800  # the tokens are there to be found
    data = encode(deidentify(dcmread(io.BytesIO(before)), Profile(), project))
    assert tokens(data) == []
    for word in (
        b"QOVERLAY",
        b"QPRIVATE",
        b"QCREATOR",
        b"1.2.3.",
        b"WARD7",
        b"OLDSENDER",
        b"PREAMBLE",
        b"Zhang",
    ):
        assert word not in data, word
    assert b"QOVERLAY" in before
    assert b"WARD7" in before


@pytest.mark.parametrize("implicit", [True, False])
def test_in_every_encoding_the_same(ct, project, implicit):
    ds = planted(ct)
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2" if implicit else "1.2.840.10008.1.2.2"
    if not implicit:
        del ds.PixelData
    data = encode(deidentify(dcmread(io.BytesIO(encode(ds))), Profile(), project))
    assert tokens(data) == []


def test_made_in_memory_the_same_as_read_from_a_file(ct, project):
    ds = planted(ct)
    made = deidentify(ds, Profile(), project)
    assert tokens(encode(made)) == []
    assert ds.PatientID == token(next(r for r in SINGLE if r["keyword"] == "PatientID"), 0)  # not changed


def expected(row, profile):
    """Return the letter that the table asks for: the test's own reading of it."""
    letters = [row[o] for o in OPTIONS if getattr(profile, o) and row[o]]
    return "C" if "C" in letters else "K" if "K" in letters else row["basic"]


def outcome(row, out, project, old):
    """Return the letters that describe what was done with an attribute."""
    tag = int(row["tag"], 16)
    if tag not in out:
        return {"X"}
    element = out[tag]
    if element.VR == "SQ":
        if not element.value:
            return {"Z"}
        raw = encode_item(element.value[0])
        if f"S{0}".encode() in raw or b"1.2.3.987" in raw:
            return {"K", "C"}
        return {"U"} if b"2.25." in raw else {"D"}
    value = element.value
    if value is None or value in ("", b""):
        return {"Z"}
    said, was = str(value), str(old)
    if isinstance(value, bytes):
        return {"K"} if value == old else {"D"}
    if element.VR == "UI":
        return {"K"} if said == was else {"U", "D"} if said == project.uid(was) else {"wrong"}
    return {"K"} if said == was else {"D", "C"}


def encode_item(item):
    """Return the bytes of an item."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_dataset(buffer, item)
    return buffer.getvalue()


SAFE_FOR = {"X/Z": "Z", "X/D": "D", "Z/D": "D", "X/Z/D": "D", "X/Z/U*": "U"}
PROFILES = [Profile(), *(Profile(**{o: True}) for o in OPTIONS)]
_rng = random.Random(0)
for _ in range(6):
    some = {o: True for o in OPTIONS if _rng.random() < 0.5}
    if some.get("retain_full_dates"):
        some.pop("retain_modified_dates", None)
    PROFILES.append(Profile(**some))


@pytest.mark.parametrize("profile", PROFILES, ids=lambda p: "+".join(p.options) or "basic")
def test_the_action_is_that_of_the_column(ct, project, profile):
    ds, wrong = planted(ct), []
    out = deidentify(ds, profile, project)
    for row in SINGLE:
        if row["tag"] < "00080000":
            continue
        old = ds[int(row["tag"], 16)].value
        done, letter = outcome(row, out, project, old), expected(row, profile)
        letter = SAFE_FOR.get(letter, letter)
        if letter == "C":
            # Nothing of the token is a safe word: cleaning leaves a moved date, a label, or the basic action.
            basic = SAFE_FOR.get(row["basic"], row["basic"])
            good = row["vr"] == "SQ" or bool(done & {"C", basic})
        elif row["tag"] in _MADE_BY_US:
            good = done == {"D", "C"}
        elif row["tag"] == "00101010" and letter == "K":
            good = "X" not in done
        else:
            good = letter in done
        if not good:
            wrong.append((row["keyword"], letter, done))
    assert wrong == []


@pytest.mark.parametrize("profile", PROFILES, ids=lambda p: "+".join(p.options) or "basic")
def test_no_option_lets_through_what_it_does_not_keep(ct, project, profile):
    out = encode(deidentify(dcmread(io.BytesIO(encode(planted(ct)))), profile, project))
    leaks = [(row["keyword"], depth) for row, depth in tokens(out) if expected(row, profile) != "K"]
    assert leaks == []
    kept = {
        row["keyword"]
        for row in SINGLE
        if expected(row, profile) == "K" and row["vr"] not in ("SQ", "US", "AS")
    }
    found = {row["keyword"] for row, depth in tokens(out) if depth == 0}
    assert {
        k
        for k in kept - found
        if not k.startswith(("Affected", "Requested", "Media", "Referenced", "SOPInstance"))
    } == set()


def test_marks(ct, project):
    profile = Profile(retain_modified_dates=True, clean_descriptors=True)
    out = deidentify(ct(), profile, project)
    assert out.PatientIdentityRemoved == "YES"
    codes = [(i.CodeValue, i.CodingSchemeDesignator) for i in out.DeidentificationMethodCodeSequence]
    assert codes == [("113100", "DCM"), ("113105", "DCM"), ("113107", "DCM")]
    assert out.LongitudinalTemporalInformationModified == "MODIFIED"
    assert deidentify(ct(), Profile(), project).LongitudinalTemporalInformationModified == "REMOVED"
    full = deidentify(ct(), Profile(retain_full_dates=True), project)
    assert full.LongitudinalTemporalInformationModified == "UNMODIFIED"
    assert len(METHODS) == 12
