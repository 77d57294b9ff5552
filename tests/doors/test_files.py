"""Files: folders, loops, archives, and what is no file, each with its sentence."""

import gzip
import io
import lzma
import os
import socket
import tarfile
import tracemalloc
import zipfile

import pytest

from carna.doors import files
from carna.doors.files import walk


def names(blobs):
    return sorted(b.file for b in blobs)


def test_folders_are_walked_once_whatever_their_links_say(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "one.txt").write_text("1")
    (tmp_path / "a" / "b" / "loop").symlink_to(tmp_path / "a")
    (tmp_path / "two.txt").write_text("2")
    blobs, problems = walk([tmp_path])
    assert names(blobs) == ["one.txt", "two.txt"]
    assert not problems


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_folders_are_named(tmp_path):
    (tmp_path / "shut").mkdir(mode=0)
    _, problems = walk([tmp_path])
    assert "can't be opened" in problems[0].found


def test_empty_files_sockets_and_missing_paths_are_problems(tmp_path):
    (tmp_path / "empty.dcm").touch()
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "socket"))
    blobs, problems = walk([tmp_path, tmp_path / "nowhere"])
    server.close()
    assert not blobs
    assert sorted(p.found for p in problems) == [
        "neither a file nor a folder",
        "no such file or folder",
        "the file is empty",
    ]


def test_a_path_too_long_for_the_system_is_a_problem(tmp_path):
    (tmp_path / "one.txt").write_text("1")
    shut = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):  # deeper than any one path may be
        os.mkdir("d" * 240, dir_fd=shut)
        shut, above = os.open("d" * 240, os.O_RDONLY, dir_fd=shut), shut
        os.close(above)
    os.close(shut)
    blobs, problems = walk([tmp_path])
    assert names(blobs) == ["one.txt"]
    assert "File name too long" in problems[0].found


def test_names_that_are_no_text_can_be_said(tmp_path):
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    for name in (b"/r\xff.hea", b"/r\xff.dat"):
        with open(folder + name, "wb") as file:
            file.write(b"1")
    blobs, _ = walk([tmp_path])
    assert [b.file.encode() for b in blobs] == [rb"r\udcff.dat", rb"r\udcff.hea"]
    assert all(b.load() == b"1" and b.neighbours[b.file] is b for b in blobs)


def test_the_folder_of_the_results_is_no_input_unless_it_is_named(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "one.txt").write_text("1")
    (tmp_path / "out" / "p").mkdir(parents=True)
    (tmp_path / "out" / "p" / "two.txt").write_text("2")
    for paths, found in (
        ([tmp_path], ["one.txt"]),
        ([tmp_path / "out"], ["two.txt"]),
        ([tmp_path / "out" / "p"], ["two.txt"]),
        ([tmp_path / "in", tmp_path / "out"], ["one.txt", "two.txt"]),
    ):
        assert names(walk(paths, tmp_path / "out")[0]) == found
    assert names(walk([tmp_path], tmp_path / "nowhere")[0]) == ["one.txt", "two.txt"]


@pytest.mark.parametrize("name", ["a.gz", "a.xz", "a.tar.gz"])
def test_what_unpacks_to_much_is_not_kept(tmp_path, name, monkeypatch):
    monkeypatch.setattr(files, "KEPT_BYTES", 1 << 20)
    data = bytes(8 << 20) + b"end"
    if name.endswith(".tar.gz"):
        with tarfile.open(tmp_path / name, "w:gz") as tar:
            for n in range(2):
                info = tarfile.TarInfo(f"{n}.bin")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    else:
        (tmp_path / name).write_bytes((gzip if name == "a.gz" else lzma).compress(data))
    tracemalloc.start()
    blobs, problems = walk([tmp_path])
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not problems and kept < 4 << 20
    assert all(b.size == len(data) and b.load() == data for b in blobs)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_members_of_a_zip_are_blobs_with_neighbours(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "z.zip", "w", method) as z:
        z.writestr("x/1.hea", "head" * 2000)
        z.writestr("x/1.dat", b"data")
    blobs, problems = walk([tmp_path])
    assert names(blobs) == ["1.dat", "1.hea"] and not problems
    head = next(b for b in blobs if b.suffix == ".hea")
    assert head.name.endswith("z.zip/x/1.hea") and head.size == 8000 and len(head.head) == 4096
    assert head.neighbours["1.dat"].load() == b"data"


def test_tars_and_single_packed_files(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo("in/a.txt")
        info.size = 5
        tar.addfile(info, io.BytesIO(b"hello"))
    (tmp_path / "t.TGZ").write_bytes(buffer.getvalue())
    (tmp_path / "v.nii.gz").write_bytes(gzip.compress(b"nifti"))
    (tmp_path / "w.csv.xz").write_bytes(lzma.compress(b"a,b"))
    blobs, _ = walk([tmp_path])
    assert {b.file: b.load() for b in blobs} == {"a.txt": b"hello", "v.nii": b"nifti", "w.csv": b"a,b"}


def test_damaged_and_deep_archives_are_problems(tmp_path):
    inner = b"x"
    for _ in range(4):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as z:
            z.writestr("in.zip", inner)
        inner = buffer.getvalue()
    (tmp_path / "deep.zip").write_bytes(inner)
    with zipfile.ZipFile(tmp_path / "cut.zip", "w") as z:
        z.writestr("a.bin", os.urandom(5000))
    (tmp_path / "cut.zip").write_bytes((tmp_path / "cut.zip").read_bytes()[:3000])
    (tmp_path / "cut.gz").write_bytes(gzip.compress(os.urandom(5000))[:2000])
    blobs, problems = walk([tmp_path])
    assert not blobs
    assert len(problems) == 3
    assert any("archive inside an archive" in p.found for p in problems)
    assert sum("damaged archive" in p.found for p in problems) == 2


def test_one_named_file_knows_its_neighbours_but_reads_itself_only(tmp_path):
    (tmp_path / "1.hea").write_text("h")
    (tmp_path / "1.dat").write_text("d")
    blobs, _ = walk([tmp_path / "1.hea"])
    assert names(blobs) == ["1.hea"]
    assert "1.dat" in blobs[0].neighbours
