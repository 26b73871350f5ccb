"""init() without an address: one server for a job, for as long as somebody uses it, whoever is killed."""

import asyncio
import contextlib
import multiprocessing
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import warnings

import pytest
import torch
from init_process import SERVER_PID, Process, alive, parent, wait_gone
from live_server import server_binary, wait_until
from sluice.errors import CallTimeout, ConnectionLost, NotInitialized, SluiceError
from sluice.session import close, current, init


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A job of its own; returns where its files are. No server is left behind."""
    for name in ("SLUICE_URL", "SLURM_JOB_ID", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("SLUICE_JOB", "job")
    monkeypatch.setenv("SLUICE_SERVER", str(server_binary()))
    folder = tmp_path / f"sluice-{os.geteuid()}"
    yield folder
    close()
    wait_gone(*(int(pid) for log in folder.glob("*.log") for pid in started(log)))


@pytest.fixture
def processes(job):
    with contextlib.ExitStack() as stack:

        def start():
            process = Process()
            stack.callback(process.kill)
            return process

        yield start


def started(log):
    return [line.rpartition(" ")[2] for line in log.read_text().splitlines() if ": started " in line]


def server_pid():
    return eval(SERVER_PID)


def log_text(folder):
    [log] = folder.glob("*.log")
    return log.read_text()


def test_processes_of_a_job_meet_and_the_last_one_stops_the_server(job, processes):
    one, two = processes(), processes()
    url = one.do("init().url")
    assert two.do("init().url") == url
    server = one.server()
    assert two.server() == server
    keeper = parent(server)
    one.do("close()")
    assert two.server() == server  # still
    two.end()
    wait_gone(server, keeper)
    assert not pathlib.Path(url.removeprefix("unix://")).exists()
    assert "has ended with 0" in log_text(job)


def test_jobs_have_servers_of_their_own(job, processes, monkeypatch):
    one = processes()
    one.do("init()")
    monkeypatch.setenv("SLUICE_JOB", "other/job")
    two = processes()
    two.do("init()")
    assert one.server() != two.server()


@pytest.mark.parametrize(
    ("env", "name"),
    [
        ({"SLUICE_JOB": "a", "SLURM_JOB_ID": "7", "TORCHELASTIC_RUN_ID": "t"}, "a"),
        ({"SLURM_JOB_ID": "7", "TORCHELASTIC_RUN_ID": "t"}, "7"),
        ({"TORCHELASTIC_RUN_ID": "t"}, "t"),
        ({"TORCHELASTIC_RUN_ID": "none"}, "default"),
    ],
)
def test_the_job_is_named_by_the_scheduler(job, monkeypatch, env, name):
    monkeypatch.delenv("SLUICE_JOB")
    for variable, value in env.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(NotInitialized, match=f"job '{name}' runs no server"):
        current()


def test_twenty_processes_at_once_get_one_server(job, processes):
    crowd = [processes() for _ in range(20)]
    for process in crowd:
        process.begin("init().url")
    assert len({process.result() for process in crowd}) == 1
    assert len({process.server() for process in crowd}) == 1
    assert log_text(job).count("started") == 1
    for process in crowd:
        process.begin("close()")
    for process in crowd:
        process.result()
    wait_gone(*(int(pid) for log in job.glob("*.log") for pid in started(log)))


def test_coming_and_going_at_once_never_meets_a_server_that_goes(job, processes):
    crowd = [processes() for _ in range(4)]
    for _ in range(5):
        for process in crowd:
            process.begin("[(init(), current().wire.call('SET', 'k', 'v'), close())[1].decode() for _ in range(4)]")
        assert [process.result() for process in crowd] == [["OK"] * 4] * 4
    assert log_text(job).count("has ended with -") == 0


def test_a_user_that_is_killed_counts_no_more(job, processes):
    one = processes()
    one.do("init()")
    server = one.server()
    one.kill()
    wait_gone(server)


def test_killing_the_keeper_ends_the_server_and_the_next_init_starts_another(job, processes):
    one = processes()
    one.do("init()")
    server = one.server()
    os.kill(parent(server), signal.SIGKILL)
    wait_gone(server)
    assert one.do("init().url").startswith("unix://")  # the same process, too
    assert one.server() != server
    assert processes().server() == one.server()


def test_a_server_that_dies_takes_its_keeper_along_and_the_next_init_starts_another(job, processes):
    one = processes()
    one.do("init()")
    server = one.server()
    keeper = parent(server)
    os.kill(server, signal.SIGKILL)
    wait_gone(server, keeper)
    assert "the server has ended with -9" in log_text(job)
    two = processes()
    two.do("init()")
    assert two.server() != server
    assert one.server() == two.server()  # it reconnects


def test_a_server_that_does_not_stop_is_killed_and_who_comes_meanwhile_waits(job, processes):
    one = processes()
    one.do("init()")
    server = one.server()
    os.kill(server, signal.SIGSTOP)  # SIGTERM does not reach it
    one.do("close()")
    two = processes()
    two.do("init()")
    assert not alive(server)
    assert two.server() != server


def test_a_socket_file_without_a_server_is_in_nobodys_way(job):
    url = init().url
    path = url.removeprefix("unix://")
    server = server_pid()
    close()
    wait_gone(server)
    wait_until(lambda: not os.path.exists(path), "the socket is still there")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    assert init().url == url
    assert server_pid() != server


def test_a_forks_child_keeps_the_server_when_its_parent_is_killed(job, processes, tmp_path):
    os.mkfifo(tmp_path / "end")
    one = processes()
    one.do("init()")
    server = one.server()
    child = one.do(f"os.fork() or (open('{tmp_path}/end').read(), os._exit(0))")
    one.kill()
    with open(tmp_path / "end", "w"):
        other = processes()
        assert other.server() == server
        other.end()
        assert alive(child) and alive(server)
    wait_gone(child, server)


def test_a_forks_child_alone_holds_the_server(job):
    init()
    server = server_pid()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)  # until the parent lets go
        status = 0 if server_pid() == server else 1
        os._exit(status)
    os.close(reader)
    close()
    other = Process()
    assert other.server() == server  # though the parent has closed
    other.end()
    os.close(writer)
    assert os.waitpid(child, 0)[1] == 0
    wait_gone(server)


def test_closing_in_a_forks_child_leaves_the_parent_its_server(job):
    init()
    server = server_pid()
    child = os.fork()
    if child == 0:
        close()
        os._exit(0)
    os.waitpid(child, 0)
    with pytest.raises(CallTimeout, match=r"\.users is locked"):
        # Who could lock it alone would be the keeper, with nobody left.
        from sluice import local_server

        [users] = job.glob("*.users")
        descriptor = os.open(users, os.O_RDWR)
        try:
            local_server._lock(descriptor, local_server.fcntl.LOCK_EX, 0, str(users))
        finally:
            os.close(descriptor)
    assert server_pid() == server


def _pid_of_server(queue):
    queue.put(server_pid())


def test_a_spawned_child_attaches_by_itself(job):
    init()
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    child = context.Process(target=_pid_of_server, args=(queue,))
    child.start()
    assert queue.get(timeout=60) == server_pid()
    child.join(30)


def test_programs_that_a_user_starts_do_not_hold_the_server(job):
    init()
    server = server_pid()
    program = subprocess.Popen(["sleep", "1000"], close_fds=False)
    try:
        close()
        wait_gone(server)
    finally:
        program.kill()
        program.wait()


def test_current_never_starts_a_server(job):
    with pytest.raises(NotInitialized, match=r"call init\(\) first.*job 'job' runs no server"):
        current()
    assert not list(job.glob("*.log")) or not started(*job.glob("*.log"))


def test_threads_and_event_loops_share_the_session(job):
    urls = []
    threads = [threading.Thread(target=lambda: urls.append(init().url)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def main():
        return init().url

    urls += [asyncio.run(main()), asyncio.run(main())]
    assert len(set(urls)) == 1 and len(urls) == 10
    assert log_text(job).count("started") == 1


class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, row):
        return int(current().wire.call("GET", f"row{row}")), server_pid()


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_dataloader_workers(job, context):
    init()
    for row in range(8):
        current().wire.call("SET", f"row{row}", row * row)
    loader = torch.utils.data.DataLoader(Rows(), batch_size=2, num_workers=2, multiprocessing_context=context)
    rows = [(values.tolist(), pids.tolist()) for values, pids in loader]
    assert [value for values, _ in rows for value in values] == [row * row for row in range(8)]
    assert {pid for _, pids in rows for pid in pids} == {server_pid()}


def test_it_is_on_the_users_own_socket_only(job):
    path = init().url.removeprefix("unix://")
    assert job.stat().st_mode & 0o777 == 0o700
    assert os.stat(path).st_mode & 0o777 == 0o700
    assert current().wire.call("CONFIG", "GET", "port") == {b"port": b"0"}
    long = "Job:/\n" * 100
    assert len(path) < 108 and "\n" not in path
    os.environ["SLUICE_JOB"] = long
    close()
    path = init().url.removeprefix("unix://")
    assert len(path) < 108 and "\n" not in path


def test_server_options_hold_for_the_one_that_starts_it(job):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        init({"server": {"maxmemory": "1gb", "io-threads": 1}})
        init({"server": {"io-threads": 1}})
    assert current().wire.call("CONFIG", "GET", "io-threads") == {b"io-threads": b"1"}
    with pytest.warns(UserWarning, match="ignored are its options {'maxmemory': '2gb'}"):
        init({"server": {"maxmemory": "2gb", "io-threads": 1}})


def test_a_server_that_refuses_its_options_says_so(job):
    with pytest.raises(SluiceError, match="(?s)ended as soon as it was started.*no-such-option"):
        init({"server": {"no-such-option": 1}})


@pytest.mark.parametrize("script", ["#!/bin/sh\necho broken for good; exit 3\n", "no program at all"])
def test_a_binary_that_does_not_work_says_why(job, tmp_path, monkeypatch, script):
    binary = tmp_path / "bad"
    binary.write_text(script)
    binary.chmod(0o755)
    monkeypatch.setenv("SLUICE_SERVER", str(binary))
    with pytest.raises(SluiceError, match="(?s)broken for good|cannot run .*bad: Exec format error"):
        init()


def test_a_server_that_never_answers_is_given_up(job, tmp_path, monkeypatch):
    binary = tmp_path / "silent"
    binary.write_text("#!/bin/sh\nexec sleep 1000\n")
    binary.chmod(0o755)
    monkeypatch.setenv("SLUICE_SERVER", str(binary))
    with pytest.raises(CallTimeout, match=r"\.sock does not answer; its log is .*\.log"):
        init({"timeout_s": 1})


def test_the_binarys_places(job, tmp_path, monkeypatch):
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
    for part in ("no SLUICE_SERVER", f"{package}/bin/sluice-server", "PATH has no sluice-server", str(places[0])):
        assert part in str(caught.value)
    for place in places:  # each one precedes the last
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


def test_a_path_too_long_for_a_socket(job, tmp_path, monkeypatch):
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    with pytest.raises(SluiceError, match="too long for a Unix socket: set XDG_RUNTIME_DIR or TMPDIR"):
        init()


def _init_in_worker(config, queue):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        queue.put((init(config), server_pid()))
        close()


def test_a_config_taken_to_another_process_holds_the_server_there(job, processes):
    config = init({"server": {"io-threads": 1}, "allow_pickle": True})
    server = server_pid()
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    child = context.Process(target=_init_in_worker, args=(config, queue))
    child.start()
    assert queue.get(timeout=60) == (config, server)
    child.join(30)
    other = processes()
    other.do(f"init({config.url!r})")
    close()
    assert other.server() == server
    other.end()
    wait_gone(server)
    with pytest.raises(ConnectionLost, match=f"no server runs at {config.url}"):
        init(config)  # an address is never started
