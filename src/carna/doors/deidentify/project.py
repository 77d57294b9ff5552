"""A project: one secret from which every pseudonym, UID and date shift follows.

All are keyed hashes (HMAC-SHA-256), so the same patient gets the same pseudonym in every file, on every
machine that holds the secret, without a list being kept; without the secret none can be undone or tried.
Pseudonyms and UIDs carry a keyed check of themselves: the project knows its own and leaves them as they
are, so that an object that was de-identified before comes out the same again.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import os
import re
import secrets
import tempfile
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final, final

from carna.errors import InputError

MIN_SECRET: Final = 16
# The oldest and the latest days a patient's dates may be moved to the past.
_DAYS: Final = (365, 3652)
_PSEUDONYM: Final = re.compile(r"[A-Z2-7]{20}")
_OWN_ROOT: Final = "2.25."


@final
@dataclass(frozen=True, slots=True)
class Project:
    """A name and a secret of at least 16 bytes.

    Raises
    ------
    InputError
        If the secret is shorter, or the name empty.
    """

    name: str
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise InputError("a project without a name", needed="a name")
        if len(self.secret) < MIN_SECRET:
            raise InputError(
                f"a secret of {len(self.secret)} bytes",
                needed=f"{MIN_SECRET} random bytes or more",
                fix="secrets.token_bytes(32), kept in a file of its own",
            )

    def pseudonym(self, patient: str) -> str:
        """Return the 20 letters and digits that stand for a patient: 60 bits, and 40 that check them."""
        if self.knows(patient):
            return patient
        head = self._mac("patient", patient)[:8]
        # Twelve characters of base 32 are 60 bits.
        name = base64.b32encode(head).decode()[:12]
        return name + self._check("pseudonym", name)

    def knows(self, pseudonym: str) -> bool:
        """Whether a text is a pseudonym of this project."""
        return _PSEUDONYM.fullmatch(pseudonym) is not None and hmac.compare_digest(
            pseudonym[12:], self._check("pseudonym", pseudonym[:12])
        )

    def uid(self, uid: str) -> str:
        """Return the UID that stands for another: 2.25 and a version 8 UUID (RFC 9562)."""
        if self._own(uid):
            return uid
        head = bytearray(self._mac("uid", uid)[:12])
        head[6] = head[6] & 0x0F | 0x80
        head[8] = head[8] & 0x3F | 0x80
        whole = bytes(head) + self._mac("uid check", head.hex())[:4]
        return f"{_OWN_ROOT}{int.from_bytes(whole, 'big')}"

    def shift(self, patient: str) -> timedelta:
        """Return how far the dates of a patient are moved to the past: 1 to 10 years, to the second.

        A pseudonym's dates were moved when it was given, so they are not moved again.
        """
        if self.knows(patient):
            return timedelta()
        drawn = int.from_bytes(self._mac("shift", patient)[:16], "big")
        least, most = _DAYS
        return timedelta(days=least + drawn % (most - least), seconds=drawn // (most - least) % 86400)

    def label(self, what: str, text: str, length: int) -> str:
        """Return a name of up to 16 letters that stands for a text of some kind, such as an AE title."""
        return base64.b32encode(self._mac(what, text)).decode()[:length]

    def _own(self, uid: str) -> bool:
        if not uid.startswith(_OWN_ROOT) or not uid[5:].isdecimal() or len(uid) > 44:
            return False
        number = int(uid[5:])
        if number >> 128:
            return False
        whole = number.to_bytes(16, "big")
        return hmac.compare_digest(whole[12:], self._mac("uid check", whole[:12].hex())[:4])

    def _check(self, what: str, text: str) -> str:
        return base64.b32encode(self._mac(what, text)[:5]).decode()

    def _mac(self, what: str, text: str) -> bytes:
        return hmac.digest(self.secret, f"{what}\0{text}".encode("utf-8", "surrogatepass"), "sha256")


def project_at(name: str, folder: Path) -> Project:
    """Return the project whose secret lies in a folder; make the secret if there is none.

    The file is readable by its owner only. Who holds it can try patients' numbers against pseudonyms:
    keep it where the de-identified files do not go.
    """
    path = folder / "secret"
    if not path.exists():
        keep_secret(path, secrets.token_bytes(32).hex().encode())
    try:
        return Project(name, bytes.fromhex(path.read_text("ascii").strip()))
    except ValueError as error:
        raise InputError(
            f"{path} holds no secret", needed="hexadecimal digits", fix="restore it from its backup"
        ) from error


def keep_secret(path: Path, data: bytes) -> None:
    """Write a secret that only its owner may read; one that is there already stays, whoever was first."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # A link, unlike a rename, does not replace: two workers that begin together agree on one secret.
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
