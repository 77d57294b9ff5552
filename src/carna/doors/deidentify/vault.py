"""The vault: who the pseudonyms are, encrypted, and kept apart from what was de-identified.

Pseudonyms can't be undone without it: they are keyed hashes. It holds, for each patient, the elements of the
patient as they were, and how far the dates moved; for each study, what the hospital calls it; and every UID.
Each entry is sealed with AES-GCM under a key that lies in a file of its own, and bound to the name it is kept
under: without the key nothing can be read, and no entry can be put in another's place.
"""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from carna.doors.deidentify.clock import Shift, seconds_of, time_of
from carna.doors.deidentify.elements import like
from carna.doors.deidentify.project import keep_secret
from carna.doors.deidentify.run import Run
from carna.errors import InputError

_CHARACTER_SET = 0x00080005
# What a hospital calls a study: date and time, accession and study number, description, who referred.
_OF_STUDY: Final = (0x00080020, 0x00080030, 0x00080050, 0x00080090, 0x00081030, 0x00200010)
_MARKS: Final = ("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence")
_NONCE: Final = 12

Entries = Mapping[str, bytes]


@final
@dataclass(frozen=True, slots=True)
class Vault:
    """A file of sealed entries and the file of its key.

    Parameters
    ----------
    path : Path
        SQLite; several processes may write.
    key : bytes
        32 bytes.
    """

    path: Path
    key: bytes

    @classmethod
    def open(cls, path: Path, key_file: Path) -> Vault:
        """Open a vault; a new one gets a key, readable by its owner only.

        Raises
        ------
        InputError
            If the key is not the one it was sealed with, or the vault is there and its key is not.
        """
        if not key_file.exists():
            if path.exists():
                raise InputError(
                    f"the vault {path} without its key {key_file}",
                    needed="the key that it was sealed with",
                    fix="restore the key from its backup; without it nobody can be named again",
                )
            keep_secret(key_file, b64encode(os.urandom(32)))
        vault = cls(path, b64decode(key_file.read_bytes()))
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with closing(vault._connect()) as db, db:
            db.execute("CREATE TABLE IF NOT EXISTS entry (name TEXT PRIMARY KEY, sealed BLOB) WITHOUT ROWID")
        path.chmod(0o600)
        vault.keep({"key": b"right"})
        if vault.look("key") != b"right":
            raise InputError(f"{key_file} is not the key of {path}", needed="the key it was sealed with")
        return vault

    def keep(self, entries: Entries) -> None:
        """Seal entries that are not there yet; those that are stay as they were first told."""
        rows = [(name, self._sealed(name, data)) for name, data in entries.items()]
        with closing(self._connect()) as db, db:
            db.executemany("INSERT OR IGNORE INTO entry VALUES (?, ?)", rows)

    def look(self, name: str) -> bytes | None:
        """Return an entry, None if there is none.

        Raises
        ------
        InputError
            If it was sealed with another key, or was changed.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        with closing(self._connect()) as db:
            row = db.execute("SELECT sealed FROM entry WHERE name = ?", (name,)).fetchone()
        if row is None:
            return None
        try:
            return AESGCM(self.key).decrypt(row[0][:_NONCE], row[0][_NONCE:], name.encode())
        except InvalidTag as error:
            raise InputError(
                f"an entry of {self.path} that this key does not open",
                needed="the key it was sealed with, and a vault that no one changed",
            ) from error

    def restore(self, dataset: Dataset) -> Dataset:
        """Return an object with the person again: one that was de-identified, or one derived from it.

        The patient's elements, the study's and every UID are those that came, bit for bit; dates that were
        moved are moved back. What was removed otherwise is not in the vault.

        Raises
        ------
        InputError
            If the vault does not know the pseudonym.
        """
        pseudonym = str(dataset.get("PatientID", ""))
        entry = self.look(f"patient {pseudonym}")
        if entry is None:
            raise InputError(f"the pseudonym {pseudonym!r}, which the vault does not know")
        told = json.loads(entry)
        moved = dataset.get("LongitudinalTemporalInformationModified") == "MODIFIED"
        back = timedelta(days=-told["days"], seconds=-told["seconds"])
        shift = Shift(back, seconds_of(str(dataset.get("StudyTime") or "")) or 0) if moved else None
        out = self._restored(dataset, shift)
        study = self.look(f"study {dataset.get('StudyInstanceUID', '')}")
        for elements in (told["elements"], json.loads(study)["elements"] if study is not None else ""):
            out.update(_unpacked(elements))
        for keyword in (*_MARKS, "LongitudinalTemporalInformationModified"):
            if keyword in out:
                delattr(out, keyword)
        if hasattr(dataset, "file_meta"):
            out.file_meta = type(dataset.file_meta)(dataset.file_meta)
            out.file_meta.MediaStorageSOPInstanceUID = out.SOPInstanceUID
        return out

    def _restored(self, ds: Dataset, shift: Shift | None) -> Dataset:
        out = like(ds, {})
        for element in ds:
            out[element.tag] = self._element(ds, element, shift)
        return out

    def _element(self, ds: Dataset, element: Any, shift: Shift | None) -> DataElement:
        value = element.value
        if element.VR == "SQ":
            value = [self._restored(item, shift) for item in value]
        elif element.VR == "UI" and value:
            several = isinstance(value, str)
            olds = [self._old(str(uid)) for uid in ([value] if several else value)]
            value = olds[0] if several else olds
        elif shift is not None and element.VR in ("DA", "TM", "DT") and value:
            several = isinstance(value, str)
            values = [value] if several else list(value)
            olds = [_back(ds, element, str(v), shift) for v in values]
            value = olds[0] if several else olds
        return DataElement(element.tag, element.VR, value)

    def _old(self, uid: str) -> str:
        found = self.look(f"uid {uid}")
        return uid if found is None else found.decode()

    def _sealed(self, name: str, data: bytes) -> bytes:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE)
        return nonce + AESGCM(self.key).encrypt(nonce, data, name.encode())

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=30.0)


def entries_of(dataset: Dataset, run: Run) -> dict[str, bytes]:
    """Return what the vault has to keep of an object and the run that de-identified it."""
    if run.project.knows(run.person.split("\0")[0]):
        return {}
    patient = _packed(dataset, (tag for tag in dataset.keys() if tag >> 16 == 0x0010))  # noqa: SIM118
    by = run.shift.by
    told = {"elements": patient, "days": by.days, "seconds": by.seconds}
    new_study = run.project.uid(str(dataset.get("StudyInstanceUID", "")))
    study = {"elements": _packed(dataset, _OF_STUDY)}
    return {
        f"patient {run.patient}": json.dumps(told).encode(),
        f"study {new_study}": json.dumps(study).encode(),
        **{f"uid {new}": old.encode() for new, old in run.uids.items()},
    }


def _packed(ds: Dataset, tags: Iterable[int]) -> str:
    """Return elements of a data set as text: Explicit VR Little Endian, compressed."""
    wanted = {tag: ds.get_item(tag) for tag in (_CHARACTER_SET, *tags) if tag in ds}
    part = like(ds, {})
    for element in wanted.values():
        part[element.tag] = element
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_dataset(buffer, part)
    return b64encode(zlib.compress(buffer.getvalue())).decode()


def _unpacked(text: str) -> dict[Any, Any]:
    if not text:
        return {}
    ds = read_dataset(DicomBytesIO(zlib.decompress(b64decode(text))), False, True)
    return {element.tag: element for element in ds}


def _back(ds: Dataset, element: Any, value: str, shift: Shift) -> str:
    """Return a value of a date or time as it was; one that can't be read was not moved."""
    if element.VR == "TM":
        return shift.time(value) or value
    if element.VR == "DT":
        return shift.moment(value) or value
    partner = time_of(int(element.tag))
    time = str(ds[partner].value or "") if partner is not None and partner in ds else ""
    return shift.date(value, time) or value
