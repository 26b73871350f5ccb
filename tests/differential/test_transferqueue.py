"""Random sequences of public calls give the same results in TransferQueue and in sluice.compat.

TRANSFERQUEUE_PYTHON is the Python of the environment that has TransferQueue (scripts/lib.sh need_transferqueue). The
operations leave out what docs/transferqueue.md lists as different, such as the order of rows after a clear.
"""

import os
import pathlib
import subprocess
from multiprocessing.connection import Listener

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from live_server import Server
from tq_calls import FIELDS, PARTITIONS, Calls

import sluice.compat

FOLDER = pathlib.Path(__file__).parent
KEYS = st.lists(st.sampled_from("abcde"), min_size=1, max_size=4, unique=True)
PARTITION = st.sampled_from(PARTITIONS)
SOME_FIELDS = st.lists(st.sampled_from(FIELDS), min_size=1, max_size=3, unique=True)
UNKNOWN_TOO = st.lists(st.sampled_from([*FIELDS, "nope"]), min_size=1, max_size=3, unique=True)
VALUE = st.none() | st.integers(-5, 5) | st.sampled_from(["x", 1.5, True, [1, None], {"a": None}, {"b": 1}])
TAG = st.dictionaries(st.sampled_from(["status", "steps", "info"]), VALUE, max_size=3)
TASK = st.sampled_from(["score", "train"])
WHICH = st.integers(0, 5)


def numbers(keys):
    return st.lists(st.integers(0, 9), min_size=len(keys), max_size=len(keys))


@st.composite
def put(draw):
    keys = draw(KEYS)
    fields = draw(st.just([]) | SOME_FIELDS)
    tags = st.lists(TAG, min_size=len(keys), max_size=len(keys))
    return "put", (keys, draw(PARTITION), fields, draw(numbers(keys)), draw(st.none() | tags))


@st.composite
def put_into(draw):
    keys = draw(KEYS)
    return "put_into", (keys, draw(PARTITION), draw(st.sampled_from(FIELDS)), draw(numbers(keys)))


def call(name, *arguments):
    return st.tuples(st.just(name), st.tuples(*arguments))


OPERATION = st.one_of(
    put(),
    put(),
    put_into(),
    call("put_one", st.sampled_from("abcde"), PARTITION, SOME_FIELDS, st.integers(0, 9), st.none() | TAG),
    call("get", KEYS | st.sampled_from("abcde"), PARTITION, st.none() | UNKNOWN_TOO | st.sampled_from(FIELDS)),
    call("get", KEYS, PARTITION, st.none() | UNKNOWN_TOO),
    call("get_by_meta", WHICH, st.none() | UNKNOWN_TOO),
    call("list", st.none() | PARTITION),
    call("clear", KEYS | st.sampled_from("abcde"), PARTITION),
    call("retrieve_meta", KEYS, PARTITION, st.booleans()),
    call("data_of_meta", KEYS, PARTITION, UNKNOWN_TOO),
    call("keys_of_rows", KEYS, PARTITION),
    call("fetch", PARTITION, SOME_FIELDS, TASK),
    call("reset", PARTITION, st.none() | TASK),
    call("consumed", PARTITION, TASK),
    call("all_consumed", PARTITION, TASK),
    call("ready", PARTITION, st.sampled_from(FIELDS)),
    call("reordered", WHICH, st.permutations(range(4)), st.booleans()),
    call("chunks", WHICH, st.integers(1, 4)),
    call("joined", WHICH, WHICH),
    call("selected", WHICH, KEYS),
)


PUT_ONE = ("put_one", ("a", PARTITIONS[0], [FIELDS[0]], 1, None))


class Peer:
    """TransferQueue, in a process of its own environment."""

    def __init__(self, folder):
        with Listener(str(folder / "peer.sock")) as listener:
            command = [os.environ["TRANSFERQUEUE_PYTHON"], str(FOLDER / "peer.py"), listener.address]
            self._process = subprocess.Popen(command, cwd=FOLDER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self._pipe = listener.accept()

    def do(self, name, arguments):
        self._pipe.send((name, arguments))
        assert self._pipe.poll(60), f"no reply to {name}"
        return self._pipe.recv()

    def stop(self):
        self._pipe.send(None)
        self._process.wait(60)


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    server, peer = Server(tmp_path_factory.mktemp("server")), Peer(tmp_path_factory.mktemp("peer"))
    sluice.compat.init({"url": f"unix://{server.path}", "allow_pickle": True, "controller": {"polling_mode": True}})
    yield Calls(sluice.compat), peer
    sluice.compat.close()
    peer.stop()
    server.stop()


@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore")
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@example(operations=[PUT_ONE, ("clear", ("a", PARTITIONS[0])), ("all_consumed", (PARTITIONS[0], "train"))])
@given(operations=st.lists(OPERATION, min_size=1, max_size=20))
def test_both_give_the_same_results(sides, operations):
    ours, theirs = sides
    for side in sides:
        side.do("next_run", ())
    for name, arguments in operations:
        got, expected = ours.do(name, arguments), theirs.do(name, arguments)
        assert got == expected, f"{name}{arguments}: {getattr(ours, 'last_error', None) if got == 'error' else ''}"
