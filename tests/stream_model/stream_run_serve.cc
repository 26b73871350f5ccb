// StreamRun: the waiters that must have been served, after each command.
#include <utility>

#include "tests/stream_model/stream_run.h"

namespace sluice::tests {

void StreamRun::ServeWaiters() {
  while (ServeFetch() || EvictOnce() || ServeWrite()) {
  }
  for (const std::size_t number : InOrderOfArrival()) {
    if (!IsDoomed(number) && !TimeIsUp(*clients_[number].waiting)) {
      ExpectToWait(number);
    }
  }
  if (const auto gone = std::exchange(doomed_, std::nullopt)) {
    ++counts_["disconnects before its reply"];
    const FetchRequest request = *clients_[gone->client].waiting->command.fetch;
    model_.GiveBack(request, gone->plan, gone->lease);
    ReleaseHeld(request.partition, gone->held);
    Disconnect(gone->client);
  }
}

// Admits the waiters for a partition once it exists, unless it is STRICT.
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

// Rows consumed by blocked fetches are evicted when their clients are answered, which is after all
// waiters that can be served have been served.
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

// The replies with these rows have been received, or never will be.
void StreamRun::ReleaseHeld(const std::string& name, const Indexes& rows) {
  for (const Index row : rows) {
    std::multiset<Index>& held = model_.partitions[name].held;
    held.erase(held.find(row));
  }
  model_.AutoEvict(name);
}

// Serves the first waiter that can be served, as the command does that makes it possible.
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

// Waiters for space retry by themselves, in order of arrival.
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
    log_.Fail("must still be blocked");
  }
}

// It is answered, and disconnects before it receives the reply. Returns false if it must receive
// the reply, since the model cannot know the rows otherwise.
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
