"""The learning part of grpo.py, which knows nothing of processes: the task, the policy, and a step of GRPO."""

import torch
import torch.nn.functional as F
from tensordict import TensorDictBase
from torch import Tensor, nn

# The task: "3 1 2 BOS" is to be continued with "1 2 3 EOS". An answer may be too short or too long, so it is ragged.
DIGITS, PROMPT_MIN, PROMPT_MAX, RESPONSE_MAX = 10, 3, 5, 6
EOS, BOS, PAD = 10, 11, 12


def draw_prompts(count: int) -> Tensor:
    """Random digits, int64 (count, PROMPT_MAX), with PAD behind them."""
    prompts = torch.randint(DIGITS, (count, PROMPT_MAX))
    lengths = torch.randint(PROMPT_MIN, PROMPT_MAX + 1, (count, 1))
    return prompts.where(torch.arange(PROMPT_MAX) < lengths, PAD)


def reward_of(prompt: list[int], response: list[int]) -> float:
    """The share of tokens in their place, 0 to 1. All or nothing would teach nothing: at first nobody ever gets all."""
    wanted = [*sorted(prompt), EOS]
    return sum(a == b for a, b in zip(wanted, response, strict=False)) / max(len(wanted), len(response))


class Block(nn.Module):
    """Causal attention and a feed-forward layer. PAD needs no mask: what stands behind EOS is seen by nobody."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        layers = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width)
        self.feed_forward = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Float32 (rows, tokens, width), to the same."""
        q, k, v = self.qkv(self.norm(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        out: Tensor = x + self.feed_forward(x)
        return out


class Policy(nn.Module):
    """A decoder-only transformer over prompt, BOS and response; 102,000 parameters."""

    def __init__(self, width: int = 64, layers: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.token = nn.Embedding(PAD + 1, width)
        self.position = nn.Embedding(PROMPT_MAX + 1 + RESPONSE_MAX, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)), nn.LayerNorm(width))
        self.head = nn.Linear(width, EOS + 1)  # BOS and PAD cannot be sampled

    def forward(self, tokens: Tensor) -> Tensor:
        """Log-probabilities of each next token, float32 (rows, tokens, EOS + 1)."""
        embedded = self.token(tokens) + self.position(torch.arange(tokens.shape[1]))
        logprobs: Tensor = self.head(self.blocks(embedded)).log_softmax(-1)
        return logprobs

    def logprobs(self, prompts: Tensor, responses: Tensor) -> Tensor:
        """Those of each response's tokens, float32 (rows, RESPONSE_MAX); what stands at PAD means nothing."""
        tokens = torch.cat([F.pad(prompts, (0, 1), value=BOS), responses], 1)
        each_next: Tensor = self(tokens)[:, PROMPT_MAX:-1]
        return each_next.gather(2, responses.clamp(max=EOS)[..., None])[..., 0]

    @torch.no_grad()
    def sample(self, prompts: Tensor) -> tuple[Tensor, Tensor]:
        """Responses up to EOS, with PAD behind it, and the log-probabilities with which they were drawn."""
        tokens, logprobs = F.pad(prompts, (0, 1), value=BOS), []
        running = torch.ones(len(prompts), 1, dtype=torch.bool)
        for _ in range(RESPONSE_MAX):
            next_token = self(tokens)[:, -1]
            drawn = next_token.exp().multinomial(1)
            logprobs.append(next_token.gather(1, drawn))
            tokens = torch.cat([tokens, drawn.where(running, PAD)], 1)
            running &= drawn != EOS
        return tokens[:, PROMPT_MAX + 1 :], torch.cat(logprobs, 1)


def grpo_step(
    policy: Policy, optimizer: torch.optim.Optimizer, data: TensorDictBase, *, group: int, clip: float, kl_weight: float
) -> float:
    """One optimizer step on whole groups, each group's rows one after another. Returns the KL from the reference.

    `data`: prompt, response, old_logprobs and ref_logprobs, ragged, and reward, float32 (rows,).
    """
    prompts, responses = padded(data["prompt"], PROMPT_MAX), padded(data["response"], RESPONSE_MAX)
    old, ref = padded(data["old_logprobs"], RESPONSE_MAX, 0.0), padded(data["ref_logprobs"], RESPONSE_MAX, 0.0)
    # How much better than the other answers to the same prompt: the group is what other methods need a critic for.
    rewards = data["reward"].view(-1, group)
    advantage = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
    advantage = advantage.view(-1, 1)

    logprobs = policy.logprobs(prompts, responses)
    ratio = (logprobs - old).exp()  # 1 where this very policy has sampled; clipped, as older ones may have
    gain = torch.min(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
    kl = (ref - logprobs).exp() - (ref - logprobs) - 1  # an unbiased estimate that is never negative
    real = responses != PAD
    loss = (kl_weight * kl - gain)[real].mean()  # over tokens, so that each weighs the same in answers of any length
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
    optimizer.step()
    return kl[real].mean().item()


def ragged(rows: Tensor, like: Tensor) -> Tensor:
    """What is not PAD in `like`, as a jagged tensor: padding does not travel."""
    real = like != PAD
    return torch.nested.nested_tensor_from_jagged(rows[real], F.pad(real.sum(1).cumsum(0), (1, 0)))


def padded(rows: Tensor, width: int, value: float = PAD) -> Tensor:
    """The reverse of ragged(). Rows that happen to be of one length come as a dense tensor, which is fine, too."""
    unbound = rows.unbind()
    out = torch.full((len(unbound), width), value, dtype=rows.dtype)
    for line, row in zip(out, unbound, strict=True):
        line[: len(row)] = row
    return out
