"""The learning part of grpo.py, without processes: the task, the policy, and one step of GRPO."""

import torch
import torch.nn.functional as F
from tensordict import TensorDictBase
from torch import Tensor, nn

# The task: continue "3 1 2 BOS" with "1 2 3 EOS". An answer may be too short or too long, so answers are ragged.
DIGITS, PROMPT_MIN, PROMPT_MAX, RESPONSE_MAX = 10, 3, 5, 6
EOS, BOS, PAD = 10, 11, 12


def draw_prompts(count: int) -> Tensor:
    """Returns random digits, int64 (count, PROMPT_MAX), followed by PAD."""
    prompts = torch.randint(DIGITS, (count, PROMPT_MAX))
    lengths = torch.randint(PROMPT_MIN, PROMPT_MAX + 1, (count, 1))
    return prompts.where(torch.arange(PROMPT_MAX) < lengths, PAD)


def reward_of(prompt: list[int], response: list[int]) -> float:
    """Returns the share of correct tokens, 0 to 1. A reward only for perfect answers would teach nothing at first."""
    wanted = [*sorted(prompt), EOS]
    return sum(a == b for a, b in zip(wanted, response, strict=False)) / max(len(wanted), len(response))


class Block(nn.Module):
    """Causal attention and a feed-forward layer. PAD after EOS needs no mask: causal attention hides later tokens."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        layers = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width)
        self.feed_forward = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Maps float32 (rows, tokens, width) to the same shape."""
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
        """Returns the log-probabilities of each next token, float32 (rows, tokens, EOS + 1)."""
        embedded = self.token(tokens) + self.position(torch.arange(tokens.shape[1]))
        logprobs: Tensor = self.head(self.blocks(embedded)).log_softmax(-1)
        return logprobs

    def logprobs(self, prompts: Tensor, responses: Tensor) -> Tensor:
        """Returns the log-probabilities of the response tokens, float32 (rows, RESPONSE_MAX). Ignore the values at PAD."""
        tokens = torch.cat([F.pad(prompts, (0, 1), value=BOS), responses], 1)
        each_next: Tensor = self(tokens)[:, PROMPT_MAX:-1]
        return each_next.gather(2, responses.clamp(max=EOS)[..., None])[..., 0]

    @torch.no_grad()
    def sample(self, prompts: Tensor) -> tuple[Tensor, Tensor]:
        """Returns responses up to EOS, followed by PAD, and the log-probabilities with which they were drawn."""
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
    """Makes one optimizer step on whole groups, with adjacent rows per group. Returns the KL from the reference.

    `data`: prompt, response, old_logprobs and ref_logprobs, ragged, and reward, float32 (rows,).
    """
    prompts, responses = padded(data["prompt"], PROMPT_MAX), padded(data["response"], RESPONSE_MAX)
    old, ref = padded(data["old_logprobs"], RESPONSE_MAX, 0.0), padded(data["ref_logprobs"], RESPONSE_MAX, 0.0)
    # The advantage over the other answers to the same prompt. The group replaces the critic of other methods.
    rewards = data["reward"].view(-1, group)
    advantage = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
    advantage = advantage.view(-1, 1)

    logprobs = policy.logprobs(prompts, responses)
    ratio = (logprobs - old).exp()  # 1 if this policy sampled the row; clipped, because an older policy may have
    gain = torch.min(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
    kl = (ref - logprobs).exp() - (ref - logprobs) - 1  # an unbiased estimate that is never negative
    real = responses != PAD
    loss = (kl_weight * kl - gain)[real].mean()  # mean over tokens: each token has the same weight in answers of any length
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
    optimizer.step()
    return kl[real].mean().item()


def ragged(rows: Tensor, like: Tensor) -> Tensor:
    """Returns the values where `like` is not PAD, as a jagged tensor. So padding is not sent."""
    real = like != PAD
    return torch.nested.nested_tensor_from_jagged(rows[real], F.pad(real.sum(1).cumsum(0), (1, 0)))


def padded(rows: Tensor, width: int, value: float = PAD) -> Tensor:
    """Reverses ragged(). Also accepts a dense tensor, which is what rows of one length are returned as."""
    unbound = rows.unbind()
    out = torch.full((len(unbound), width), value, dtype=rows.dtype)
    for line, row in zip(out, unbound, strict=True):
        line[: len(row)] = row
    return out
