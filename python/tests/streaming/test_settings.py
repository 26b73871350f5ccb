"""Settings that an object was given are its own: neither those of the process nor of other objects replace them."""

import pytest
from streaming_cases import Last, by_hand, dataset, indexes, put

import sluice as tq
from sluice import session
from sluice.client import get_client
from sluice.samplers import BaseSampler


class First(BaseSampler):
    """Chooses the first rows."""

    def sample(self, ready_indexes, batch_size, **_):
        rows = ready_indexes[:batch_size] if len(ready_indexes) >= batch_size else []
        return rows, rows


@pytest.mark.parametrize("changes", [{}, {"fetch_batch_fn": by_hand}])
def test_datasets_of_one_process_use_their_own_samplers(config, changes):
    put(range(12))
    put(range(12), "q")
    configs = [tq.init({"url": config.url, "sampler": sampler, "polling_mode": True}) for sampler in (Last(), First())]
    one, other = dataset(configs[0], **changes), dataset(configs[1], partition_id="q", **changes)
    had = [(a[1].global_indexes, b[1].global_indexes) for a, b in zip(one, other, strict=True)]
    assert had == [([8, 9, 10, 11], [0, 1, 2, 3]), ([4, 5, 6, 7], [4, 5, 6, 7]), ([0, 1, 2, 3], [8, 9, 10, 11])]


def test_iterating_a_dataset_leaves_the_settings_of_the_process(config):
    put(range(8))
    own = tq.init({"url": config.url, "sampler": Last(), "polling_mode": True, "timeout_s": 7})
    tq.init({"url": config.url, "sampler": First(), "polling_mode": False, "timeout_s": 9})
    stream = iter(dataset(own))
    assert next(stream)[1].global_indexes == [4, 5, 6, 7]
    now = session.current()
    assert (now.config.timeout_s, now.wire.timeout_s, now.config.polling_mode) == (9, 9, False)
    assert get_client().get_meta(["row"], 2, "p", task_name="other").global_indexes == [0, 1]
    assert next(stream)[1].global_indexes == [0, 1, 2, 3]


def test_a_mapping_is_the_setting_of_one_dataset(config):
    put(range(8))
    stream = dataset({"sampler": Last()})
    assert stream.config.url == config.url and session.current().config.sampler is None
    assert indexes(stream) == [[4, 5, 6, 7], [0, 1, 2, 3]]
    with pytest.raises(tq.SluiceError, match="call close.. before"):
        dataset({"url": "redis://localhost:1"})


def test_pickles_are_allowed_per_dataset(config):
    trusting = tq.init({"url": config.url, "allow_pickle": True})
    tq.kv_put("a", "p", {"row": (1, 2)})
    tq.init({"allow_pickle": False})
    [(data, _)] = dataset(trusting, batch_size=1, micro_batch_size=1)
    assert data.get("row").tolist() == [(1, 2)]
    with pytest.raises(ValueError, match="pickles are not allowed"):
        tq.kv_batch_get("a", "p")


def test_a_second_init_keeps_the_connections_and_the_time_outs_of_others(config):
    wire = session.current().wire
    mine = wire.call("CLIENT", "ID")
    tq.init({"timeout_s": 3})
    assert session.current().wire.timeout_s == 3 and wire.timeout_s == 20
    assert session.current().wire.call("CLIENT", "ID") == mine == wire.call("CLIENT", "ID")
