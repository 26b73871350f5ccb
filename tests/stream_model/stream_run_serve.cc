// StreamRun: what must have happened to those that wait, after each command.
#include <utility>

#include "tests/stream_model/stream_run.h"

namespace sluice::tests {

void StreamRun::Settle() {
  while (ServeFetch() || EvictOnce() || ServeWrite()) {
  }
  for (const std::size_t number : InOrderOfArrival()) {
    if (!IsDoomed(number) && !TimeIsUp(*clients_[number].waiting)) {
      ExpectToWait(number);
    }
  }
  if (const auto gone = std::exchange(doomed_, std::nullopt)) {
    ++counts_["goes before it is told"];
    const FetchRequest request = *clients_[gone->client].waiting->command.fetch;
    model_.GiveBack(request, gone->plan, gone->lease);
    Disconnect(gone->client);
    ReleaseHeld(request.partition, gone->held);
  }
}

// Those that wait for a partition are let in once it is there, unless it is STRICT.
void StreamRun::Admit() {
  for (const std::size_t number : InOrderOfArrival()) {
    Waiting& waiting = *clients_[number].waiting;
    if (!waiting.command.fetch) {
      continue;
    }
    const FetchRequest& request = *waiting.command.fetch;
    const auto found = model_.partitions.find(request.partition);
    if (found != model_.partitions.end() && found->second.number != waiting.admitted &&
        found->second.Forbids(request.task, request.fields).empty()) {
      waiting.admitted = found->second.number;
      model_.NoteFetch(request);
    }
  }
}

// Rows that fetches have consumed which waited go when their clients are answered, and that is when
// all have been served that could be.
bool StreamRun::EvictOnce() {
  if (to_evict_.empty()) {
    return false;
  }
  const ToEvict next = std::move(to_evict_.front());
  to_evict_.pop_front();
  const auto found = model_.partitions.find(next.partition);
  if (found != model_.partitions.end() && found->second.number == next.number) {
    ReleaseHeld(next.partition, next.rows);
  }
  return true;
}

// The replies with these rows have been taken, or never will be.
void StreamRun::ReleaseHeld(const std::string& name, const Indexes& rows) {
  for (const Index row : rows) {
    std::multiset<Index>& held = model_.partitions[name].held;
    held.erase(held.find(row));
  }
  if (!rows.empty()) {
    model_.AutoEvict(name, rows);
  }
}

// Serves the first that can be served, as the command does that makes it possible.
bool StreamRun::ServeFetch() {
  Admit();
  for (const std::size_t number : InOrderOfArrival()) {
    const Waiting& waiting = *clients_[number].waiting;
    if (!waiting.command.fetch || IsDoomed(number) || IsToWait(waiting.command, false)) {
      continue;
    }
    if (doomed_ || !Chance(5) || !Doom(number)) {
      Answer(number, false);
    }
    return true;
  }
  return false;
}

// Those that wait for room try by themselves, in order of arrival.
bool StreamRun::ServeWrite() {
  for (const std::size_t number : InOrderOfArrival()) {
    const Waiting& waiting = *clients_[number].waiting;
    if (waiting.command.fetch || TimeIsUp(waiting)) {
      continue;
    }
    if (!IsToWait(waiting.command, false)) {
      Answer(number, false);
      return true;
    }
    ExpectToWait(number);
  }
  return false;
}

void StreamRun::ExpectToWait(std::size_t number) {
  const std::string output = clients_[number].connection->Resume();
  if (!output.empty()) {
    log_.Note(Who(number), clients_[number].waiting->command.words, output);
    log_.Fail("it was to wait on");
  }
}

// It is answered, and will go before it is told. False where it must be told, since the model
// cannot know what it got.
bool StreamRun::Doom(std::size_t number) {
  const FetchRequest& request = *clients_[number].waiting->command.fetch;
  const Plan plan = model_.PlanFetch(request, false);
  if (plan.known_step || request.sampler.Random()) {
    return false;
  }
  doomed_ = {.client = number, .plan = plan, .lease = {}};
  ledger_.NotTold(request);
  if (plan.kind == Plan::Kind::kRows) {
    doomed_->lease = model_.TakeFetch(request, plan, plan.rows, static_cast<int>(number));
    if (!request.lease_ms && !request.keep) {
      doomed_->held = plan.rows;
      model_.partitions[request.partition].held.insert(plan.rows.begin(), plan.rows.end());
    }
  }
  return true;
}

}  // namespace sluice::tests
