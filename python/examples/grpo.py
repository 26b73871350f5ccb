"""GRPO training: a small transformer learns to sort digits from a reward alone, on two CPU cores in a minute.

    python python/examples/grpo.py                # shows progress, and draws the curve into grpo.png
    python python/examples/grpo.py --help

The processes exchange data only through Sluice, so each one could run on its own machine. grpo_policy.py has the
learning part.

    rollout (2)  answers each prompt several times           puts prompt, response, old_logprobs
    reward       scores the answers by a rule                fetches response, puts reward
    reference    scores the answers with the first policy    fetches response, puts ref_logprobs
    train        trains on complete groups                   fetches all fields, puts the next policy

    partition  one row is                    its tag
    rollouts   one answer                    uid (of its prompt: the group), model_version (of the policy that sampled it)
    policy     weights: latest, reference    model_version
    metrics    one step of the trainer       the values of the picture
"""

import argparse
import multiprocessing.connection
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from multiprocessing.process import BaseProcess

import torch
from grpo_policy import PROMPT_MAX, PROMPT_MIN, RESPONSE_MAX, Policy, draw_prompts, grpo_step, padded, ragged, reward_of
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from tqdm import tqdm

import sluice as tq

PARTITIONS = ("rollouts", "policy", "metrics")
TASKS = ("reward", "reference", "train")
WINDOW = 20  # steps in the moving average


def load(policy: Policy, key: str) -> None:
    """Reads weights, which are stored as a row with one field per parameter."""
    weights = tq.kv_batch_get(key, "policy")
    policy.load_state_dict({name: weights[name][0] for name in policy.state_dict()})


def rollout(args: argparse.Namespace, worker: int) -> None:
    """Samples with the newest policy until its share of the rows is made."""
    torch.manual_seed(1000 * args.seed + worker + 1)
    policy, version = Policy(), -1
    for turn in range(args.steps):
        newest = tq.kv_list("policy")["policy"]["latest"]["model_version"]
        if newest != version:  # tags are small; weights are read only if they are new
            # If a newer policy arrives now, the rows look older than they are. That does no harm.
            load(policy, "latest")
            version = newest
        prompts = draw_prompts(args.prompts // args.workers).repeat_interleave(args.group, 0)
        responses, logprobs = policy.sample(prompts)
        uids = [f"{worker}-{turn}-{i // args.group}" for i in range(len(prompts))]
        tq.kv_batch_put(
            keys=[f"{uid}-{i % args.group}" for i, uid in enumerate(uids)],
            partition_id="rollouts",
            fields=TensorDict(
                {
                    "prompt": ragged(prompts, prompts),
                    "response": ragged(responses, responses),
                    "old_logprobs": ragged(logprobs, responses),
                },
                batch_size=len(prompts),
            ),
            tags=[{"uid": uid, "model_version": version} for uid in uids],
            wait_s=None,  # waits at max_rows, so it does not run ahead of the trainer
        )


def reward(args: argparse.Namespace) -> None:
    """Scores answers by the rule."""

    def score(data: TensorDictBase) -> Tensor:
        pairs = zip(data["prompt"].unbind(), data["response"].unbind(), strict=True)
        return torch.tensor([reward_of(prompt.tolist(), response.tolist()) for prompt, response in pairs])

    serve(args, "reward", "reward", score)


def reference(args: argparse.Namespace) -> None:
    """Computes the log-probabilities of the answers under the first policy, for the KL term."""
    policy = Policy()
    load(policy, "reference")

    @torch.no_grad()
    def score(data: TensorDictBase) -> Tensor:
        responses = padded(data["response"], RESPONSE_MAX)
        return ragged(policy.logprobs(padded(data["prompt"], PROMPT_MAX), responses), responses)

    serve(args, "reference", "ref_logprobs", score)


def serve(args: argparse.Namespace, task: str, field: str, score: Callable[[TensorDictBase], Tensor]) -> None:
    """Fetches, computes and puts, until all rows that the partition expects are done."""
    client = tq.get_client()
    count = args.prompts // args.workers * args.group  # rows of one rollout
    # Leased, because workers may die: rows that are not acknowledged in time go to another worker of this task.
    for batch in client.stream(["prompt", "response"], count, "rollouts", task, min_rows=1, lease_s=60):
        # By metadata and not by key, so a row that was cleared since is not made again.
        client.put(TensorDict({field: score(batch.data)}, batch_size=len(batch)), batch.metadata)


def train(args: argparse.Namespace) -> None:
    """Takes whole groups as soon as all fields are ready, trains, and puts the next policy."""
    client, policy = tq.get_client(), Policy()
    load(policy, "latest")
    optimizer = torch.optim.Adam(policy.parameters(), args.lr)
    fields = ["prompt", "response", "old_logprobs", "ref_logprobs", "reward"]
    take = partial(client.fetch, fields, partition_id="rollouts", task_name="train")
    groups = tq.GRPOGroupNSampler(args.group, by="uid")  # whole groups only: advantages compare the answers to one prompt
    step = args.prompts * args.group
    version, left, dropped = 0, args.steps * step, 0
    while left:
        oldest = version - args.staleness
        # Removes rows that are too old once they are complete, so that no worker writes to a removed row.
        if stale := take(step, min_rows=1, where=[("model_version", "<", oldest)]):
            client.clear_samples(stale.metadata)
            left, dropped = left - len(stale), dropped + len(stale)
        batch = take(min(step, left), sampler=groups, where=[("model_version", ">=", oldest)], wait_s=1)
        if not batch:
            continue  # rows that have become too old since may fill the partition
        kl = grpo_step(policy, optimizer, batch.data, group=args.group, clip=args.clip, kl_weight=args.kl)
        version += 1
        tq.kv_put("latest", "policy", policy.state_dict(), {"model_version": version})
        client.clear_samples(batch.metadata)  # after the weights: rollouts that waited at max_rows find them
        left -= len(batch)
        rewards = batch.data["reward"]
        record = {
            "reward": rewards.mean().item(),
            "exact": (rewards == 1).float().mean().item(),
            "kl": kl,
            "age": version - 1 - min(tag["model_version"] for tag in batch.tags),
            "dropped": dropped,
        }
        tq.kv_put(f"step {version}", "metrics", tag=record)


def child(role: Callable[[argparse.Namespace], None], conf: tq.Config, args: argparse.Namespace) -> None:
    """The start of each process. SIGTERM ends it like an exception: at once, even while it waits, with exit code 0."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    torch.set_num_threads(1)  # the processes are the parallelism
    tq.init(conf)
    role(args)


def watch(processes: Sequence[BaseProcess], args: argparse.Namespace) -> None:
    """Shows the progress of each task until all processes have ended. A process that fails ends the program."""
    total = args.steps * args.prompts * args.group
    running = list(processes)
    plain, printed = not sys.stderr.isatty(), 0
    with ExitStack() as closing:
        bars = {
            name: closing.enter_context(tqdm(total=total, desc=f"{name:9}", unit="row", disable=plain))
            for name in ("rollout", *TASKS)
        }
        while running:
            multiprocessing.connection.wait([process.sentinel for process in running], timeout=0.5)
            for process in running:
                if process.exitcode:
                    raise SystemExit(f"{process.name} has failed: exit code {process.exitcode}")
            running = [process for process in running if process.exitcode is None]
            info = tq.get_client().partition_info("rollouts")
            bars["rollout"].n = info["made"]
            for name, task in info["tasks"].items():
                bars[name].n = info["made"] - task["waiting"] - task["ready"] - task["leased"]
            if steps := metrics():
                now = steps[-1]
                line = "reward {reward:.3f}, exact {exact:.2f}, kl {kl:.2f}, age {age}".format(**now)
                bars["train"].set_postfix_str(line, refresh=False)
                if plain and len(steps) >= printed + args.steps / 20:
                    printed = len(steps)
                    print(f"step {printed}/{args.steps}: {line}", flush=True)
            for bar in bars.values():
                bar.refresh()


def metrics() -> list[dict[str, float]]:
    """Returns the records of the trainer for each step so far."""
    return list(tq.kv_list("metrics").get("metrics", {}).values())


def draw(steps: list[dict[str, float]], args: argparse.Namespace) -> None:
    """Draws the reward over the steps into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    labels = {"reward": "mean reward: share of correct tokens", "exact": "share of perfect answers"}
    for colour, (name, label) in zip(("C0", "C2"), labels.items(), strict=True):
        values = torch.tensor([step[name] for step in steps])
        axes.plot(range(1, len(values) + 1), values, color=colour, alpha=0.25, linewidth=1)
        mean = values.unfold(0, WINDOW, 1).mean(1)
        axes.plot(range(WINDOW, len(values) + 1), mean, color=colour, linewidth=2, label=label)
    axes.set(xlim=(0, len(steps)), ylim=(0, 1), ylabel="share, 0 to 1")
    axes.set_xlabel(f"optimizer step, of {args.prompts} prompts x {args.group} answers")
    axes.set_title(f"GRPO: a transformer learns to sort {PROMPT_MIN} to {PROMPT_MAX} digits", fontweight="bold")
    axes.grid(alpha=0.3)
    axes.legend(title=f"bold: mean of the last {WINDOW} steps; pale: each step", loc="upper left", framealpha=1)
    figure.savefig(args.out, dpi=150)


def arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description="A small transformer learns to sort digits by GRPO, over Sluice.")
    for name, default, what in (
        ("out", "grpo.png", "file for the curve"),
        ("steps", 400, "optimizer steps for which rows are made"),
        ("prompts", 16, "prompts per step"),
        ("group", 8, "answers per prompt"),
        ("workers", 2, "rollout processes"),
        ("staleness", 2, "versions that the policy of a row may be behind the policy of the trainer"),
        ("lr", 2e-3, "learning rate"),
        ("clip", 0.2, "largest distance of a probability ratio from 1"),
        ("kl", 1e-3, "weight of the KL term; small, because the first policy knows nothing useful"),
        ("seed", 0, "seed of the first weights, the prompts and the sampling"),
    ):
        parser.add_argument(f"--{name}", type=type(default), default=default, help=f"{what} (default: {default})")
    args = parser.parse_args()
    if args.prompts % args.workers:
        parser.error(f"--prompts must be a multiple of --workers {args.workers}, got {args.prompts}")
    return args


def main() -> None:
    """Prepares the partitions, runs the processes, draws the curve, and removes the partitions."""
    args = arguments()
    began = time.monotonic()
    conf, client = tq.init(), tq.get_client()
    for name in PARTITIONS:
        client.clear_partition(name)  # an earlier run may have been killed
    rows = args.prompts * args.group
    # expect ends the stream for all tasks. max_rows is flow control: puts wait while the partition has this many rows.
    client.create_partition("rollouts", expect=args.steps * rows, max_rows=max(1, args.staleness) * rows, tasks=TASKS)
    torch.manual_seed(args.seed)
    weights = Policy().state_dict()
    for key in ("reference", "latest"):
        tq.kv_put(key, "policy", weights, {"model_version": 0})

    start = multiprocessing.get_context("spawn").Process
    roles: dict[str, Callable[[argparse.Namespace], None]] = {"reward": reward, "reference": reference, "train": train}
    roles |= {f"rollout {i}": partial(rollout, worker=i) for i in range(args.workers)}
    processes = [start(target=child, args=(role, conf, args), name=name) for name, role in roles.items()]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # children inherit this: only the parent handles Ctrl-C, and ends them
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        for process in processes:
            process.start()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        watch(processes, args)
    except KeyboardInterrupt:
        print("interrupted")
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
    if len(steps := metrics()) < WINDOW:
        print(f"{len(steps)} steps are too few for a curve")
    else:
        draw(steps, args)
        first, last = (sum(step["reward"] for step in part) / WINDOW for part in (steps[:WINDOW], steps[-WINDOW:]))
        print(f"mean reward: {first:.3f} in the first {WINDOW} steps, {last:.3f} in the last {WINDOW} of {len(steps)}")
        oldest, dropped = max(step["age"] for step in steps), steps[-1]["dropped"]
        print(f"rows were up to {oldest} versions behind; {dropped} older rows were dropped")
        print(f"the curve is in {args.out}, after {time.monotonic() - began:.0f} s")
    for name in PARTITIONS:
        client.clear_partition(name)
    tq.close()


if __name__ == "__main__":
    main()
