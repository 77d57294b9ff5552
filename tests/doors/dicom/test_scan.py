"""The header scan against pydicom on real files, and against damage of every kind."""

import struct
import time
import tracemalloc
import warnings
import zipfile
import zlib
from pathlib import Path

import pydicom
import pydicom.data
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from carna.doors.dicom import DOOR, scan
from carna.doors.dicom.header import item, number, numbers, patient_of, text, texts
from carna.doors.files import Blob, walk
from carna.errors import InputError
from carna.progress import Progress

PYDICOM_FILES = Path(pydicom.data.__file__).parent / "test_files"
SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)


def with_syntax(ds, syntax):
    ds.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        ds.PixelData = b"".join(ds.PixelData[i : i + 2][::-1] for i in range(0, len(ds.PixelData), 2))
    return ds


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_uncompressed_syntax_gives_the_same_header(make, pack, as_blob, syntax):
    plain = scan.header(as_blob(pack(make())))
    found = scan.header(as_blob(pack(with_syntax(make(), syntax))))
    assert found.syntax == syntax
    assert {e.keyword: e.value for e in found.ds} == {e.keyword: e.value for e in plain.ds}
    assert found.notes == ()


@pytest.mark.parametrize("syntax", SYNTAXES[:3])
def test_a_file_without_preamble_and_meta_is_guessed_and_says_so(make, pack, as_blob, syntax):
    bare = as_blob(pack(with_syntax(make(), syntax), meta=False))
    assert DOOR.claims(bare)
    found = scan.header(bare)
    assert found.syntax == syntax
    assert number(found.ds, "Rows") == 6
    assert numbers(found.ds, "PixelSpacing") == (1.5, 1.25)
    assert "no file meta information" in found.notes
    assert found.bare().Rows == 6


@pytest.mark.parametrize("stated", SYNTAXES[:3])
@pytest.mark.parametrize("real", SYNTAXES[:3])
def test_the_bytes_are_believed_before_the_stated_syntax(make, pack, as_blob, stated, real):
    data = pack(with_syntax(make(), real))
    old, new = (uid.encode() + b"\0" * (len(uid) % 2) for uid in (real, stated))
    before = b"\x02\x00\x10\x00UI" + struct.pack("<H", len(old)) + old
    assert before in data
    lie = data.replace(before, b"\x02\x00\x10\x00UI" + struct.pack("<H", len(new)) + new)
    found = scan.header(as_blob(lie))
    assert (found.syntax, text(found.ds, "PatientID")) == (real, "P1")
    assert bool(found.notes) == (stated != real)
    assert found.bare().PatientID == "P1"


def real_files(data):
    folders = [PYDICOM_FILES, data("dicom-zoo"), data("echo-cine-sample"), data("totalseg-ct-mr")]
    blobs, _ = walk(folders)
    return [b for b in blobs if DOOR.claims(b) and b.path is not None]


@pytest.mark.data
def test_headers_equal_those_of_pydicom(data):
    compared = 0
    for blob in real_files(data):
        try:
            found = scan.header(blob)
        except InputError:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = pydicom.dcmread(blob.path, force=True, stop_before_pixels=True)
            for element in theirs:
                tag = element.tag
                stepped_over = tag.is_private or tag.element == 0 or tag.group >= 0x5000
                empty = element.is_empty or (element.VR == "SQ" and not element.value)
                if stepped_over or empty or tag in (0x00880200, 0x00420011):
                    continue
                assert tag in found.ds, (blob.name, tag)
                assert found.ds[tag] == element, (blob.name, tag)
                compared += 1
    assert compared > 5000


def test_every_truncation_is_refused_or_leaves_the_pixels_marked_short(make, pack, as_blob):
    data = pack(make())
    whole = scan.header(as_blob(data))
    assert whole.pixels is not None and whole.pixels.whole
    for size in range(1, len(data)):
        try:
            found = scan.header(as_blob(data[:size]))
        except InputError:
            continue
        assert found.pixels is None or not found.pixels.whole


@pytest.mark.parametrize(
    "junk",
    [b"\0" * 4096, b"junk" * 2000, b"\xff" * 999, bytes(128) + b"DICM" + bytes(5000), bytes(128) + b"DICM"],
)
def test_junk_is_refused(junk, as_blob):
    with pytest.raises(InputError):
        scan.header(as_blob(junk))


@pytest.mark.parametrize(
    "junk", [b"", b"\0" * 4096, b"junk" * 2000, b"<?xml version='1.0'?>", b"\x5c\x01" + bytes(400)]
)
def test_junk_is_not_claimed(junk, as_blob):
    assert not DOOR.claims(as_blob(junk))


def bounded(work, seconds=5.0, mebibytes=64):
    tracemalloc.start()
    start = time.perf_counter()
    try:
        work()
    finally:
        took, peak = time.perf_counter() - start, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert took < seconds
    assert peak < mebibytes << 20


def hostile(kind):
    start = bytes(128) + b"DICM" + b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\0"
    first = b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100"
    match kind:
        case "length beyond the file":
            return start + first + b"\x08\x00\x08\x00OB\0\0\xf0\xff\xff\xff" + bytes(100)
        case "sequences without end":
            return (
                start
                + first
                + b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 50_000
            )
        case "zeros":
            return start + first + bytes(8 << 20)
        case "a million elements":
            return start + first + b"\x08\x00\x08\x00CS\x02\x00A " * 500_000
        case "items only":
            sequence = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\0\0\0\0" * 200_000
            return start + first + sequence
    raise AssertionError(kind)


@pytest.mark.parametrize(
    "kind",
    ["length beyond the file", "sequences without end", "zeros", "a million elements", "items only"],
)
def test_hostile_files_are_refused_in_bounded_time_and_memory(kind, as_blob):
    made = as_blob(hostile(kind))

    def work():
        with pytest.raises(InputError):
            scan.header(made)

    bounded(work)


def test_a_deflate_bomb_is_refused(as_blob, monkeypatch):
    monkeypatch.setattr(scan, "MAX_INFLATED_BYTES", 1 << 20)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    bomb = packer.compress(bytes(64 << 20)) + packer.flush()
    start = bytes(128) + b"DICM" + b"\x02\x00\x10\x00UI\x16\x001.2.840.10008.1.2.1.99"

    def work():
        with pytest.raises(InputError, match="deflated"):
            scan.header(as_blob(start + bomb))

    bounded(work, mebibytes=16)


def test_deep_sequences_are_walked_not_recursed(make, pack, as_blob):
    ds = make()
    inner = ds
    for _ in range(60):
        child = pydicom.Dataset()
        inner.ReferencedImageSequence = [child]
        inner["ReferencedImageSequence"].is_undefined_length = True
        child.is_undefined_length_sequence_item = True
        inner = child
    inner.ReferencedSOPInstanceUID = "1.2.3"
    found = scan.header(as_blob(pack(ds)))
    path = ["ReferencedImageSequence"] * 60
    assert text(item(found.ds, *path), "ReferencedSOPInstanceUID") == "1.2.3"


def test_private_long_and_icon_elements_are_stepped_over(make, pack, as_blob):
    ds = make()
    ds.private_block(0x29, "CARNA", create=True).add_new(0x10, "OB", bytes(100_000))
    ds.add_new(0x00880200, "SQ", [pydicom.Dataset()])
    ds.add_new(0x60003000, "OW", bytes(100))
    found = scan.header(as_blob(pack(ds)))
    assert text(found.ds, "PatientID") == "P1"
    assert all(not t.is_private and t.group < 0x5000 for t in found.ds.keys())  # noqa: SIM118
    assert found.bare()[0x00291010].value == bytes(100_000)
    assert "PixelData" in found.full() and "PixelData" not in found.bare()


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jörg"),
        ("ISO_IR 192", "王^小东"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    ],
)
def test_names_in_every_character_set(make, pack, as_blob, charset, name):
    found = scan.header(as_blob(pack(make(SpecificCharacterSet=charset, PatientName=name))))
    assert patient_of(found.ds).name == name


def with_name(data, name):
    """Return the file with other bytes for the name ``Muller^Jorg``."""
    name += b" " * (len(name) % 2)
    old = b"PN" + struct.pack("<H", 12) + b"Muller^Jorg "
    assert old in data
    return data.replace(old, b"PN" + struct.pack("<H", len(name)) + name)


def test_a_chinese_name_with_code_switching(make, pack, as_blob):
    # PS3.5 K.2: the bytes of the standard's own example of ISO 2022 IR 58.
    raw = b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab="
    data = pack(make(SpecificCharacterSet=["", "ISO 2022 IR 58"], PatientName="Muller^Jorg"))
    assert patient_of(scan.header(as_blob(with_name(data, raw))).ds).name == "Zhang^XiaoDong=张^小东"


@pytest.mark.parametrize(("encoding", "told"), [("utf-8", "UTF-8"), ("latin-1", "Latin-1")])
def test_a_missing_character_set_is_guessed_and_noted(make, pack, as_blob, encoding, told):
    data = pack(make(PatientName="Muller^Jorg"))
    found = scan.header(as_blob(with_name(data, "Müller^Jörg".encode(encoding))))
    assert patient_of(found.ds).name == "Müller^Jörg"
    assert any(told in note for note in found.notes)


def test_values_that_break_their_rules_cost_only_themselves(make, pack, as_blob):
    data = pack(make())
    found = scan.header(as_blob(data.replace(b"1.5\\1.25", b"1.5\\x.yz")))
    assert numbers(found.ds, "PixelSpacing") == ()
    assert text(found.ds, "PatientID") == "P1"
    assert texts(found.ds, "ImageType") == ("ORIGINAL", "PRIMARY", "M")


def test_an_unknown_vr_is_stepped_over(make, pack, as_blob):
    data = pack(make(PatientComments="abcd"))
    assert b"LT\x04\x00abcd" in data
    found = scan.header(as_blob(data.replace(b"LT\x04\x00abcd", b"XX\x04\x00abcd")))
    assert number(found.ds, "Rows") == 6


def test_headers_reports_progress_and_every_problem(make, pack, as_blob):
    seen = []
    blobs = [as_blob(pack(make(n)), f"{n}") for n in range(1, 200)] + [as_blob(b"\0" * 200, "zeros")]
    found, problems = scan.headers(blobs, Progress(lambda done, what: seen.append(done)))
    assert len(found) == 199
    assert [p.file for p in problems] == ["zeros"]
    assert seen == sorted(seen) and len(seen) > 2


def test_a_file_that_vanished_is_a_problem(tmp_path, make, pack):
    path = tmp_path / "gone.dcm"
    path.write_bytes(pack(make(size=(100, 100))))
    (blob,), _ = walk([path])
    path.unlink()
    short = Blob(blob.name, blob.size, blob.load, blob.head[:200], blob.path)
    found, problems = scan.headers([short])
    assert not found and len(problems) == 1


@pytest.mark.slow
@pytest.mark.data
def test_the_scan_is_faster_than_pydicom(data, tmp_path):
    with zipfile.ZipFile(data("bivme-cine-dicom") / "dicoms_patient1.zip") as archive:
        archive.extractall(tmp_path)
    blobs = [b for b in walk([tmp_path])[0] if DOOR.claims(b)]

    def seconds(work):
        start = time.process_time()
        work()
        return time.process_time() - start

    ours = min(seconds(lambda: scan.headers(blobs)) for _ in range(3))
    theirs = min(
        seconds(lambda: [pydicom.dcmread(b.path, stop_before_pixels=True) for b in blobs]) for _ in range(3)
    )
    assert ours < theirs / 1.5
