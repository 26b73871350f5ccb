"""Every option of a command can be given to the method that sends the command."""

import pytest
import torch
from streaming_cases import call
from tensordict import TensorDict

import sluice as tq


def put(client, groups, **fields):
    """Puts one row per group; its tag has the group as `uid` and its position as `w`."""
    rows = len(groups)
    data = TensorDict(fields or {"x": torch.arange(rows)}, [rows])
    return client.put(data, partition_id="p", tags=[{"uid": group, "w": i} for i, group in enumerate(groups)])


def test_explain_names_the_group_that_is_not_whole(client):
    put(client, "aab")
    by_uid = tq.GRPOGroupNSampler(2, by="uid")
    client.fetch(["x"], 2, "p", "t", sampler=by_uid)
    why = client.explain(["x"], 2, "p", "t", sampler=by_uid)
    assert "sampler group can take 0 of the 1 ready row" in why and '"b"' in why
    assert "sampler" not in client.explain(["x"], 2, "p", "t")
    with pytest.raises(ValueError, match="no Own; use get_meta"):
        client.explain(["x"], 2, "p", "t", sampler=Own())


class Own(tq.BaseSampler):
    def sample(self, ready_indexes, batch_size, **_):
        return ready_indexes, ready_indexes


def test_explain_uses_the_sampler_of_init_and_all_options_of_fetch(client):
    put(client, "aab")
    tq.init({"sampler": tq.GRPOGroupNSampler(2, by="uid")})
    assert '"b"' in client.explain(["x"], 4, "p", "t")
    for options in ({"rank": 0, "step": 1}, {"keep": True}, {"min_rows": 2}, {"where": [("w", "<", 2)]}):
        assert client.explain(["x"], 2, "p", "t", **options).startswith("ok"), options


def test_explain_answers_for_the_options_of_the_fetch(client):
    put(client, "ab")
    assert client.explain(["x"], 3, "p", "t").startswith("expect: 2 rows were created")
    assert client.explain(["x"], 3, "p", "t", min_rows=1).startswith("ok: 2 rows available, 3 requested")
    assert client.explain(["x"], 1, "p", "t", where=[("w", ">", 5)]).startswith("where: 2 complete rows do not match")
    client.fetch(["x"], 2, "p", "t", rank=0, step=3)
    assert client.explain(["x"], 2, "p", "t", rank=0, step=3).startswith("ok: step 3 of rank 0 is known")


def test_a_fetch_may_keep_its_rows(client):
    put(client, "abc")
    for _ in range(2):
        batch = client.fetch(["x"], 2, "p", "t", keep=True)
        assert batch.metadata.global_indexes == [0, 1] and batch.lease is None


@pytest.mark.parametrize("side", ["left", "right"])
def test_ragged_fields_may_be_padded(client, side):
    rows = [torch.arange(1), torch.arange(3)]
    meta = put(client, "ab", x=torch.nested.nested_tensor(rows, layout=torch.jagged))
    expected = [[-1, -1, 0] if side == "left" else [0, -1, -1], [0, 1, 2]]
    pad = (side, -1)
    assert tq.kv_batch_get(["0", "1"], "p", pad=pad)["x"].tolist() == expected
    assert client.get_data(meta, pad=pad)["x"].tolist() == expected
    batch = client.fetch(["x"], 2, "p", "t", pad=pad)
    assert batch.data["x"].tolist() == expected and batch.metadata.get_shapes("x") == [(3,), (3,)]


def test_equal_rows_are_sent_once_by_every_method(client):
    same = torch.ones(4, 5000)
    meta = put(client, "aaaa", x=same)
    meta = client.put(TensorDict({"y": same}, [4]), meta, dedup=True)
    sizes = {entry[0]: entry[4] for entry in call("KV.FIELDS", "p")}
    assert sizes == {b"x": 4 * 20_000, b"y": 20_000}
    keys = client.kv_retrieve_keys(meta.global_indexes, "p")
    meta = meta.select_fields(["y"])
    for read in (
        lambda **dedup: client.get_data(meta, **dedup),
        lambda **dedup: client.fetch(["y"], 4, "p", "t", keep=True, **dedup).data,
        lambda **dedup: tq.kv_batch_get(keys, "p", "y", **dedup),
    ):
        before = sent_bytes()
        assert torch.equal(read()["y"], same)
        between = sent_bytes()
        assert torch.equal(read(dedup=True)["y"], same)
        assert between - before > 80_000 > 30_000 > sent_bytes() - between


def sent_bytes():
    """Returns the number of bytes that the server has sent."""
    [line] = [line for line in call("INFO", "stats").splitlines() if line.startswith(b"total_net_output_bytes:")]
    return int(line.partition(b":")[2])


def test_a_bound_lease_ends_with_its_connection(client):
    put(client, "a")
    assert client.fetch(["x"], 1, "p", "t", lease_s=600, bound=True).lease is not None
    assert client.fetch(["x"], 1, "p", "t") is None
    url = tq.init().url
    tq.close()
    tq.init(url)
    assert len(client.fetch(["x"], 1, "p", "t", wait_s=10)) == 1
    with pytest.raises(ValueError, match="bound is an option of a lease"):
        client.fetch(["x"], 1, "p", "t", bound=True)


@pytest.mark.parametrize(
    ("sampler", "rows"),
    [
        (tq.ServerSampler("lifo"), [2, 1]),
        (tq.ServerSampler("priority", weight="w", seed=3), None),
        (tq.ServerSampler("random", seed=3), None),
    ],
)
def test_every_sampler_of_the_server_can_be_named(client, sampler, rows):
    put(client, "abc")
    one, other = (client.fetch(["x"], 2, "p", task, sampler=sampler) for task in "tu")
    assert one.metadata.global_indexes == other.metadata.global_indexes
    assert rows is None or one.metadata.global_indexes == rows
    if sampler.name == "priority":
        assert one.metadata.global_indexes in ([1, 2], [2, 1])
        assert one.weights.tolist() == pytest.approx([row / 3 for row in one.metadata.global_indexes])
    else:
        assert one.weights is None
    meta = client.get_meta(["x"], 2, "p", task_name="v", sampling_config={"sampler": sampler})
    assert meta.global_indexes == one.metadata.global_indexes
    with pytest.raises(ValueError, match="only the server"):
        sampler.sample([1], 1)


def test_rows_may_be_listed_by_key_tag_and_field(client):
    put(client, "abc")
    tq.kv_put("extra", "p", {"y": 1})
    for listed in (tq.kv_list, client.kv_list):
        assert list(listed("p", match="e*")["p"]) == ["extra"]
        assert list(listed("p", where=[("uid", "IN", ["a", "c"])])["p"]) == ["0", "2"]
        assert list(listed(select_fields="x", where=[("w", ">", 0)])["p"]) == ["1", "2"]


def test_fields_of_rows_may_be_cleared(client):
    meta = put(client, "ab", x=torch.arange(2), y=torch.arange(2))
    tq.kv_clear("0", "p", select_fields=["x"])
    assert list(tq.kv_list("p", select_fields="x")["p"]) == ["1"] and list(tq.kv_list("p", select_fields="y")["p"]) == ["0", "1"]
    client.clear_samples(meta, select_fields="y")
    assert tq.kv_list("p", select_fields="y") == {"p": {}} and len(tq.kv_list("p")["p"]) == 2


def test_a_partition_may_have_a_schema(client):
    fields = {"ids": (torch.int64, [-1]), "text": "json", "reward": torch.float32}
    client.create_partition("p", fields=fields, strict=True, tasks=["train"])
    assert [field[:2] for field in client.partition_info("p")["limits"]["fields"]] == [
        ["ids", "int64"],
        ["text", "json"],
        ["reward", "float32"],
    ]
    tq.kv_put("a", "p", {"ids": torch.arange(3), "text": "t", "reward": torch.tensor(0.5)})
    with pytest.raises(tq.RequestError, match="other"):
        tq.kv_put("a", "p", {"other": 1})
    with pytest.raises(tq.RequestError, match="other"):
        client.fetch(["ids"], 1, "p", "other")


def test_new_rows_may_have_tags(client):
    meta = put(client, "ab")
    assert meta.custom_meta == [{"uid": "a", "w": 0}, {"uid": "b", "w": 1}]
    assert tq.kv_list("p") == {"p": {"0": {"uid": "a", "w": 0}, "1": {"uid": "b", "w": 1}}}
    with pytest.raises(ValueError, match="custom_meta"):
        client.put(TensorDict({"x": torch.arange(2)}, [2]), meta, tags=[{}, {}])
    with pytest.raises(ValueError, match="expected one tag per key"):
        client.put(TensorDict({"x": torch.arange(2)}, [2]), partition_id="p", tags=[{}])
