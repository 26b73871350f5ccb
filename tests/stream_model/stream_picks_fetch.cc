// StreamPicks: fetches.
#include "tests/stream_model/stream_picks.h"

namespace sluice::tests {
namespace {

constexpr std::size_t kStepsToAskAgain = 8;

}  // namespace

SamplerSpec StreamPicks::PickSampler() {
  SamplerSpec sampler;
  switch (Pick(18)) {
    case 0:
    case 1:
    case 2:
      sampler.name = "group";
      break;
    case 3:
    case 4:
      sampler.name = "balanced";
      sampler.ranks = 2 + Pick(2);
      sampler.weight = Chance(75) ? "w" : "";
      break;
    case 5:
      sampler.name = "ranked";
      break;
    case 6:
    case 7:
      sampler.name = "lifo";
      break;
    case 8:
    case 9:
      sampler.name = "random";
      break;
    case 10:
    case 11:
      sampler.name = "priority";
      sampler.weight = "w";
      break;
    case 12:
    case 13:
      sampler.name = "budget";
      sampler.weight = "w";
      sampler.tokens = Between(1, 12);
      sampler.ranks = Chance(40) ? 1 + Pick(3) : 1;
      sampler.underfill = Chance(30);
      break;
    default:
      break;
  }
  if (sampler.Grouped()) {
    sampler.size = Pick(Chance(70) ? 2 : 3) + 1;
    sampler.by = Chance(60) ? "g" : "";
  }
  if (sampler.Random() && Chance(60)) {
    sampler.seed = Between(1, 2);
  }
  return sampler;
}

// The options that may differ between calls of one step.
void StreamPicks::PickWaysToTake(FetchRequest& request) {
  static const std::vector<std::string> kFormats = {"rows", "columns", "values"};
  request.block_ms = Chance(45) ? std::optional(Between(0, 12) * 10) : std::nullopt;
  request.lease_ms = !request.keep && Chance(45) ? std::optional(Between(1, 12) * 5) : std::nullopt;
  request.bound = request.lease_ms && Chance(30);
  request.format = Chance(25) ? OneOf(kFormats) : "";
}

FetchRequest StreamPicks::PickNewFetch() {
  FetchRequest request{.partition = PickPartition(),
                       .task = PickTask(),
                       .fields = PickFields(),
                       .sampler = PickSampler()};
  request.count = (Pick(Chance(70) ? 2 : 4) + 1) * request.sampler.size;
  if (Chance(40)) {
    request.min = Pick(request.count) + 1;
  }
  if (Chance(12)) {
    request.where = PickWhere();
  }
  request.keep = Chance(request.sampler.seed ? 50 : 10);
  if (request.sampler.NeedsStep() || Chance(20)) {
    request.step = {.rank = Between(0, static_cast<std::int64_t>(request.sampler.ranks) - 1),
                    .step = next_step_++};
  }
  return request;
}

// A step that any of its ranks has asked for, usually with the same options.
FetchRequest StreamPicks::PickStepAgain() {
  FetchRequest request = asked_[Pick(asked_.size())];
  request.step->rank = Between(0, static_cast<std::int64_t>(request.sampler.ranks) - 1);
  switch (Pick(20)) {
    case 0:
      request.count += request.sampler.size;
      break;
    case 1:
      request.sampler = {.name = request.sampler.name == "lifo" ? "ranked" : "lifo"};
      request.step->rank = 0;
      break;
    case 2:
    case 3:
      request.fields = PickFields();
      break;
    case 4:
      request.keep = !request.keep;
      break;
    default:
      break;
  }
  return request;
}

FetchRequest StreamPicks::PickFetch() {
  FetchRequest request = !asked_.empty() && Chance(30) ? PickStepAgain() : PickNewFetch();
  PickWaysToTake(request);
  if (request.step) {
    asked_.push_back(request);
    if (asked_.size() > kStepsToAskAgain) {
      asked_.pop_front();
    }
  }
  if (Chance(2)) {
    Spoil(request);
  }
  return request;
}

// Turns the request into one that is always an error.
void StreamPicks::Spoil(FetchRequest& request) {
  switch (Pick(6)) {
    case 0:
      request.min = request.count + 1;
      break;
    case 1:
      request.lease_ms = 0;
      break;
    case 2:
      request.lease_ms = std::nullopt;
      request.bound = true;
      break;
    case 3:
      request.keep = true;
      request.lease_ms = 10;
      break;
    case 4:
      request.sampler = {.name = "ranked"};
      request.step = std::nullopt;
      break;
    default:
      request.count = 0;
  }
}

}  // namespace sluice::tests
