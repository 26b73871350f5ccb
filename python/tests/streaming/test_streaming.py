"""StreamingDataset in one process: micro-batches, the buffer, waiting, and the end."""

import threading

import pytest
import torch
from streaming_cases import FIELDS, Last, by_hand, call, check, dataset, indexes, put, rows_of, waiting
from tensordict import NonTensorData, TensorDict

import sluice as tq
from sluice import _calls, samplers, session, streaming
from sluice.client import get_client
from sluice.micro_batches import micro_batches


def in_thread(function):
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def expect(rows, partition="p"):
    call("PARTITION.CREATE", partition, "EXPECT", rows)


def test_batches_are_split_into_micro_batches_of_which_the_last_may_be_short(config):
    put(range(10))
    expect(10)
    parts = indexes(dataset(config, batch_size=8, micro_batch_size=3, data_fields=FIELDS))
    assert parts == [[0, 1, 2], [3, 4, 5], [6, 7], [8, 9]]


def test_micro_batches_are_views_of_the_batch(config):
    put(range(8))
    expect(8)
    stream = dataset(config, batch_size=8, micro_batch_size=3, data_fields=["row", "ids"])
    parts = list(stream)
    [(whole, metadata)] = stream.buffer
    assert metadata.global_indexes == list(range(8))
    for data, part in parts:
        first = part.global_indexes[0]
        assert data["row"].data_ptr() == whole["row"][first:].data_ptr()
        assert data["ids"].values().data_ptr() == whole["ids"].unbind()[first].data_ptr()
        assert data["ids"]._min_seqlen == 1 + min(row % 4 for row in part.global_indexes)


def test_nested_tensors_of_any_kind_are_split_by_rows(config):
    put(range(3))
    metadata = get_client().get_meta(["row"], 3, "p", task_name="t")
    buffer, offsets, lengths = torch.arange(9), torch.tensor([0, 3, 6, 9]), torch.tensor([2, 1, 3])
    holes = torch.nested.nested_tensor_from_jagged(buffer, offsets, lengths)
    transposed = torch.nested.nested_tensor([torch.ones(n, 2) for n in (1, 2, 3)], layout=torch.jagged).transpose(1, 2)
    batch = TensorDict({"holes": holes, "transposed": transposed, "same": NonTensorData("x")}, batch_size=[3])
    first, second = micro_batches(batch, metadata, 2)
    assert [row.tolist() for row in first[0]["holes"].unbind()] == [[0, 1], [3]]
    assert [row.tolist() for row in second[0]["holes"].unbind()] == [[6, 7, 8]]
    assert [row.shape for row in first[0]["transposed"].unbind()] == [(2, 1), (2, 2)]
    assert first[0]["same"] == second[0]["same"] == "x" and second[1].global_indexes == [2]


def test_reset_replays_the_buffer_and_an_iteration_continues_the_last_one(config):
    put(range(12))
    expect(12)
    loader = tq.StreamingDataLoader(dataset(config, micro_batch_size=2))
    for _, metadata in loader:
        if metadata.global_indexes == [6, 7]:
            break
    assert [metadata.global_indexes for _, metadata in loader.get_buffer()] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert indexes(loader) == [[8, 9], [10, 11]]
    tq.kv_clear(keys=[str(row) for row in range(12)], partition_id="p")  # it comes from the buffer
    assert indexes(loader) == []
    loader.reset()
    assert indexes(loader) == [[row, row + 1] for row in range(0, 12, 2)]


def test_step_changes_the_partition_during_an_iteration(config):
    put(range(4))
    put(range(4), "q")
    loader = tq.StreamingDataLoader(dataset(config, micro_batch_size=2, should_check_consumption_status=False))
    had = []
    for data, metadata in loader:
        check(data, metadata)
        had.append((metadata.partition_ids[0], metadata.global_indexes))
        if len(had) == 2:
            loader.step("q")
            assert loader.get_buffer() == []
        if len(had) == 4:
            break
    assert had == [("p", [0, 1]), ("p", [2, 3]), ("q", [0, 1]), ("q", [2, 3])]


@pytest.mark.parametrize("ends", [False, True])
def test_step_from_another_thread_reaches_a_waiting_iteration(config, ends):
    put(range(4), "q")
    stream = dataset(config, should_check_consumption_status=ends)
    had = []
    thread = in_thread(lambda: had.append(next(iter(stream))[1]))
    waiting()
    stream.step("q")
    thread.join(20)
    assert had[0].partition_ids == ["q"] * 4 and len(stream.buffer) == 1
    waiting(0)


def test_waiting_for_rows_is_one_command(config):
    call("CONFIG", "RESETSTAT")
    stream = dataset(config, should_check_consumption_status=False)
    had = []
    thread = in_thread(lambda: had.append(next(iter(stream))[1]))
    waiting()
    put(range(3))
    waiting()
    put([3])
    thread.join(20)
    assert had[0].global_indexes == [0, 1, 2, 3]
    stats = bytes(call("INFO", "commandstats")).decode()
    assert "cmdstat_task.fetch:calls=1," in stats and "task.status" not in stats


def test_an_endless_stream_continues_when_more_rows_come_than_were_announced(config):
    expect(4)
    put(range(4))
    batches = iter(dataset(config, should_check_consumption_status=False))
    assert next(batches)[1].global_indexes == [0, 1, 2, 3]
    later = in_thread(lambda: put(range(4, 8)))
    assert next(batches)[1].global_indexes == [4, 5, 6, 7]
    later.join(20)


def test_the_last_batch_is_one_batch_however_slowly_its_rows_come(config):
    expect(11)
    put(range(8))
    had = []
    thread = in_thread(lambda: had.extend(indexes(dataset(config, batch_size=8, micro_batch_size=8))))
    for row in range(8, 11):
        waiting()
        put([row])
    thread.join(20)
    assert had == [[*range(8)], [8, 9, 10]]


def test_without_expect_a_stream_ends_when_all_rows_are_consumed_by_any_client(config):
    put(range(7))
    had = []
    thread = in_thread(lambda: had.extend(indexes(dataset(config))))
    waiting()
    assert len(get_client().fetch(["row"], 3, "p", "t")) == 3
    thread.join(20)
    assert not thread.is_alive() and had == [[0, 1, 2, 3]]
    waiting(0)


class Impatient(tq.StreamingDataset):
    """Counts the checks of its wait."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.looks, self.looked_often = 0, threading.Event()

    def _was_left(self, stream):
        self.looks += 1
        if self.looks == 50:
            self.looked_often.set()
        return super()._was_left(stream)


def test_a_waiting_stream_does_not_ask_for_its_end(config, monkeypatch):
    monkeypatch.setattr(_calls, "_GIVE_UP_WITHIN_S", 0.001)
    expect(4)
    call("CONFIG", "RESETSTAT")
    stream = Impatient(config, 4, 4, ["row"], "p", "t", 0, True)
    had = []
    thread = in_thread(lambda: had.extend(indexes(stream)))
    assert stream.looked_often.wait(20)
    put(range(4))
    thread.join(20)
    assert had == [[0, 1, 2, 3]]
    stats = bytes(call("INFO", "commandstats")).decode()
    assert "cmdstat_task.status:calls=1," in stats  # after the first fetch, which found no rows


@pytest.mark.parametrize("announced", [False, True])
def test_a_rank_gets_all_rows_of_another_member_when_everything_is_consumed(config, announced):
    put(range(8))
    if announced:
        expect(8)
    assert indexes(dataset(config)) == indexes(dataset(config)) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_a_wait_that_is_cancelled_too_late_loses_no_rows(config, monkeypatch):
    """Another member of the rank may take the last rows, for this step, just when no more rows can be waited for."""
    put(range(8))
    assert indexes(dataset(config)) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    monkeypatch.setattr(streaming, "unless", lambda *_, **__: None)
    assert indexes(dataset(config)) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_rows_removed_before_another_member_of_the_rank_had_them_are_an_error(config):
    put(range(4))
    get_client().fetch(["row"], 4, "p", "t", rank=0, step=0)
    tq.kv_clear(keys=["2"], partition_id="p")
    with pytest.raises(tq.RequestError, match="row 2 of rank 0 step 0 was removed"):
        next(iter(dataset(config)))


def test_groups_stay_whole_and_the_rest_of_a_torn_group_is_not_waited_for(config):
    config = tq.init({"url": config.url, "sampler": samplers.GRPOGroupNSampler(4)})
    expect(13)
    put(range(13))
    tq.kv_clear(keys=["6"], partition_id="p")
    assert indexes(dataset(config, batch_size=8, micro_batch_size=8)) == [[0, 1, 2, 3, 8, 9, 10, 11]]


def test_a_restarted_rank_continues_at_its_step(config):
    put(range(12))
    expect(12)
    assert indexes(dataset(config)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    again = dataset(config, first_step=1)
    assert indexes(again) == [[4, 5, 6, 7], [8, 9, 10, 11]]
    put(range(4), "q")
    expect(4, "q")
    again.step("q")
    assert indexes(again) == [[0, 1, 2, 3]]


def test_ranks_share_the_rows(config):
    put(range(16))
    expect(16)
    config = tq.init({"url": config.url, "sampler": samplers.RankAwareSampler()})
    one, other = iter(dataset(config)), iter(dataset(config, dp_rank=1))
    had = [next(stream)[1].global_indexes for stream in (one, other, other, one)]
    assert had == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]]


@pytest.mark.parametrize("announced", [False, True])
def test_a_fetch_function_of_transferqueue_works(config, announced):
    config = tq.init({"url": config.url, "polling_mode": True})
    steps = []

    def fetch(**call):
        steps.append(call["batch_index"])
        return by_hand(**call)

    put(range(8))
    if announced:
        expect(8)
    assert indexes(dataset(config, fetch_batch_fn=fetch)) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert steps == [0, 1, 2]


def test_a_fetch_function_may_end_the_stream(config):
    put(range(9))
    expect(9)
    assert indexes(dataset(config, fetch_batch_fn=by_hand)) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_a_fetch_function_without_a_batch_is_called_again(config):
    put(range(4))
    answers = [(None, tq.BatchMeta.empty()), (None, tq.BatchMeta.empty())]

    def fetch(**call):
        return answers.pop() if answers else by_hand(**call)

    stream = iter(dataset(config, fetch_batch_fn=fetch, should_check_consumption_status=False))
    assert next(stream)[1].global_indexes == [0, 1, 2, 3]


def test_a_process_function_splits_the_batch(config):
    put(range(4))
    expect(4)

    def halves(data, metadata, micro_batch_size):
        assert micro_batch_size == 9
        return [(data[:2], metadata[:2]), (data[2:], metadata[2:])]

    stream = dataset(config, micro_batch_size=9, process_batch_fn=halves)
    assert [metadata.global_indexes for _, metadata in stream] == [[0, 1], [2, 3]]


@pytest.mark.parametrize("announced", [False, True])
def test_a_custom_sampler_chooses_the_rows(config, announced):
    config = tq.init({"url": config.url, "sampler": Last()})
    put(range(8))
    if announced:
        expect(8)
    assert indexes(dataset(config)) == [[4, 5, 6, 7], [0, 1, 2, 3]]


def test_step_reaches_an_iteration_that_waits_with_a_custom_sampler(config):
    config = tq.init({"url": config.url, "sampler": Last()})
    put(range(4), "q")
    stream = dataset(config)
    had = []
    thread = in_thread(lambda: had.append(next(iter(stream))[1]))
    waiting()
    stream.step("q")
    thread.join(10)
    assert had[0].partition_ids == ["q"] * 4


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"data_fields": []}, r"data_fields must be a list of at least one name, got \[\]"),
        ({"data_fields": "ids"}, "data_fields must be a list of at least one name, got 'ids'"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"micro_batch_size": 0}, "micro_batch_size must be at least 1, got 0"),
        ({"micro_batch_size": 5}, "micro_batch_size must be at most batch_size 4, got 5"),
        ({"dp_rank": -1}, "dp_rank must be at least 0, got -1"),
        ({"first_step": -1}, "first_step must be at least 0, got -1"),
    ],
)
def test_wrong_settings_are_refused(config, changes, error):
    with pytest.raises(ValueError, match=error):
        dataset(config, **changes)


def test_a_batch_size_without_whole_groups_is_refused(config):
    groups = {"p": samplers.GRPOGroupNSampler(2), "q": samplers.SeqlenBalancedSampler(3, dp_size=2)}
    config = tq.init({"url": config.url, "sampler": samplers.PerPartition(groups)})
    stream = dataset(config)
    with pytest.raises(ValueError, match="multiple of 3, the n_samples_per_prompt of SeqlenBalancedSampler, got 4"):
        stream.step("q")
    assert stream.partition_id == "p"
    with pytest.raises(ValueError, match="multiple of 2, the n_samples_per_prompt of GRPOGroupNSampler, got 5"):
        dataset(config, batch_size=5)


def test_a_mapping_is_accepted_as_config(config):
    put(range(4))
    expect(4)
    session.close()
    assert indexes(dataset({"url": config.url})) == [[0, 1, 2, 3]]


def test_errors_of_the_server_are_raised(config):
    put(range(4))
    expect(4)
    get_client().fetch(["row"], 2, "p", "t", rank=0, step=0)
    with pytest.raises(tq.RequestError, match="step 0 of rank 0 was taken with COUNT 2"):
        list(dataset(config))


def test_rows_are_read_back_and_wrong_data_are_detected(config):
    """The helper above detects wrong data."""
    put(range(3))
    [(data, metadata)] = dataset(config, batch_size=3, micro_batch_size=3, data_fields=FIELDS)
    check(data, metadata)
    data["ids"].values()[-1] += 1
    with pytest.raises(AssertionError):
        check(data, metadata)
    assert rows_of([2])["ids"].unbind()[0].tolist() == [2, 2, 2]
