"""Sending: contexts, conversions, what becomes of broken files and broken associations."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
)

from carna.errors import InputError
from carna.node.dimse import send
from carna.node.dimse.bench import _make
from carna.node.dimse.exchange import Context
from carna.node.dimse.give import batches, described
from carna.node.dimse.keeper import Incoming, Stored
from carna.node.dimse.listen import Limits
from carna.node.dimse.negotiate import negotiate
from carna.node.dimse.pdu import Associate, Malformed, Proposed

from .test_listen import CT, EXPLICIT, data_set, node, slice_of

IMPLICIT = "1.2.840.10008.1.2"


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        ((EXPLICIT, IMPLICIT), EXPLICIT),
        ((IMPLICIT, EXPLICIT), EXPLICIT),  # it keeps the types of private elements
        ((IMPLICIT,), IMPLICIT),
        (("1.2.840.10008.1.2.4.90", EXPLICIT), "1.2.840.10008.1.2.4.90"),
        ((EXPLICIT, "1.2.840.10008.1.2.4.90"), EXPLICIT),
        (("1.3.46.670589.33.1.4.1",), "1.3.46.670589.33.1.4.1"),  # a vendor's
    ],
)
def test_objects_come_in_the_syntax_that_their_sender_names_first(keeper, offered, taken) -> None:
    request = Associate("CARNA", "A", (Proposed(1, CT, offered),))
    answer = negotiate(request, keeper, "127.0.0.1", reports=False, max_pdu=0)
    assert isinstance(answer, tuple)
    assert answer[1] == {1: Context(1, CT, taken, "store", True, False)}


def test_every_class_is_proposed_as_its_files_are_and_uncompressed() -> None:
    files = [
        Stored(f"1.2.{n % 70}", f"1.{n}", JPEGLSLossless if n % 3 else EXPLICIT, Path()) for n in range(300)
    ]
    runs = list(batches(files))
    assert [one for batch, _ in runs for one in batch] == files
    assert len(runs) > 1
    for batch, contexts in runs:
        assert len(contexts) <= 128 and all(one.id % 2 for one in contexts)
        assert len({one.id for one in contexts}) == len(contexts)
        for stored in batch:
            fitting = [one.syntaxes for one in contexts if one.abstract == stored.sop_class]
            assert (stored.transfer_syntax,) in fitting
            assert any(IMPLICIT in syntaxes for syntaxes in fitting)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_files_of_another_encoding_go_as_they_are(keeper, listens, tmp_path, syntax) -> None:
    path = slice_of(tmp_path, 1)
    one = dcmread(path)
    one.file_meta.TransferSyntaxUID = syntax
    one.save_as(path, implicit_vr=syntax.is_implicit_VR, little_endian=True)
    (outcome,) = send.store(node(listens()), [path])
    assert outcome.kept and outcome.syntax == syntax
    assert keeper.came[0].data == data_set(path) and keeper.came[0].transfer_syntax == syntax


@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, "1.3.46.670589.33.1.4.1"])
def test_what_nobody_here_can_read_goes_all_the_same(keeper, listens, tmp_path, syntax) -> None:
    path = tmp_path / "vendor.dcm"
    said = dcmread(slice_of(tmp_path, 1)).file_meta
    said.TransferSyntaxUID = syntax
    with path.open("wb") as file:
        file.write(bytes(128) + b"DICM")
        write_file_meta_info(file, said)
        file.write(b"whatever a vendor keeps here")
    (outcome,) = send.store(node(listens()), [path])
    assert outcome.kept and outcome.syntax == syntax
    assert keeper.came[0].data == b"whatever a vendor keeps here"


def test_what_is_no_part_10_file_is_named_before_anything_is_sent(keeper, listens, tmp_path) -> None:
    good, bad = slice_of(tmp_path, 1), tmp_path / "bad.dcm"
    for content in (b"", b"x" * 300, good.read_bytes()[:150], good.read_bytes()[132:]):
        bad.write_bytes(content)
        with pytest.raises(InputError, match=r"bad\.dcm"):
            send.store(node(listens()), [good, bad])
    with pytest.raises(InputError, match=r"no\.dcm"):
        send.store(node(listens()), [tmp_path / "no.dcm"])
    assert not keeper.came


def test_a_file_that_is_gone_fails_alone(keeper, listens, tmp_path) -> None:
    files = [described(slice_of(tmp_path, n)) for n in range(3)]
    files[1].path.unlink()
    assert [one.kept for one in send.store(node(listens()), files)] == [True, False, True]


def test_a_broken_association_is_opened_again_for_what_is_left(keeper, listens, tmp_path) -> None:
    files = [slice_of(tmp_path, n) for n in range(4)]
    outcomes = send.store(node(listens()), files)
    assert next(outcomes).kept
    keeper.raises = Malformed("as if the peer had aborted")
    assert not next(outcomes).kept
    keeper.raises = None
    assert [one.kept for one in outcomes] == [True, True]
    assert len(keeper.came) == 3


def test_a_peer_that_is_not_there_is_given_up_soon(listens, tmp_path) -> None:
    listener = listens()
    listener.stop()
    outcomes = list(send.store(node(listener), [slice_of(tmp_path, 1)] * 50))
    assert len(outcomes) == 50
    assert not any(one.kept for one in outcomes) and "does not answer" in outcomes[-1].why


def test_a_large_file_that_is_cut_on_the_way_breaks_only_its_own_association(
    keeper, listens, tmp_path
) -> None:
    _make(tmp_path, 2)
    first, second = sorted(tmp_path.iterdir())
    shorter = replace(described(first), path=tmp_path / "gone")
    whole = first.read_bytes()
    shutil.copy(first, shorter.path)
    listener = listens(limits=Limits(max_pdu=16384))
    outcomes = send.store(node(listener), [second, shorter, second])
    assert next(outcomes).kept
    shorter.path.write_bytes(whole[:1000])  # shorter, but whole in itself: the peer judges what it means
    assert next(outcomes).kept
    assert next(outcomes).kept
    assert [len(one.data) for one in keeper.came][1] < 1000


@pytest.mark.parametrize("max_pdu", [4096, 1 << 20])
def test_four_callers_at_a_time(keeper, listens, tmp_path, max_pdu: int) -> None:
    _make(tmp_path, 6)
    paths = sorted(tmp_path.iterdir())
    listener = listens(limits=Limits(max_pdu=max_pdu))
    with ThreadPoolExecutor(4) as pool:
        sent = list(pool.map(lambda n: list(send.store(node(listener, f"NODE{n}"), paths)), range(4)))
    assert all(one.kept for outcomes in sent for one in outcomes)

    def of(one: Incoming) -> tuple[str, str]:
        return one.calling, one.sop_instance

    came = sorted(keeper.came, key=of)
    assert len(came) == 24
    assert [one.data for one in came] == 4 * [data_set(path) for path in paths]
