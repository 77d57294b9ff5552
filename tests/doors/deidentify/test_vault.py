"""The vault: names come back bit for bit, and only with its key."""

from __future__ import annotations

import io
import sqlite3

import pytest
from pydicom.filereader import dcmread

from carna.doors.deidentify import Profile, deidentify
from carna.doors.deidentify.engine import encode, with_run
from carna.doors.deidentify.vault import Vault, entries_of
from carna.errors import InputError


@pytest.fixture
def vault(tmp_path):
    return Vault.open(tmp_path / "keys" / "vault.sqlite", tmp_path / "keys" / "vault.key")


def values(ds):
    """Return the bytes of the elements before the pixels."""
    tags = [tag for tag in ds.keys() if tag < 0x00280000]  # noqa: SIM118
    return {tag: ds.get_item(tag).value for tag in tags}


def test_round_trip_bit_for_bit(ct, project, vault):
    ds = dcmread(io.BytesIO(encode(ct(AccessionNumber="A77", OtherPatientIDs=["X1", "X2"]))))
    ds.SpecificCharacterSet = "GB18030"
    ds = dcmread(io.BytesIO(encode(ds)))
    before = values(ds)
    out, run = with_run(ds, Profile(retain_modified_dates=True, retain_patient_characteristics=True), project)
    vault.keep(entries_of(ds, run))
    back = dcmread(io.BytesIO(encode(vault.restore(dcmread(io.BytesIO(encode(out)))))))
    after = values(back)
    assert {tag: after.get(tag) for tag in before} == before
    assert b"\xd5\xc5^\xc8\xfd" in before[0x00100010]  # Chinese, as GB18030 writes it
    assert "PatientIdentityRemoved" not in back


def test_a_derived_object_gets_its_patient_back(ct, project, vault):
    source = ct(AccessionNumber="A77")
    out, run = with_run(source, Profile(), project)
    vault.keep(entries_of(source, run))
    out.SOPInstanceUID, out.SeriesDescription = "1.2.9.9.1", "a result"
    back = vault.restore(out)
    assert (back.PatientID, back.AccessionNumber, back.StudyDate) == ("MR0012345", "A77", "20240229")
    assert (back.SOPInstanceUID, back.StudyInstanceUID) == ("1.2.9.9.1", "1.2.3.4.1")
    with pytest.raises(InputError, match="does not know"):
        vault.restore(deidentify(ct(PatientID="other"), Profile(), project))


def test_nothing_can_be_read_without_the_key(ct, project, vault, tmp_path):
    _, run = with_run(ct(), Profile(), project)
    vault.keep(entries_of(ct(), run))
    stored = vault.path.read_bytes()
    for word in (b"Zhang", "张".encode(), b"MR0012345", b"1.2.3.4"):
        assert word not in stored
    assert vault.path.stat().st_mode & 0o077 == 0
    key = tmp_path / "keys" / "vault.key"
    assert key.stat().st_mode & 0o077 == 0
    (tmp_path / "another.key").write_bytes(b"A" * 43 + b"=")
    with pytest.raises(InputError, match="does not open"):
        Vault.open(vault.path, tmp_path / "another.key")


def test_a_vault_without_its_key_is_refused(vault, tmp_path):
    (tmp_path / "keys" / "vault.key").unlink()
    with pytest.raises(InputError, match="without its key"):
        Vault.open(vault.path, tmp_path / "keys" / "vault.key")


def test_entries_cannot_be_exchanged(vault):
    vault.keep({"a": b"one", "b": b"two"})
    with sqlite3.connect(vault.path) as db:
        (sealed,) = db.execute("SELECT sealed FROM entry WHERE name = 'a'").fetchone()
        db.execute("UPDATE entry SET sealed = ? WHERE name = 'b'", (sealed,))
    db.close()
    with pytest.raises(InputError, match="does not open"):
        vault.look("b")
