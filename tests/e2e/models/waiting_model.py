"""A slow, obvious model of all kinds of blocked commands: docs/protocol.md, section 7, as a plain class.

A step is one command of one connection, or an event of a connection. The server's rules determine its effects
immediately, except where the server lets another thread continue: a write that was offered space runs again, a fetch
that was answered has its rows evicted, a command that CLIENT PAUSE held back runs. The order of these is not promised.
So `outcomes` runs them in every order, and returns all states that the step may lead to.
"""

from waiting_parts import Lease, Partition, Task

LIMIT = 300
"""Number of states that `outcomes` examines before it gives up."""


class Model:
    """`answers`: the replies that this step lets connections read. An error is its code; any other reply is a tuple."""

    def __init__(self):
        self.partitions = {}
        self.incarnations = 0
        self.waiting = {}  # connection -> Command, in order of arrival
        self.offered = []  # connections whose write has been offered space, and has not retried
        self.memory_is_short = False
        self.for_memory = []  # connections whose write waits for memory; the other writes wait for a partition's limit
        self.paused = False
        self.held = {}  # connection -> Command: held back by CLIENT PAUSE
        self.pending = []  # pending work of other threads: (function's name, arguments)
        self.answers = {}
        self.is_unsaid = False  # the documents do not specify this step

    def copied(self):
        other = Model()
        vars(other).update(vars(self))
        other.partitions = {name: partition.copied() for name, partition in self.partitions.items()}
        other.waiting, other.held, other.answers = dict(self.waiting), dict(self.held), dict(self.answers)
        other.offered, other.pending, other.for_memory = list(self.offered), list(self.pending), list(self.for_memory)
        return other

    # ------------------------------------------------------------------------------------------- what may come of a step

    def outcomes(self, step, *arguments):
        """Returns every possible state, each with its answers. None if there are too many to examine."""
        first = self.copied()
        first.answers, first.is_unsaid = {}, False
        getattr(first, step)(*arguments)
        first.serve()
        left, seen, ends = [first], set(), []
        while left:
            state = left.pop()
            name = repr(vars(state))
            if name in seen:
                continue
            seen.add(name)
            if len(seen) > LIMIT:
                return None
            if not state.pending:
                ends.append(state)
            for at in range(len(state.pending)):
                after = state.copied()
                function, *values = after.pending.pop(at)
                getattr(after, function)(*values)
                after.serve()
                left.append(after)
        return ends

    # --------------------------------------------------------------------------------------------------- who is served

    def in_order(self, *names):
        """Returns the waiters with such a command, in order of arrival."""
        return [(who, command) for who, command in self.waiting.items() if command.name in names]

    def serve(self):
        """Serves all waiters that can be answered without another thread."""
        for who, command in self.in_order("wait"):
            if self.all_ready(command):
                self.answer(who, 1)
        if self.paused:
            return
        for who in () if self.memory_is_short else self.for_memory:
            self.offer(who)
        for name in sorted({command.partition for command in self.waiting.values()}):
            self.offer_space(name)
        while any(self.serve_fetch(who, command) for who, command in self.in_order("fetch")):
            pass  # rows taken by one may mean the end for an earlier one

    def serve_fetch(self, who, command):
        partition = self.partitions.get(command.partition)
        batch = partition.batch_of(command) if partition else None
        if batch is None:
            return False
        self.take(who, command, partition, batch)
        if partition.evicts_after and not command.lease:
            self.pending.append(("evict_after", command.partition, partition.incarnation))
        return True

    def offer_space(self, name):
        """Offers space to the writes that fit, in order of arrival; space offered to one is not offered to later ones."""
        partition = self.partitions.get(name)
        free_rows = partition.free_rows() if partition else 1_000_000
        for who, command in self.in_order("put", "put new", "put keys"):
            if command.partition == name and who not in self.for_memory:
                need = self.need(command)
                self.is_unsaid |= bool(partition and 0 < partition.rows_max < need)  # it fitted before rows were cleared
                if need == 0 or need <= free_rows:
                    self.offer(who)
                if who in self.offered:
                    free_rows -= need

    def offer(self, who):
        if who not in self.offered:
            self.offered.append(who)
            self.pending.append(("try_again", who))

    def try_again(self, who):
        if who in self.offered:
            self.offered.remove(who)
            self.write(who, self.waiting[who])

    def evict_after(self, name, incarnation):
        partition = self.partitions.get(name)
        if partition and partition.incarnation == incarnation:
            partition.evict(partition.evicts_after)

    def answer(self, who, answer):
        self.leave(who)
        self.answers[who] = answer

    def leave(self, who):
        """Removes the connection from the waiters."""
        if self.waiting.pop(who, None) and who in self.for_memory:
            self.for_memory.remove(who)

    # ------------------------------------------------------------------------------------------- what happens to connections

    def send(self, who, command):
        if self.paused and command.is_held_by_pause:
            self.held[who] = command
        else:
            self.run(who, command)

    def pause(self):
        self.paused = True

    def unpause(self):
        self.paused = False
        self.pending += [("run", who, command) for who, command in self.held.items()]
        self.held = {}

    def memory(self, is_short):
        self.memory_is_short = is_short

    def unblock(self, who, how):
        """Removes a command that only waits for the end of CLIENT PAUSE: it does not run."""
        command = self.waiting.get(who)
        if not command:
            self.answers["controller"] = 0
            return
        self.answers["controller"] = 1
        if how == "ERROR":
            self.answer(who, "UNBLOCKED")
        elif command.name == "wait":
            self.answer(who, 0)
        elif command.is_write_of_rows:
            short = who in self.for_memory if self.paused else self.memory_is_short  # it retries, but not during the pause
            self.answer(who, "OOM" if short else "FULL")
        else:
            self.time_is_up(who, command)

    def time_is_up(self, who, command):
        """A fetch gets MIN rows or more, but none during CLIENT PAUSE."""
        partition = None if self.paused else self.partitions.get(command.partition)
        if not partition:
            self.answer(who, None)
            return
        self.take(who, command, partition, partition.batch_of(command, time_is_up=True))
        partition.evict(partition.evicts_after)

    def close(self, who):
        """The command consumes and writes nothing, and rows leased with BOUND are ready again."""
        self.leave(who)
        self.held.pop(who, None)
        for partition in self.partitions.values():
            for task in partition.tasks.values():
                ended = [i for i, lease in task.leased.items() if lease.bound and lease.connection == who]
                self.is_unsaid |= self.paused and bool(ended)
                for index in ended:
                    del task.leased[index]

    # -------------------------------------------------------------------------------------------------------- commands

    def run(self, who, command):
        if command.is_write_of_rows:
            self.write(who, command)
        else:
            getattr(self, command.name)(who, command)

    def existing(self, name):
        """Returns the partition; creates it if it does not exist."""
        if name not in self.partitions:
            self.incarnations += 1
            self.partitions[name] = Partition(self.incarnations)
        return self.partitions[name]

    def need(self, command):
        """Returns the number of rows that the write would add now."""
        partition = self.partitions.get(command.partition)
        there = partition.rows if partition else {}
        return command.count if command.name == "put new" else sum(key not in there for key in command.keys)

    def write(self, who, command):
        need, partition = self.need(command), self.partitions.get(command.partition)
        is_full = partition and need > max(0, partition.free_rows())
        self.is_unsaid |= bool(is_full and self.memory_is_short and 0 < partition.rows_max < need)  # FULL, or it waits
        if self.memory_is_short or is_full:
            if command.block and (self.memory_is_short or need <= partition.rows_max):
                self.wait_for_memory_or_limit(who, command)
            else:
                self.answer(who, "OOM" if self.memory_is_short else "FULL")
            return
        partition = self.existing(command.partition)
        keys = [str(partition.made + i) for i in range(command.count)] if command.name == "put new" else command.keys
        rows = [partition.rows.get(key) or partition.add(key) for key in keys]
        for row in rows:
            row.fields |= set(command.fields)
        self.answer(who, need if command.name == "put" else (need, tuple(row.index for row in rows)))

    def wait_for_memory_or_limit(self, who, command):
        """Appends it to its queue; if it is in that queue already it keeps its position."""
        if who not in self.waiting or (who in self.for_memory) != self.memory_is_short:
            self.leave(who)
            self.waiting[who] = command
            self.for_memory += [who] if self.memory_is_short else []

    def all_ready(self, command):
        partition = self.partitions.get(command.partition)
        rows = partition.rows if partition else {}
        return all(key in rows and rows[key].fields >= set(command.fields) for key in command.keys)

    def wait(self, who, command):
        if command.block:
            self.waiting[who] = command  # `serve` answers it if all are ready
        else:
            self.answer(who, int(self.all_ready(command)))

    def multi(self, who, command):
        """Its commands do not block, and no waiter is served before its end."""
        answers = []
        for part in command.parts:
            self.run(who, part)
            answers.append(self.answers.pop(who))
        self.answer(who, tuple(answers))

    def fetch(self, who, command):
        partition = self.partitions.get(command.partition)
        if self.memory_is_short and partition and command.task not in partition.tasks:
            self.answer(who, "OOM")  # it would create the task
            return
        batch = partition.batch_of(command) if partition else None
        if batch is None and command.block:
            self.waiting[who] = command
        elif batch is None:
            self.time_is_up(who, command)
        else:
            self.take(who, command, partition, batch)
            partition.evict(partition.evicts_after)

    def take(self, who, command, partition, batch):
        if batch == "nil":
            self.answer(who, None)
            return
        task = partition.tasks[command.task]
        keys = partition.ready(task, command.fields, command.lifo)[:batch]
        indexes = [partition.rows[key].index for key in keys]
        if command.lease:
            task.leased |= {index: Lease(command.number, who, command.bound) for index in indexes}
        else:
            task.consumed |= set(indexes)
        lease = command.number if command.lease and batch else None
        self.answer(who, (tuple(indexes), tuple(keys), lease, batch == 0))

    def of_task(self, who, command):
        """Returns the partition and the task; if one is missing, that is the answer."""
        partition = self.partitions.get(command.partition)
        if not partition:
            self.answer(who, "NOPARTITION")
        elif command.task not in partition.tasks:
            self.answer(who, "NOTASK")
        else:
            return partition, partition.tasks[command.task]
        return None, None

    def named(self, partition, task, command):
        """Returns indexes of the existing rows which, with LEASE, this lease holds."""
        indexes = [partition.rows[key].index for key in command.keys if key in partition.rows]
        lease = command.of_lease
        return [i for i in indexes if not lease or i in task.leased and task.leased[i].number == lease]

    def ack(self, who, command):
        partition, task = self.of_task(who, command)
        if partition:
            new = [i for i in self.named(partition, task, command) if i not in task.consumed]
            for index in new:
                task.leased.pop(index, None)
                task.consumed.add(index)
            partition.evict(partition.evicts_after)
            self.answer(who, len(new))

    def release(self, who, command):
        partition, task = self.of_task(who, command)
        if partition:
            indexes = self.named(partition, task, command)
            freed = [i for i in indexes if i in task.consumed or i in task.leased]
            for index in freed:
                task.leased.pop(index, None)
                task.consumed.discard(index)
            self.answer(who, len(freed))

    def reset(self, who, command):
        partition = self.partitions.get(command.partition)
        if partition and command.task in partition.tasks:
            partition.tasks[command.task] = Task()
        self.answer(who, "OK" if partition else "NOPARTITION")

    def evict(self, who, command):
        partition, _ = self.of_task(who, command)
        if partition:
            self.answer(who, partition.evict((command.task,)))

    def clear(self, who, command):
        """Removes rows, or cells of rows."""
        partition = self.partitions.get(command.partition)
        keys = [key for key in command.keys if partition and key in partition.rows]
        cells = [(key, field) for key in keys for field in command.fields if field in partition.rows[key].fields]
        for key, field in cells:
            partition.rows[key].fields.remove(field)
        for key in () if command.fields else keys:
            partition.remove(key)
        self.answer(who, len(cells) if command.fields else len(keys))

    def clear_all(self, who, command):
        partition = self.partitions.pop(command.partition, None)
        self.answer(who, len(partition.rows) if partition else 0)

    def delete(self, who, command):
        self.answer(who, int(self.partitions.pop(command.partition, None) is not None))

    def flush(self, who, _):
        self.partitions = {}
        self.answer(who, "OK")

    def create(self, who, command):
        """MAXROWS is always given; EXPECT, and TASKS with AUTOEVICT, now and then."""
        if self.memory_is_short and command.partition not in self.partitions:
            self.answer(who, "OOM")
            return
        partition = self.existing(command.partition)
        partition.rows_max = command.rows_max
        partition.expect = command.expect or partition.expect
        for task in command.tasks:
            partition.tasks.setdefault(task, Task())
        partition.evicts_after = command.tasks or partition.evicts_after
        partition.evict(partition.evicts_after)
        self.answer(who, "OK")
