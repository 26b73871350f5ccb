"""init() of sluice.compat: any configuration of TransferQueue, and settings that follow the job."""

import importlib
import importlib.resources
import multiprocessing
import sys

import pytest
from init_process import Process

import sluice.compat as tq
from sluice.errors import SluiceError


@pytest.fixture(autouse=True)
def closed():
    yield
    tq.close()


@pytest.fixture
def process():
    running = Process()
    yield running
    running.end()


def sampler_name(config):
    return type(config.sampler).__name__


def test_a_whole_section_is_accepted_and_unknown_settings_warn(sluice_url):
    section = {
        "enable": True,
        "url": sluice_url,
        "controller": {"sampler": tq.GRPOGroupNSampler(4), "polling_mode": True, "zmq_info": None},
        "backend": {"storage_backend": "MooncakeStore", "SimpleStorage": {"total_storage_size": 100}},
        "metrics": {"enabled": False, "port": 0},
        "new_setting": 1,
    }
    with pytest.warns(UserWarning, match="ignored settings: new_setting, .*'MooncakeStore'.*, .*total_storage_size"):
        config = tq.init(section)
    assert config.polling_mode and config.sampler.n_samples_per_prompt == 4


def test_the_usual_section_does_not_warn(sluice_url, recwarn):
    backend = {"storage_backend": "SimpleStorage", "SimpleStorage": {"total_storage_size": None, "num_data_storage_units": 2}}
    config = tq.init({"url": sluice_url, "enable": True, "backend": backend, "metrics": {"enabled": False}})
    assert not recwarn.list and sampler_name(config) == "SequentialSampler" and not config.polling_mode


def test_an_unknown_sampler_is_an_error(sluice_url):
    with pytest.raises(ValueError, match="NoSampler"):
        tq.init({"url": sluice_url, "controller": {"sampler": "NoSampler"}})


def test_one_process_tells_the_job_its_settings(sluice_url, process):
    tq.init({"url": sluice_url, "controller": {"sampler": tq.SeqlenBalancedSampler(2, 3), "polling_mode": True}})
    there = "(lambda c: [type(c.sampler).__name__, c.sampler.dp_size, c.polling_mode])(__import__('sluice.compat').compat.init"
    assert process.do(f"{there}({sluice_url!r}))") == ["SeqlenBalancedSampler", 3, True]


def told():
    return tq._job.session().wire.call("GET", "sluice.compat")


def test_settings_that_another_job_left_are_replaced_and_the_log_says_so(sluice_url, caplog):
    tq.init({"url": sluice_url, "controller": {"sampler": tq.SeqlenBalancedSampler(2, 3), "polling_mode": True}})
    tq._job._told = None  # as if the job had ended without close()
    tq.close()
    assert sampler_name(tq.init(sluice_url)) == "SeqlenBalancedSampler" and not caplog.records
    config = tq.init({"controller": {"sampler": "GRPOGroupNSampler"}})
    assert sampler_name(config) == "GRPOGroupNSampler" and not config.polling_mode
    [record] = caplog.records
    assert "were sluice.compat._samplers.SeqlenBalancedSampler {" in record.message and "polling_mode False" in record.message
    tq.close()
    tq.init(sluice_url)
    assert told() is None


def test_equal_settings_of_another_process_stay_its_own(sluice_url, process, caplog):
    section = {"url": sluice_url, "controller": {"polling_mode": True}}
    assert "polling_mode=True" in process.do(f"__import__('sluice.compat').compat.init({section})")
    tq.init(section)
    tq.close()
    tq.init(sluice_url)
    assert told() is not None and not caplog.records


def test_close_leaves_the_settings_that_another_process_told_later(sluice_url, process):
    tq.init({"url": sluice_url, "controller": {"polling_mode": True}})
    process.do(f"__import__('sluice.compat').compat.init({ {'url': sluice_url, 'controller': {'sampler': 'RankAwareSampler'}} })")
    tq.close()
    assert sampler_name(tq.init(sluice_url)) == "RankAwareSampler"


def test_a_process_without_init_has_the_settings_of_the_job(sluice_url, process, monkeypatch):
    tq.init({"url": sluice_url, "polling_mode": True})
    process.do(f"__import__('os').environ.update(SLUICE_URL={sluice_url!r})")
    assert process.do("__import__('sluice.compat').compat.get_client()._session.config.polling_mode")


def test_a_process_without_init_does_not_decide_for_the_job(sluice_url, process):
    process.do(f"__import__('os').environ.update(SLUICE_URL={sluice_url!r})")
    assert process.do("__import__('sluice.compat').compat.kv_list()") == "{}"
    assert tq.init({"url": sluice_url, "polling_mode": True}).polling_mode


def test_the_settings_end_with_the_process_that_told_them(sluice_url):
    tq.init({"url": sluice_url, "polling_mode": True})
    tq.close()
    assert not tq.init(sluice_url).polling_mode


class LastRows(tq.BaseSampler):
    def sample(self, ready_indexes, batch_size, *args, **kwargs):
        return ready_indexes[-batch_size:], ready_indexes[-batch_size:]


def test_your_own_sampler_follows_the_job_as_a_pickle(sluice_url):
    from sluice.compat import _job

    assert sampler_name(tq.init({"url": sluice_url, "controller": {"sampler": LastRows}})) == "LastRows"
    _job._told = None  # as if another process had told it
    with pytest.raises(SluiceError, match="LastRows, which is a pickle: set allow_pickle"):
        tq.init(sluice_url)
    assert sampler_name(tq.init({"allow_pickle": True})) == "LastRows"
    _job.session().wire.call("DEL", "sluice.compat")


def test_a_sampler_of_an_earlier_job_that_this_process_lacks_is_named(sluice_url, monkeypatch):
    tq.init({"url": sluice_url, "controller": {"sampler": LastRows}})
    monkeypatch.delitem(globals(), "LastRows")
    error = r"LastRows, which this process cannot import.*give init\(\) a sampler, or remove the string 'sluice.compat'"
    with pytest.raises(SluiceError, match=error):
        tq.init({"allow_pickle": True})


def test_close_in_a_forked_process_leaves_the_settings_of_the_job(sluice_url):
    tq.init({"url": sluice_url, "controller": {"polling_mode": True}})
    child = multiprocessing.get_context("fork").Process(target=tq.close)
    child.start()
    child.join()
    assert tq._job.session().wire.call("GET", "sluice.compat") is not None


def test_pickles_are_allowed_by_the_environment(sluice_url, monkeypatch):
    assert not tq.init(sluice_url).allow_pickle
    monkeypatch.setenv("SLUICE_ALLOW_PICKLE", "1")
    assert tq.init().allow_pickle


def test_metrics_start_the_exporter_of_the_server(job):
    tq.init({"metrics": {"enabled": True, "port": 0}})
    host, _, port = tq.get_metrics_endpoint().partition(":")
    assert host == "localhost" and int(port) > 0


def test_without_metrics_there_is_no_endpoint(sluice_url):
    tq.init(sluice_url)
    assert tq.get_metrics_endpoint() is None


def test_checkpoints_are_not_implemented(sluice_url):
    tq.init(sluice_url)
    for call in (tq.save_checkpoint, tq.load_checkpoint):
        with pytest.raises(NotImplementedError, match="durability"):
            call("folder")


def test_the_modules_of_transferqueue_are_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "transfer_queue", tq)
    for name, attribute in [("sampler", "GRPOGroupNSampler"), ("dataloader", "StreamingDataset"), ("metadata", "BatchMeta")]:
        module = importlib.import_module(f"transfer_queue.{name}")
        assert getattr(module, attribute) is getattr(tq, attribute)
        monkeypatch.delitem(sys.modules, f"transfer_queue.{name}")
    assert callable(importlib.import_module("transfer_queue.interface").async_kv_put)
    monkeypatch.delitem(sys.modules, "transfer_queue.interface")
    assert "SimpleStorage" in (importlib.resources.files(tq) / "config.yaml").read_text()
    assert all(hasattr(tq, name) for name in tq.__all__)
