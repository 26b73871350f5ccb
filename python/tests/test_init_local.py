"""init() without an address: one server per job, for as long as any process uses it, whichever process is killed."""

import asyncio
import contextlib
import fcntl
import multiprocessing
import os
import pathlib
import signal
import socket
import subprocess
import threading
import warnings

import pytest
import torch
from init_process import SERVER_PID, Process, alive, parent, started, wait_gone
from live_server import wait_until

from sluice.errors import ConnectionLost, NotInitialized
from sluice.session import close, current, init


@pytest.fixture
def processes(job):
    with contextlib.ExitStack() as stack:

        def start():
            process = Process()
            stack.callback(process.kill)
            return process

        yield start


def server_pid():
    return eval(SERVER_PID)


def log_text(folder):
    [log] = folder.glob("*.log")
    return log.read_text()


def test_processes_of_a_job_share_a_server_and_the_last_one_stops_it(job, processes):
    one, two = processes(), processes()
    url = one.do("init().url")
    assert two.do("init().url") == url
    server = one.server()
    assert two.server() == server
    supervisor = parent(server)
    one.do("close()")
    assert two.server() == server  # still the same
    two.end()
    wait_gone(server, supervisor)
    assert not pathlib.Path(url.removeprefix("unix://")).exists()
    assert "has ended with exit code 0" in log_text(job)


def test_each_job_has_its_own_server(job, processes, monkeypatch):
    servers = set()
    for name in ("job", "other/job", "other:job"):
        monkeypatch.setenv("SLUICE_JOB", name)
        process = processes()
        process.do("init()")
        servers.add(process.server())
    assert len(servers) == 3


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
    with pytest.raises(NotInitialized, match=f"job '{name}' has no server"):
        current()


def test_twenty_simultaneous_processes_get_one_server(job, processes):
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
    wait_gone(*(pid for log in job.glob("*.log") for pid in started(log)))


def test_processes_that_start_and_end_never_get_a_stopping_server(job, processes):
    crowd = [processes() for _ in range(4)]
    for _ in range(5):
        for process in crowd:
            process.begin("[(init(), current().wire.call('SET', 'k', 'v'), close())[1].decode() for _ in range(4)]")
        assert [process.result() for process in crowd] == [["OK"] * 4] * 4
    assert log_text(job).count("has ended with exit code -") == 0


def test_a_killed_user_no_longer_counts(job, processes):
    one = processes()
    one.do("init()")
    server = one.server()
    one.kill()
    wait_gone(server)


def test_killing_the_supervisor_ends_the_server_and_the_next_init_starts_another(job, processes):
    one = processes()
    one.do("init()")
    server = one.server()
    os.kill(parent(server), signal.SIGKILL)
    wait_gone(server)
    assert one.do("init().url").startswith("unix://")  # also in the same process
    assert one.server() != server
    assert processes().server() == one.server()


def test_a_dead_server_ends_its_supervisor_and_the_next_init_starts_another(job, processes):
    one = processes()
    one.do("init()")
    server = one.server()
    supervisor = parent(server)
    os.kill(server, signal.SIGKILL)
    wait_gone(server, supervisor)
    assert not list(job.glob("*.sock"))
    assert "the server has ended with exit code -9" in log_text(job)
    two = processes()
    two.do("init()")
    assert two.server() != server
    assert one.server() == two.server()  # it reconnects


def test_a_server_that_does_not_stop_is_killed_and_the_next_init_waits(job, processes):
    one = processes()
    one.do("init()")
    server = one.server()
    os.kill(server, signal.SIGSTOP)  # it cannot handle SIGTERM
    one.do("close()")
    two = processes()
    two.do("init()")
    assert not alive(server)
    assert two.server() != server


def test_a_stale_socket_file_does_no_harm(job):
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


def test_a_forks_child_alone_keeps_the_server(job):
    init()
    server = server_pid()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)  # until the parent closes
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


def test_closing_in_a_forks_child_keeps_the_parents_server(job):
    init()
    server = server_pid()
    child = os.fork()
    if child == 0:
        close()
        os._exit(0)
    os.waitpid(child, 0)
    [users] = job.glob("*.users")
    with users.open() as supervisors, pytest.raises(BlockingIOError):
        fcntl.flock(supervisors, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails: the lock is held
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


def test_programs_started_by_a_user_do_not_keep_the_server(job):
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
    with pytest.raises(NotInitialized, match=r"call init\(\) first.*job 'job' has no server"):
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
def test_dataloader_workers_share_the_server(job, context):
    init()
    for row in range(8):
        current().wire.call("SET", f"row{row}", row * row)
    loader = torch.utils.data.DataLoader(Rows(), batch_size=2, num_workers=2, multiprocessing_context=context)
    rows = [(values.tolist(), pids.tolist()) for values, pids in loader]
    assert [value for values, _ in rows for value in values] == [row * row for row in range(8)]
    assert {pid for _, pids in rows for pid in pids} == {server_pid()}


def test_the_server_listens_only_on_the_users_own_socket(job):
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


def _init_in_worker(config, queue):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        queue.put((init(config), server_pid()))
        close()


def test_a_config_passed_to_another_process_keeps_the_server(job, processes):
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
        init(config)  # init() never starts a server for an address
