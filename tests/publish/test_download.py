"""The competition's files without an account, from a server on this computer, and Kaggle's zip."""

import hashlib
import http.client
import json
import ssl
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from kaggle_dsb.commands.download import download_competition
from kaggle_dsb.dataset import download as module
from kaggle_dsb.dataset.download import (
    BROAD_FILES,
    KAGGLE_FILES,
    DownloadError,
    download_broad,
    fetch_file,
    find_missing,
    unpack_competition,
)
from kaggle_dsb.files import InputError
from tests.publish import fake_kaggle

CONTENT = bytes(range(256)) * 2000
TABLE = b"ImageId,EncodedPixels,Height,Width,Usage\n"


@pytest.fixture
def broad(sleeps: list[float], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server with every file, whose address is ``url``."""
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    fake = fake_kaggle.FakeKaggle()
    fake.files = {
        name: pack({"a": name.encode() + CONTENT}) if name.endswith(".zip") else TABLE + CONTENT
        for name in BROAD_FILES
    }
    running = fake_kaggle.start_server(fake)
    fake.url = f"{fake.address}/storage"
    yield fake
    fake_kaggle.stop_server(running)


def show(name: str) -> AbstractContextManager[Any]:
    return nullcontext(lambda done, total: None)


def pack(files: dict[str, bytes]) -> bytes:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as outer:
        for name, content in files.items():
            outer.writestr(name, content)
    return packed.getvalue()


def test_everything_is_fetched_once_and_recorded(broad: Any, tmp_path: Path) -> None:
    assert download_broad(tmp_path, show=show, base_url=broad.url) == list(BROAD_FILES)
    for name in BROAD_FILES:
        assert (tmp_path / name).read_bytes() == broad.files[name]
    record = json.loads((tmp_path / "downloads.json").read_text())
    assert record["stage1_test.zip"] == {
        "from": broad.url,
        "bytes": len(broad.files["stage1_test.zip"]),
        "sha256": hashlib.sha256(broad.files["stage1_test.zip"]).hexdigest(),
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*BROAD_FILES, "downloads.json"]
    )
    n_requests = len(broad.calls)
    assert download_broad(tmp_path, show=show, base_url=broad.url) == []
    assert len(broad.calls) == n_requests


def test_only_a_damaged_file_is_fetched_again(broad: Any, tmp_path: Path) -> None:
    download_broad(tmp_path, show=show, base_url=broad.url)
    (tmp_path / "stage1_test.zip").write_bytes(b"half")
    fetched = download_broad(tmp_path, show=show, base_url=broad.url)
    assert fetched == ["stage1_test.zip"]
    assert (tmp_path / "stage1_test.zip").read_bytes() == broad.files["stage1_test.zip"]


def test_whole_files_put_there_by_hand_are_kept(tmp_path: Path) -> None:
    (tmp_path / "stage1_test.zip").write_bytes(pack({"a.png": b"1"}))
    (tmp_path / "stage1_train.zip").write_bytes(pack({"a.png": b"1"})[:-9])
    (tmp_path / "stage1_solution.csv").write_bytes(TABLE)
    (tmp_path / "stage2_solution_final.csv").write_bytes(b"<html>sign in</html>")
    names = [path.name for path in sorted(tmp_path.iterdir())]
    assert find_missing(tmp_path, names) == ["stage1_train.zip", "stage2_solution_final.csv"]


def test_a_broken_connection_is_resumed(broad: Any, tmp_path: Path, sleeps: list[float]) -> None:
    broad.break_after = [100_000, 7]
    seen: list[tuple[int, int]] = []
    fetch_file(
        f"{broad.url}/stage1_test.zip",
        tmp_path / "a.zip",
        progress=lambda *counts: seen.append(counts),
    )
    whole = broad.files["stage1_test.zip"]
    assert (tmp_path / "a.zip").read_bytes() == whole
    assert broad.ranges == ["bytes=100000-", "bytes=100007-"]
    assert seen[-1] == (len(whole), len(whole))
    assert sleeps == [2.0, 4.0]
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_a_broken_tls_connection_is_resumed(
    broad: Any, tmp_path: Path, sleeps: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [ssl.SSLEOFError("EOF occurred in violation of protocol")]
    read = http.client.HTTPResponse.read

    def _read(reply: http.client.HTTPResponse, size: int = -1) -> bytes:
        if faults:
            raise faults.pop()
        return read(reply, size)

    monkeypatch.setattr(http.client.HTTPResponse, "read", _read)
    fetch_file(f"{broad.url}/stage1_test.zip", tmp_path / "a.zip", progress=lambda *_: None)
    assert (tmp_path / "a.zip").read_bytes() == broad.files["stage1_test.zip"]
    assert sleeps == [2.0]


def test_a_file_that_changed_meanwhile_is_fetched_anew(broad: Any, tmp_path: Path) -> None:
    broad.break_after = [1000] * module.DOWNLOAD_TRIES
    url, path = f"{broad.url}/stage1_test.zip", tmp_path / "a.zip"
    with pytest.raises(DownloadError) as caught:
        fetch_file(url, path, progress=lambda *_: None)
    n_bytes = len(broad.files["stage1_test.zip"])
    assert str(caught.value) == (
        f"{url}: the download failed 5 times (5000 of {n_bytes} bytes); the partial file is kept, "
        "run the same command again to resume"
    )
    broad.files["stage1_test.zip"] = b"new" * 10_000
    fetch_file(url, path, progress=lambda *_: None)
    assert path.read_bytes() == b"new" * 10_000


def test_a_file_unlike_its_first_download_is_refused(broad: Any, tmp_path: Path) -> None:
    download_broad(tmp_path, show=show, base_url=broad.url)
    (tmp_path / "stage1_test.zip").unlink()
    first = hashlib.sha256(broad.files["stage1_test.zip"]).hexdigest()[:12]
    broad.files["stage1_test.zip"] = pack({"b": b"other"})
    other = hashlib.sha256(broad.files["stage1_test.zip"]).hexdigest()[:12]
    with pytest.raises(DownloadError) as caught:
        download_broad(tmp_path, show=show, base_url=broad.url)
    assert str(caught.value) == (
        f"stage1_test.zip: differs from its first download from {broad.url} (SHA-256 {other}…, not "
        f"{first}…); if the new file is correct, remove its entry from "
        f"{tmp_path / 'downloads.json'}"
    )


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("stage1_test.zip", b"<html>maintenance</html>", "zip"),
        ("stage1_test.zip", pack({"a": CONTENT})[:-30], "zip"),
        ("stage1_solution.csv", b"<html>maintenance</html>", "table of run lengths"),
    ],
    ids=["a page for a zip", "half a zip", "a page for a table"],
)
def test_what_arrives_as_something_else_is_not_kept(
    broad: Any, tmp_path: Path, name: str, content: bytes, kind: str
) -> None:
    broad.files[name] = content
    with pytest.raises(DownloadError) as caught:
        download_broad(tmp_path, show=show, base_url=broad.url, names=[name])
    assert str(caught.value) == (
        f"{name}: {broad.url} did not send a complete {kind} (it starts with {content[:20]!r}); "
        "the file was deleted, try again later"
    )
    assert list(tmp_path.iterdir()) == []


def damage(packed: bytes, offset: int, value: bytes) -> bytes:
    """Change bytes of the first entry's header, and of its copy in the directory."""
    directory = packed.index(b"PK\x01\x02")
    changed = bytearray(packed)
    for start in (offset, directory + offset + 2):
        changed[start : start + len(value)] = value
    return bytes(changed)


@pytest.mark.parametrize(
    ("offset", "value"),
    [(6, b"\x01\x00"), (8, b"\x63\x00"), (14, b"\x00\x00\x00\x00")],
    ids=["encrypted", "unknown compression", "wrong checksum"],
)
def test_a_zip_that_cannot_be_read_is_fetched_again(
    tmp_path: Path, offset: int, value: bytes
) -> None:
    (tmp_path / "stage1_test.zip").write_bytes(damage(pack({"a": CONTENT}), offset, value))
    assert find_missing(tmp_path, ["stage1_test.zip"]) == ["stage1_test.zip"]


def test_a_file_that_is_not_there_is_told(broad: Any, tmp_path: Path) -> None:
    with pytest.raises(DownloadError) as caught:
        fetch_file(f"{broad.url}/none.zip", tmp_path / "a.zip", progress=lambda *_: None)
    assert str(caught.value) == f"{broad.url}/none.zip: HTTP 404 Not Found"


def test_no_network_is_told(tmp_path: Path, sleeps: list[float]) -> None:
    with pytest.raises(DownloadError) as caught:
        fetch_file("http://127.0.0.1:9/a.zip", tmp_path / "a.zip", progress=lambda *_: None)
    assert str(caught.value) == (
        "http://127.0.0.1:9/a.zip: no network connection ([Errno 111] Connection refused); check "
        "the connection, or download the files elsewhere and put them in the data folder"
    )


def test_a_full_disk_is_told_before_anything_is_fetched(
    broad: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = module.shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    broad.files["stage1_train.zip"] = bytes(2_000_000)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(DownloadError) as caught:
        download_broad(tmp_path, show=show, base_url=broad.url)
    assert str(caught.value) == (
        f"{tmp_path}: not enough disk space: 2 MB needed, 1 MB free; free some space or choose "
        "another folder"
    )
    assert not (tmp_path / "stage1_train.zip").exists()


def test_of_kaggles_zip_only_what_is_needed_is_unpacked(tmp_path: Path) -> None:
    files = {name: pack({"x": name.encode()}) for name in KAGGLE_FILES}
    packed = tmp_path / "outer.zip"
    packed.write_bytes(pack(files | {"stage1_train_labels.csv.zip": b"not needed"}))
    assert unpack_competition(packed, tmp_path) == list(KAGGLE_FILES)
    assert find_missing(tmp_path, KAGGLE_FILES) == []
    assert not (tmp_path / "stage1_train_labels.csv.zip").exists()


def test_a_damaged_zip_of_kaggles_is_deleted(tmp_path: Path) -> None:
    packed = tmp_path / "outer.zip"
    packed.write_bytes(b"PK no zip")
    with pytest.raises(DownloadError) as caught:
        unpack_competition(packed, tmp_path)
    assert str(caught.value) == (
        "outer.zip: was corrupted in transfer (File is not a zip file) and deleted; run the same "
        "command again"
    )
    assert not packed.exists()


def move_before_the_start(packed: bytes) -> bytes:
    """Let a zip say that its files are where it has not begun yet."""
    changed, end = bytearray(packed), packed.rindex(b"PK\x05\x06")
    (offset,) = struct.unpack_from("<I", packed, end + 16)
    struct.pack_into("<I", changed, end + 16, offset + 1000)
    return bytes(changed)


def test_a_zip_whose_files_would_be_before_its_start_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "stage1_test.zip").write_bytes(move_before_the_start(pack({"a.png": b"1"})))
    assert find_missing(tmp_path, ["stage1_test.zip"]) == ["stage1_test.zip"]
    packed = tmp_path / "outer.zip"
    packed.write_bytes(move_before_the_start(pack(dict.fromkeys(KAGGLE_FILES, b""))))
    with pytest.raises(DownloadError) as caught:
        unpack_competition(packed, tmp_path)
    assert str(caught.value) == (
        "outer.zip: was corrupted in transfer ('stage1_train.zip' is not inside the zip) and "
        "deleted; run the same command again"
    )


def test_a_zip_of_something_else_is_told(tmp_path: Path) -> None:
    packed = tmp_path / "outer.zip"
    packed.write_bytes(pack({"readme.txt": b"hello"}))
    with pytest.raises(DownloadError) as caught:
        unpack_competition(packed, tmp_path)
    assert str(caught.value) == f"{packed}: contains no stage1_train.zip; it contains readme.txt"


def test_with_credentials_the_files_come_from_kaggle(
    server: Any, credentials: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {name: pack({"x": name.encode()}) for name in KAGGLE_FILES}
    server.files = {"data-science-bowl-2018.zip": pack(files)}
    data = tmp_path / "data"
    assert download_competition(data) == list(KAGGLE_FILES)
    assert "downloading from kaggle: credentials in KAGGLE_USERNAME" in capsys.readouterr().err
    assert sorted(path.name for path in data.iterdir()) == sorted([*KAGGLE_FILES, "downloads.json"])
    n_calls = len(server.calls)
    assert download_competition(data) == []
    assert len(server.calls) == n_calls


def test_the_whole_competition_put_there_by_hand_is_enough(tmp_path: Path) -> None:
    (tmp_path / "data-science-bowl-2018.zip").write_bytes(pack({"stage1_test.zip": b"x"}))
    assert download_competition(tmp_path, origin="kaggle") == []


def test_a_file_is_no_folder_to_download_to(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    path.write_bytes(b"")
    with pytest.raises(InputError) as caught:
        download_competition(path)
    assert str(caught.value) == f"{path}: is a file; choose a folder for the download"


def test_without_credentials_they_come_from_the_broad(
    broad: Any,
    no_credentials: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("kaggle_dsb.commands.download.BROAD_URL", broad.url)
    assert download_competition(tmp_path / "data") == list(BROAD_FILES)
    said = capsys.readouterr().err
    assert said.startswith("downloading from broad: no Kaggle credentials found\n")


def test_files_of_the_broad_need_no_client_of_kaggle() -> None:
    code = (
        "import sys; sys.modules['requests'] = sys.modules['kaggle'] = None\n"
        "import kaggle_dsb.commands.download"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_transfer_interrupted_after_its_last_byte_is_complete(broad: Any, tmp_path: Path) -> None:
    content = broad.files["stage1_test.zip"]
    (tmp_path / "a.zip.part").write_bytes(content)
    (tmp_path / "a.zip.version").write_text(f'"{len(content)}-{sum(content[:4096])}"')
    fetch_file(f"{broad.url}/stage1_test.zip", tmp_path / "a.zip", progress=lambda *_: None)
    assert (tmp_path / "a.zip").read_bytes() == content
    assert broad.ranges == [f"bytes={len(content)}-"]


@pytest.mark.parametrize("entry", ["abc", {"a": 1}])
def test_an_altered_record_of_downloads_is_named(tmp_path: Path, entry: object) -> None:
    (tmp_path / "downloads.json").write_text(json.dumps({"stage1_train.zip": entry}))
    with pytest.raises(InputError) as caught:
        find_missing(tmp_path, ["stage1_train.zip"])
    assert str(caught.value) == (
        f"{tmp_path}/downloads.json: the entry of stage1_train.zip lacks bytes, from, sha256; "
        "remove it"
    )
