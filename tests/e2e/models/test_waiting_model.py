"""All kinds of blocked commands together, against a model that predicts which connections each step answers, and how.

Eleven connections send writes with BLOCK to full partitions, TASK.FETCH with BLOCK, KV.WAIT, and commands that serve
them. A controller starts and ends pauses, takes memory away and gives it back, unblocks connections, and closes them.
After each step exactly the connections that waiting_model.py predicts are answered, and the others are still blocked. No
time-out expires, so no result depends on the speed of the machine. A step whose effect the model cannot predict (it
depends on which of two threads runs first) is not taken. At the end no connection is blocked, and all rows are compared.
SLUICE_SEED: first seed; SLUICE_SEEDS: number of seeds. A failure names the seed and shows the last steps.
"""

import collections
import json
import os
import random
import socket
import struct
import time

import pytest
import redis
from live_server import Server
from streams import numbers, pairs
from waiting_model import Model
from waiting_parts import CONNECTIONS, FIELDS, LONG, Chooser, words

FIRST = int(os.environ.get("SLUICE_SEED", "1"))
SEEDS = range(FIRST, FIRST + int(os.environ.get("SLUICE_SEEDS", "8")))
STEPS = 150
PATIENCE_S = 10
TRIES = 50  # attempts to find a step whose answers the model can predict
SHORT_BYTES = 50_000  # of maxmemory: less than the connections use, and more than any write needs
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST


@pytest.fixture(scope="module", params=[1, 4], ids=lambda threads: f"{threads} threads")
def port(request, tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("waiting"), "--io-threads", str(request.param))
    yield server.port
    server.stop()


def who_is_answered(outcomes):
    """Returns the connections, if all outcomes agree and the documents specify the step; else None."""
    if any(outcome.is_unsaid for outcome in outcomes or ()):
        return None
    found = {tuple(sorted(outcome.answers)) for outcome in outcomes or ()}
    return set(found.pop()) if len(found) == 1 else None


def has_bound_leases(model, who):
    tasks = [task for partition in model.partitions.values() for task in partition.tasks.values()]
    return any(lease.bound and lease.connection == who for task in tasks for lease in task.leased.values())


def closing_shows(model, who):
    """Returns whether it changes more than the waiters: leases end, or a task is not made with a partition yet to come."""
    waits = model.waiting.get(who)
    return has_bound_leases(model, who) or bool(waits and waits.name == "fetch" and waits.partition not in model.partitions)


def state_of(model):
    return {
        name: {
            "rows": {key: row.index for key, row in partition.rows.items()},
            "ready": {field: [field in row.fields for row in partition.rows.values()] for field in FIELDS},
            "tasks": {
                name: ([row.index in task.consumed for row in partition.rows.values()], len(task.leased))
                for name, task in partition.tasks.items()
            },
        }
        for name, partition in model.partitions.items()
    }


class Session:
    """One seed. `models`: all states that the server may be in according to its replies; usually one."""

    def __init__(self, port, seed, patience_s=PATIENCE_S):
        self.port, self.seed, self.patience_s = port, seed, patience_s
        self.random = random.Random(seed)
        self.chooser = Chooser(self.random)
        self.models = [Model()]
        self.last = collections.deque(maxlen=25)
        self.count = 0
        self.lease_ids = {0: None}
        self.half_closed = []
        self.controller = redis.Redis(port=port, protocol=2, socket_timeout=30, single_connection_client=True)
        self.controller.execute_command("CLIENT", "UNPAUSE")
        self.controller.flushall()
        self.wires, self.ids = {}, {}
        for who in CONNECTIONS:
            self.connect(who)

    def connect(self, who):
        wire = redis.Connection(port=self.port, protocol=2, socket_timeout=self.patience_s)
        wire.connect()
        wire.send_command("CLIENT", "ID")
        self.wires[who], self.ids[who] = wire, wire.read_response()

    def leave(self):
        for wire in (*self.wires.values(), *self.half_closed):
            wire.disconnect()
        self.controller.execute_command("CLIENT", "UNPAUSE")
        self.controller.config_set("maxmemory", 0)
        self.controller.close()

    def play(self):
        try:
            while self.count < STEPS:
                self.count += 1
                self.step()
            self.end()
        except Exception as error:
            steps = "\n".join(self.last)
            raise AssertionError(f"seed {self.seed}, step {self.count}: {error!r}\nlast steps:\n{steps}") from error

    # ---------------------------------------------------------------------------------------------------------- a step

    def step(self):
        for _ in range(TRIES):
            step = self.chooser.step(self.random.choice(self.models))
            outcomes = self.outcomes(step)
            if outcomes:
                self.take(step, outcomes)
                return

    def outcomes(self, step):
        """Returns the possible outcomes, or None if the answers cannot be predicted, now and by the end of a pause."""
        found = []
        for model in self.models:
            outcomes = model.outcomes(*step)
            if outcomes is None:
                return None
            found += outcomes
        later = [outcome.outcomes("unpause") for outcome in found if outcome.paused]
        return found if all(who_is_answered(one) is not None for one in (found, *later)) else None

    def take(self, step, outcomes):
        answered = who_is_answered(outcomes)
        self.last.append(f"{self.count}: {self.shown(step)}  answers {sorted(answered)}")
        must_be_noticed = step[0] == "close" and any(closing_shows(model, step[1]) for model in self.models)
        got = {}
        if step[0] == "send":
            self.send(*step[1:], held=outcomes[0].held)
        elif step[0] == "close":
            self.close(step[1])
        elif step[0] == "unblock":
            got["controller"] = self.controller.execute_command("CLIENT", "UNBLOCK", self.ids[step[1]], step[2])
        elif step[0] == "memory":
            self.controller.config_set("maxmemory", SHORT_BYTES if step[1] else 0)
        else:
            options = [LONG, "WRITE"] if step[0] == "pause" else []
            assert self.controller.execute_command("CLIENT", step[0].upper(), *options) == b"OK"
        commands = {who: command for who, command in self.models[0].waiting.items()} | self.models[0].held
        commands |= {step[1]: step[2]} if step[0] == "send" else {}
        for who in answered - {"controller"}:
            got[who] = self.answer(who, commands[who])
        self.last[-1] += f" {got}"
        self.models = [outcome for outcome in outcomes if outcome.answers == got]
        assert self.models, f"expected one of {[outcome.answers for outcome in outcomes]}, got {got}"
        self.models = list({repr(vars(model)): model for model in self.models}.values())
        self.check(step, must_be_noticed)

    def shown(self, step):
        if step[0] != "send":
            return " ".join(map(str, step))
        return f"{step[1]} " + " | ".join(" ".join(map(str, words)) for words in self.commands(step[2]))

    def commands(self, command):
        """Returns them as sent."""
        if command.name == "multi":
            return [["MULTI"], *[words(part, self.lease_ids) for part in command.parts], ["EXEC"]]
        return [words(command, self.lease_ids)]

    def send(self, who, command, held):
        """A command that CLIENT PAUSE holds back is not answered and not counted: an earlier reply shows that it has arrived."""
        commands, wire = self.commands(command), self.wires[who]
        wire.send_packed_command(wire.pack_commands([("CLIENT", "ID"), *commands] if who in held else commands))
        if who in held:
            assert wire.read_response() == self.ids[who]

    def close(self, who):
        wire = self.wires[who]
        how = self.random.choice(["close", "reset", "half"])
        self.last[-1] += f" ({how})"
        if how == "half":
            wire._sock.shutdown(socket.SHUT_WR)
            self.half_closed.append(wire)
        else:
            if how == "reset":
                wire._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            wire.disconnect()
        self.connect(who)

    def answer(self, who, command):
        try:
            for queued in [b"OK", *[b"QUEUED"] * len(command.parts)] if command.name == "multi" else []:
                assert self.wires[who].read_response() == queued
            return self.in_words_of_the_model(command, self.wires[who].read_response())
        except redis.TimeoutError:
            raise AssertionError(f"{who} is not answered") from None
        except redis.ResponseError as error:
            return self.in_words_of_the_model(command, error)

    def in_words_of_the_model(self, command, got):
        if isinstance(got, redis.exceptions.OutOfMemoryError):
            return "OOM"  # the text does not contain the code
        if isinstance(got, redis.ResponseError):
            return str(got).split()[0]
        if command.name == "multi":
            return tuple(self.in_words_of_the_model(*part) for part in zip(command.parts, got, strict=True))
        if command.name in ("put new", "put keys"):
            return got[0], tuple(numbers(got[1]))
        if command.name == "fetch" and got is not None:
            got = pairs(got)
            self.lease_ids[command.number] = got.get("lease")
            keys = tuple(key.decode() for key in got["keys"])
            lease = command.number if got.get("lease") else None
            return tuple(numbers(got["rows"])), keys, lease, "end" in got
        return got.decode() if isinstance(got, bytes) else got

    # ------------------------------------------------------------------------------------------------- the state after it

    def check(self, step, must_be_noticed):
        """The others are still blocked. Now and then the server has not noticed yet that a connection was closed."""
        if step[0] == "close" and not must_be_noticed and self.random.random() < 0.5:
            return
        blocked = len(self.models[0].waiting) + len(self.models[0].held)
        self.poll(lambda: int(self.controller.info("clients")["blocked_clients"]), [blocked])
        for who in (*self.models[0].waiting, *self.models[0].held):
            assert not self.wires[who].can_read(0), f"{who} has an answer: {self.wires[who].read_response()!r}"
        if must_be_noticed or len(self.models) > 1 or self.random.random() < 0.25:
            self.compare()

    def compare(self):
        """Compares rows, consumed rows, and the number of leased rows."""
        states = [state_of(model) for model in self.models]
        got = self.poll(self.state, states)
        self.models = [model for model, state in zip(self.models, states, strict=True) if state == got]

    def poll(self, look, expected):
        deadline = time.monotonic() + self.patience_s
        while (got := look()) not in expected:
            if time.monotonic() > deadline:
                raise AssertionError(f"expected one of {expected}, got {got}")
        return got

    def state(self):
        run = self.controller.execute_command
        return {name.decode(): self.state_of_partition(name.decode()) for name in run("PARTITION.LIST")}

    def state_of_partition(self, name):
        run = self.controller.execute_command
        rows = [json.loads(line) for line in run("KV.LIST", name, "FORMAT", "lines").splitlines()]
        ready = {field: list(map(bool, run("PARTITION.READY", name, "FIELDS", 1, field)[1])) for field in FIELDS}
        tasks = {}
        for task in map(bytes.decode, run("TASK.LIST", name)):
            status = pairs(run("TASK.STATUS", name, task, "BITMAP"))
            tasks[task] = list(map(bool, status["consumed_rows"])), status["leased"]
        return {"rows": {row["key"]: row["index"] for row in rows}, "ready": ready, "tasks": tasks}

    def end(self):
        """No connection is blocked any more, and the rows are those of the model."""
        if self.models[0].memory_is_short and (outcomes := self.outcomes(("memory", False))):
            self.take(("memory", False), outcomes)
        if self.models[0].paused:
            self.take(("unpause",), self.outcomes(("unpause",)))
        while waiting := list(self.models[0].waiting):
            who = self.random.choice(waiting)
            steps = [("unblock", who, how) for how in ("TIMEOUT", "ERROR")]  # ERROR never makes space for others
            step = next(step for step in steps if self.outcomes(step))
            self.take(step, self.outcomes(step))
        self.compare()
        self.poll(lambda: int(self.controller.info("clients")["blocked_clients"]), [0])
        self.controller.flushall()


def play(port, seed, patience_s=PATIENCE_S):
    session = Session(port, seed, patience_s)
    try:
        session.play()
    finally:
        session.leave()


@pytest.mark.parametrize("seed", SEEDS)
def test_each_step_answers_exactly_the_predicted_connections(port, seed):
    play(port, seed)


# ----------------------------------------------------------------------------------------------- what has to be noticed


def last_come_first(model, *names):
    return in_order(model, *names)[::-1]


def only_the_first_that_fits(model, *names):
    """A fetch that needs more rows than are ready is not passed over."""
    return in_order(model, *names)[:1]


def unblock_nobody(model, who, how):
    model.answers["controller"] = int(who in model.waiting)


in_order = Model.in_order
MUTATIONS = {
    "the last waiter is served first": ("in_order", last_come_first),
    "only the first waiter is served": ("in_order", only_the_first_that_fits),
    "a closed connection stays blocked": ("leave", lambda model, who: None),
    "CLIENT UNBLOCK does nothing": ("unblock", unblock_nobody),
    "a pause holds nothing back": ("pause", lambda model: None),
    "a pause has no end": ("unpause", lambda model: None),
    "leases with BOUND outlive their connection": ("close", lambda model, who: (model.leave(who), model.held.pop(who, None))),
    "AUTOEVICT frees no space": ("evict_after", lambda model, name, incarnation: None),
}


@pytest.mark.parametrize("port", [4], indirect=True)
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_wrong_rule_is_detected(port, monkeypatch, mutation):
    name, wrong = MUTATIONS[mutation]
    monkeypatch.setattr(Model, name, wrong)
    with pytest.raises(AssertionError, match="seed .*, step") as failure:
        for seed in range(1, 20):
            play(port, seed, patience_s=0.5)
    print(failure.value)
