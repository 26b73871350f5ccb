"""init() with an address, and its settings."""

import copy
import os
import pickle
import subprocess
import tempfile
import warnings

import pytest
from live_server import Server, free_port

from sluice import samplers
from sluice.errors import ConnectionLost, NotInitialized, SluiceError
from sluice.session import Config, close, current, init


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """No session before and after, and no server in the environment."""
    monkeypatch.delenv("SLUICE_URL", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("SLUICE_JOB", "nobody")
    close()
    yield
    close()


def test_an_address_in_conf_precedes_the_environments(server, sluice_url, monkeypatch):
    tcp = f"redis://127.0.0.1:{server.port}"
    monkeypatch.setenv("SLUICE_URL", sluice_url)
    for conf, url in [(None, sluice_url), ({"timeout_s": 5}, sluice_url), (tcp, tcp), ({"url": tcp}, tcp), (Config(tcp), tcp)]:
        assert init(conf).url == url == current().config.url
        assert current().wire.call("PING") == b"PONG"
        close()


def test_current_attaches_by_the_environment(sluice_url, monkeypatch):
    with pytest.raises(NotInitialized):
        current()
    monkeypatch.setenv("SLUICE_URL", sluice_url)
    assert current().config == Config(sluice_url)
    assert current() is current()


def test_init_again_keeps_the_address_and_applies_named_settings(sluice_url):
    assert init(sluice_url) == init() == init(sluice_url) == Config(sluice_url)
    assert init({"allow_pickle": True}) == Config(sluice_url, allow_pickle=True)
    assert init({"timeout_s": 7}) == Config(sluice_url, allow_pickle=True, timeout_s=7) == current().config
    assert current().wire.timeout_s == 7


def test_init_with_another_address_names_both(server, sluice_url):
    init(sluice_url)
    other = f"redis://me:secret@127.0.0.1:{server.port}"
    with pytest.raises(ValueError, match="invalid address 7"):
        init({"url": 7})
    with pytest.raises(SluiceError, match=rf"{sluice_url}: call close\(\) before init\(\) with redis://me:\*\*\*@") as caught:
        init(other)
    assert "secret" not in str(caught.value)
    assert current().config.url == sluice_url


def test_close_may_be_called_twice_and_init_after_it(server, sluice_url):
    close()
    init(sluice_url)
    close()
    close()
    with pytest.raises(NotInitialized):
        current()
    init(f"redis://127.0.0.1:{server.port}")


def test_an_address_without_a_server_is_an_error(tmp_path):
    with pytest.raises(ConnectionLost):
        init(f"redis://127.0.0.1:{free_port()}")
    with pytest.raises(ConnectionLost, match="no-such.sock"):
        init(f"unix://{tmp_path}/no-such.sock")
    with pytest.raises(NotInitialized):
        current()  # the failed init leaves no session


def test_a_password_is_used_and_not_shown(tmp_path):
    secret = "s3cret"
    guarded = Server(tmp_path, password=secret)
    try:
        url = f"redis://:{secret}@127.0.0.1:{guarded.port}"
        config = init(url)
        assert config.url == url and secret not in repr(config) and "redis://:***@127.0.0.1" in repr(config)
        close()
        with pytest.raises(SluiceError) as caught:
            init(f"redis://:wrong-{secret}@127.0.0.1:{guarded.port}")
        assert secret not in str(caught.value)
    finally:
        guarded.stop()
    with pytest.raises(ConnectionLost) as caught:
        init(f"redis://:{secret}@127.0.0.1:{free_port()}")
    assert secret not in str(caught.value)


def test_passwords_are_not_shown_for_any_form_of_address():
    for url in ("redis://me:sec/ret@h:1", "redis://me:sec@ret@h:1", "unix://me:secret@/x.sock", "redis://h?password=secret"):
        try:
            text = repr(Config(url))
        except ValueError as error:
            text = str(error)
        assert "sec" not in text and "ret" not in text and "***" in text, url


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"ulr": "x"}, "unknown setting 'ulr': known are url, allow_pickle, timeout_s, sampler, polling_mode, server"),
        ({"controller": {"smpler": 1}}, "unknown setting 'controller.smpler'"),
        ({"controller": 3}, "controller must be a mapping, got 3"),
        ({"server": 3}, "server must be a mapping, got 3"),
        ({"server": {"--maxmemory": "1gb"}}, "invalid server option '--maxmemory': '1gb'"),
        ({"server": {"maxmemory": 0.5}}, "invalid server option 'maxmemory': 0.5"),
        ({"server": {"appendonly": True}}, "invalid server option 'appendonly': True"),
        ({"server": {"requirepass": "x"}}, r"init\(\) sets server option 'requirepass' itself"),
        ({"allow_pickle": "yes"}, "allow_pickle must be True or False, got 'yes'"),
        ({"polling_mode": 1}, "polling_mode must be True or False, got 1"),
        ({"timeout_s": 0}, "timeout_s must be a number of seconds above 0, got 0"),
        ({"timeout_s": float("inf")}, "got inf"),
        ({"timeout_s": True}, "timeout_s must be .*, got True"),
        ({"url": 7}, "invalid address 7: expected redis://"),
        ("localhost:6390", "invalid address localhost:6390: expected redis://"),
        ("redis://h:port", "invalid address redis://h:port"),
        (7, "conf must be a mapping, got 7"),
        ({"sampler": "NoSuchSampler"}, "expected a BaseSampler, a subclass, or one of .*, got 'NoSuchSampler'"),
        ({"sampler": 7}, "expected a BaseSampler, .* got 7"),
    ],
)
def test_wrong_settings_are_named(sluice_url, conf, message):
    url = conf if isinstance(conf, str) else sluice_url
    with pytest.raises(ValueError, match=message):
        init({"url": url, **conf} if isinstance(conf, dict) else conf)


class OmegaLike:
    """Like OmegaConf's DictConfig: it has items(), and is not a Mapping."""

    def __init__(self, items):
        self._items = items

    def items(self):
        return [(key, OmegaLike(value) if isinstance(value, dict) else value) for key, value in self._items.items()]


def test_transfer_queues_settings_are_accepted(sluice_url):
    conf = {
        "metrics": {"enabled": False},
        "controller": {"sampler": "SequentialSampler", "polling_mode": True, "zmq_info": None},
        "backend": {"storage_backend": "SimpleStorage"},
        "url": sluice_url,
    }
    with pytest.warns(UserWarning, match="ignored settings of TransferQueue .*: metrics, backend") as warned:
        config = init(OmegaLike(conf))
    assert warned[0].filename == __file__
    assert config.polling_mode is True and type(config.sampler) is samplers.SequentialSampler


class Grouped(samplers.SequentialSampler):
    def __init__(self, size):
        self.size = size


def test_a_sampler_is_a_name_class_or_instance():
    one = samplers.SequentialSampler()
    assert Config("redis://h", sampler=one).sampler is one
    for given in ("SequentialSampler", samplers.SequentialSampler):
        assert type(Config("redis://h", sampler=given).sampler) is samplers.SequentialSampler
    for given in (Grouped, samplers.BaseSampler):
        with pytest.raises(ValueError, match=f"{given.__name__}.* cannot be made without arguments .*; pass an instance"):
            Config("redis://h", sampler=given)


def test_the_config_can_be_passed_to_another_process(sluice_url):
    config = Config(sluice_url, allow_pickle=True, timeout_s=3, server={"maxmemory": "1gb"})
    assert pickle.loads(pickle.dumps(config)) == copy.deepcopy(config) == config


def test_server_options_are_ignored_for_a_running_server(sluice_url):
    with pytest.warns(UserWarning, match="the server is already running; ignored options: {'maxmemory': '1gb'}") as warned:
        config = init({"url": sluice_url, "server": {"maxmemory": "1gb"}})
    assert config.server == {}
    assert warned[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert init() == config == init(config)


def test_a_fork_continues_the_session(sluice_url):
    init(sluice_url)
    current().wire.call("SET", "k", "parent")
    child = os.fork()
    if child == 0:
        os._exit(0 if current().wire.call("GET", "k") == b"parent" and init().url == sluice_url else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert current().wire.call("GET", "k") == b"parent"


@pytest.fixture
def redis_url(tmp_path):
    """The address of a redis-server."""
    path = tmp_path / "redis.sock"
    command = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen([*command, "--daemonize", "no"], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if "ready to accept" in line.lower():
                break
        yield f"unix://{path}"
        process.terminate()


def test_another_server_than_sluice_is_noticed_at_once(redis_url, monkeypatch):
    text = rf"the server at {redis_url} is redis [0-9.]+, not Sluice"
    with pytest.raises(SluiceError, match=text):
        init(redis_url)
    monkeypatch.setenv("SLUICE_URL", redis_url)
    with pytest.raises(SluiceError, match=text):
        current()
    with pytest.raises(SluiceError, match=text):
        init()
