#include <algorithm>
#include <array>

#include "controller/samplers/samplers.h"

namespace sluice::controller {
namespace {

constexpr std::array<SamplerRow, 8> kSamplers = {{
    {.name = "sequential", .make = MakeSequential, .summary = "The first rows by index."},
    {.name = "group",
     .make = MakeGroup,
     .size = true,
     .needs_size = true,
     .by = true,
     .summary = "Whole groups, the lowest first: neighbours, or the rows of one tag value."},
    {.name = "ranked",
     .make = MakeSequential,
     .needs_step = true,
     .summary = "As sequential, with RANK and STEP."},
    {.name = "balanced",
     .make = MakeBalanced,
     .size = true,
     .by = true,
     .ranks = true,
     .needs_ranks = true,
     .weight = true,
     .needs_step = true,
     .summary = "Whole groups for all ranks, with sums of weights as equal as possible."},
    {.name = "random",
     .make = MakeRandom,
     .seed = true,
     .summary = "Uniform, without replacement."},
    {.name = "priority",
     .make = MakePriority,
     .weight = true,
     .needs_weight = true,
     .seed = true,
     .returns_weights = true,
     .summary = "In proportion to a tag, without replacement."},
    {.name = "budget",
     .make = MakeBudget,
     .size = true,
     .by = true,
     .ranks = true,
     .weight = true,
     .needs_weight = true,
     .tokens = true,
     .summary = "Rows or whole groups, the lowest first, up to a sum of a tag for each rank."},
    {.name = "lifo", .make = MakeLifo, .summary = "The last rows by index, the highest first."},
}};

bool SameIgnoringCase(std::string_view text, std::string_view lower) {
  return std::equal(text.begin(), text.end(), lower.begin(), lower.end(), [](char t, char l) {
    return l == (t >= 'A' && t <= 'Z' ? static_cast<char>(t - 'A' + 'a') : t);
  });
}

}  // namespace

std::span<const SamplerRow> Samplers() {
  return kSamplers;
}

const SamplerRow* FindSampler(std::string_view name) {
  const auto* const found =
      std::find_if(kSamplers.begin(), kSamplers.end(),
                   [&](const SamplerRow& row) { return SameIgnoringCase(name, row.name); });
  return found == kSamplers.end() ? nullptr : found;
}

}  // namespace sluice::controller
