"""Damage at random: whatever bytes come, the door answers with parts and problems, soon, in little memory."""

import random
import resource
import struct
import time
from pathlib import Path

import pydicom.data
import pytest

from carna.doors.dicom import DOOR
from carna.doors.dicom.sniff import BIG_ENDIAN, EXPLICIT, IMPLICIT
from carna.errors import InputError
from carna.progress import SILENT

SEEDS = (
    "CT_small.dcm", "MR_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "image_dfl.dcm", "SC_rgb_jpeg_dcmtk.dcm",
    "ExplVR_BigEndNoMeta.dcm", "reportsi.dcm", "test-SR.dcm", "liver_1frame.dcm", "DICOMDIR", "rtplan.dcm",
    "UN_sequence.dcm", "JPGExtended.dcm",
)  # fmt: skip
LENGTHS = (0, 1, 7, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)


def mutated(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    # Headers break more interestingly than pixels do.
    reach = min(len(out), 6000) if rng.random() < 0.8 else len(out)
    match rng.randrange(6):
        case 0:
            for _ in range(rng.randint(1, 8)):
                out[rng.randrange(reach)] ^= 1 << rng.randrange(8)
        case 1:
            del out[rng.randrange(reach) :]
        case 2:
            at = rng.randrange(max(reach - 4, 1))
            out[at : at + 4] = struct.pack(rng.choice("<>") + "I", rng.choice(LENGTHS))
        case 3:
            at = rng.randrange(max(reach - 2, 1))
            out[at : at + 2] = struct.pack("<H", rng.choice(LENGTHS) & 0xFFFF)
        case 4:
            start, stop = sorted(rng.randrange(reach) for _ in range(2))
            del out[start : min(stop, start + 64)]
        case _:
            start = rng.randrange(reach)
            piece = bytes(out[start : start + rng.randint(1, 64)])
            at = rng.randrange(reach)
            out[at:at] = piece * rng.choice((1, 1, 50))
    return bytes(out)


def attack(as_blob, count: int, seed: int) -> dict[str, int]:
    rng = random.Random(seed)
    files = [Path(str(pydicom.data.get_testdata_file(name))).read_bytes() for name in SEEDS]
    seen = {"read": 0, "named": 0, "not claimed": 0}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for n in range(count):
        blob = as_blob(mutated(files[n % len(files)], rng), f"{seed}-{n}")
        if not DOOR.claims(blob):
            seen["not claimed"] += 1
            continue
        start = time.process_time()
        delivery = DOOR.read([blob], SILENT)
        for arrival in delivery.arrivals:
            use(arrival.part)
        assert time.process_time() - start < 5.0, n
        assert all(p.file and p.found for p in delivery.problems)
        seen["read" if delivery.arrivals else "named"] += 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 600 << 10, f"{grown >> 10} MiB more than before"
    return seen


def use(part) -> None:
    """Load what is not compressed: decoders in C are not ours to prove."""
    values = getattr(part, "values", None)
    if values is None or not part.origin.sources or part.origin.sources[0].read is None:
        return
    try:
        header = part.origin.sources[0].read()
        if header.file_meta.get("TransferSyntaxUID") in (IMPLICIT, EXPLICIT, BIG_ENDIAN):
            assert values.array.shape == values.shape
    except InputError:
        return


def test_two_hundred_mutations(as_blob):
    seen = attack(as_blob, 200, seed=1)
    assert seen["read"] > 20 and seen["named"] > 20


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 16))
def test_thousands_of_mutations(as_blob, seed):
    seen = attack(as_blob, 500, seed)
    assert sum(seen.values()) == 500
