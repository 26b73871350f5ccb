"""How the job's server is started, and how the start can fail."""

import os
import sys
import tempfile
import warnings

import pytest

from sluice.errors import CallTimeout, SluiceError
from sluice.session import current, init


def test_server_options_apply_to_the_process_that_starts_the_server(job):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        init({"server": {"maxmemory": "1gb", "io-threads": 1}})
        init({"server": {"io-threads": 1}})
    assert current().wire.call("CONFIG", "GET", "io-threads") == {b"io-threads": b"1"}
    with pytest.warns(UserWarning, match="ignored options: {'maxmemory': '2gb'}"):
        init({"server": {"maxmemory": "2gb", "io-threads": 1}})


def test_refused_options_are_reported(job):
    with pytest.raises(SluiceError, match="(?s)ended right after its start.*no-such-option"):
        init({"server": {"no-such-option": 1}})


@pytest.mark.parametrize("script", ["#!/bin/sh\necho broken for good; exit 3\n", "no program at all"])
def test_the_error_of_a_broken_binary_is_reported(job, tmp_path, monkeypatch, script):
    binary = tmp_path / "bad"
    binary.write_text(script)
    binary.chmod(0o755)
    monkeypatch.setenv("SLUICE_SERVER", str(binary))
    with pytest.raises(SluiceError, match="(?s)broken for good|cannot run .*bad: Exec format error"):
        init()


def test_a_server_that_never_replies_is_an_error(job, tmp_path, monkeypatch):
    binary = tmp_path / "silent"
    binary.write_text("#!/bin/sh\nexec sleep 1000\n")
    binary.chmod(0o755)
    monkeypatch.setenv("SLUICE_SERVER", str(binary))
    with pytest.raises(CallTimeout, match=r"\.sock does not answer; its log is .*\.log"):
        init({"timeout_s": 1})


def test_the_binary_is_searched_in_order(job, tmp_path, monkeypatch):
    from sluice import local_server

    monkeypatch.setenv("SLUICE_SERVER", "/no/such/server")
    with pytest.raises(SluiceError, match="SLUICE_SERVER is /no/such/server"):
        init()
    monkeypatch.delenv("SLUICE_SERVER")
    monkeypatch.setenv("PATH", str(tmp_path))
    package = tmp_path / "project" / "python" / "sluice"
    package.mkdir(parents=True)
    monkeypatch.setattr(local_server, "__file__", str(package / "local_server.py"))
    with pytest.raises(SluiceError) as caught:
        init()
    places = [tmp_path / "project/build/release/server", tmp_path, package / "bin"]
    for part in ("SLUICE_SERVER is not set", f"{package}/bin/sluice-server", "PATH has no sluice-server", str(places[0])):
        assert part in str(caught.value)
    for place in places:  # each one precedes the one before
        place.mkdir(parents=True, exist_ok=True)
        (place / "sluice-server").symlink_to(sys.executable)
        assert local_server.find_server() == str(place / "sluice-server")


def test_a_folder_that_others_can_enter_is_refused(job):
    job.mkdir(mode=0o755)
    job.chmod(0o755)
    with pytest.raises(SluiceError, match="mode 0700, but is drwxr-xr-x"):
        init()


def test_a_folder_that_is_a_link_is_refused(job, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    job.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SluiceError, match="but is lrwxrwxrwx"):
        init()


def test_a_folder_of_another_user_is_refused(job, monkeypatch):
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    folder = job.with_name(f"sluice-{owner + 1}")
    folder.mkdir(mode=0o700)
    with pytest.raises(SluiceError, match=f"must be a folder of user {owner + 1} .* of user {owner}:"):
        init()


def test_a_path_too_long_for_a_socket_is_refused(job, tmp_path, monkeypatch):
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with pytest.raises(SluiceError, match="too long for a Unix socket: set TMPDIR"):
        init()
