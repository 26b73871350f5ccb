#include "engine/wait_queues.h"

#include <algorithm>
#include <memory>
#include <new>
#include <utility>

#include "store/partition/partition.h"

namespace sluice::engine {

using Kind = WaitKey::Kind;

namespace {

bool Fits(const Waiter::Need& need, const Waiter::Need& available) {
  return (need.rows <= 0 || need.rows <= available.rows) &&
         (need.bytes <= 0 || need.bytes <= available.bytes);
}

}  // namespace

// Serves the waiters that fit beside what is reserved for others. No waiter joins or leaves during
// the call. A waiter that needs more than `limit` can never be served: it tries once more and gets
// its error.
void WaitQueue::Offer(EngineLock& lock, Waiter::Need available,
                      const Waiter::Need& limit) noexcept {
  for (Waiter& waiter : waiters_) {
    if (!waiter.served_) {
      waiter.need_ = waiter.CurrentNeed(lock);
      const Waiter::Need& need = waiter.need_;
      if (!Fits({.rows = need.rows, .bytes = std::max(need.bytes, need.alone)}, limit)) {
        waiter.OnServed(lock);
        continue;
      }
      if (!Fits(waiter.need_, available)) {
        continue;
      }
      waiter.served_ = true;
      waiter.OnServed(lock);
    }
    available.rows -= waiter.need_.rows;
    available.bytes -= waiter.need_.bytes;
  }
}

// Serves all current waiters; a waiter that joins again waits for the next change.
void WaitQueue::ServeAll(EngineLock& lock) noexcept {
  for (std::size_t left = waiters_.size(); left > 0 && !waiters_.empty(); --left) {
    Waiter& waiter = waiters_.front();
    waiters_.pop_front();
    waiter.queue_ = nullptr;
    waiter.OnServed(lock);
  }
}

WaitQueues::WaitQueues(Engine& engine, store::Store& store, store::Budget& budget)
    : engine_(engine), store_(store), budget_(budget) {
  store_.AddListener(*this);
}

WaitQueues::~WaitQueues() {
  budget_.SetListener(nullptr);
}

WaitQueue& WaitQueues::Hold(EngineLock& /*lock*/, const WaitKey& key) {
  if (!key.partition.empty()) {
    store_.Touch(key.partition);  // if its TTL is over, it must not come back by being in use
  }
  auto it = queues_.find(key);
  if (it == queues_.end()) {
    it = queues_.insert(std::make_unique<WaitQueue>(key)).first;
  }
  WaitQueue& queue = **it;
  ++queue.holders_;
  if (HeldOf(key.kind)++ == 0 && key.kind == Kind::kMemory) {
    budget_.SetListener(this);
  }
  return queue;
}

void WaitQueues::Release(EngineLock& /*lock*/, WaitQueue& queue) noexcept {
  if (!queue.partition_.empty()) {
    store_.Touch(queue.partition_);  // a command waited until now
  }
  if (--HeldOf(queue.kind_) == 0 && queue.kind_ == Kind::kMemory) {
    budget_.SetListener(nullptr);
  }
  --queue.holders_;
  EraseIfUnused(queue);
}

void WaitQueues::EraseIfUnused(WaitQueue& queue) noexcept {
  if (queue.holders_ == 0 && serving_ != &queue) {
    assert(queue.waiters_.empty());
    queues_.erase(queues_.find(queue.Key()));
  }
}

void WaitQueues::Join(EngineLock& lock, WaitQueue& queue, Waiter& waiter,
                      Waiter::Need need) noexcept {
  assert(!waiter.Waits());
  waiter.queue_ = &queue;
  waiter.need_ = need;
  waiter.served_ = false;
  queue.waiters_.push_back(waiter);
  if (queue.HasNeeds()) {
    MarkChanged(lock, queue);  // there may be space by now
  }
}

void WaitQueues::Leave(EngineLock& lock, Waiter& waiter) noexcept {
  WaitQueue* const queue = std::exchange(waiter.queue_, nullptr);
  if (queue == nullptr) {
    return;
  }
  queue->waiters_.erase(queue->waiters_.iterator_to(waiter));
  if (queue->HasNeeds()) {
    MarkChanged(lock, *queue);
  }
}

void WaitQueues::Refused(EngineLock& lock, Waiter& waiter, Waiter::Need need) noexcept {
  waiter.need_ = need;
  waiter.served_ = false;
  MarkChanged(lock, *waiter.queue_);
}

void WaitQueues::MarkChanged(EngineLock& lock, WaitQueue& queue) noexcept {
  if (!queue.in_changed_.is_linked()) {
    changed_.push_back(queue);
    engine_.HasWork(lock);
  }
}

void WaitQueues::Notify(EngineLock& lock, const WaitKey& key) noexcept {
  if (HeldOf(key.kind) == 0) {
    return;
  }
  if (const auto it = queues_.find(key); it != queues_.end()) {
    MarkChanged(lock, **it);
  }
}

WaitQueues::Limits WaitQueues::LimitsOf(const WaitQueue& queue) noexcept {
  Limits limits;
  Waiter::Need& limit = limits.limit;
  Waiter::Need& available = limits.available;
  if (queue.kind_ == Kind::kMemory) {
    limit.bytes = budget_.Limit();
    available.bytes =
        limit.bytes == store::Budget::kNoLimit ? limit.bytes : limit.bytes - budget_.Used();
    return limits;
  }
  const auto found = store_.FindPartition(queue.partition_);
  if (found.ok() && *found != nullptr) {
    const store::Partition& partition = **found;
    const store::PartitionTerms& terms = partition.Terms();
    if (terms.rows_max) {
      limit.rows = *terms.rows_max;
      available.rows = limit.rows - static_cast<std::int64_t>(partition.Rows());
    }
    if (terms.bytes_max) {
      limit.bytes = *terms.bytes_max;
      available.bytes = limit.bytes - partition.ValueBytes();
    }
  }
  return limits;
}

void WaitQueues::Serve(EngineLock& lock) noexcept {
  if (memory_freed_.exchange(false)) {
    Notify(lock, {.kind = Kind::kMemory});
  }
  while (!changed_.empty()) {
    WaitQueue& queue = changed_.front();
    changed_.pop_front();
    serving_ = &queue;
    if (queue.HasNeeds()) {
      const Limits limits = LimitsOf(queue);
      queue.Offer(lock, limits.available, limits.limit);
    } else {
      queue.ServeAll(lock);
    }
    serving_ = nullptr;
    EraseIfUnused(queue);
  }
}

void WaitQueues::OnRowsChanged(store::Partition& partition,
                               std::span<const store::RowReference> rows) noexcept {
  if (HeldOf(Kind::kRow) == 0) {
    return;
  }
  EngineLock& lock = engine_.Held();
  const std::string_view name = partition.Name().View();
  for (const store::RowReference& row : rows) {
    const std::string_view key = row.segment->At(row.offset).key.View();
    Notify(lock, {.kind = Kind::kRow, .partition = name, .row_key = key});
    Notify(lock, {.kind = Kind::kRow, .partition = name, .row = row.index});
  }
}

void WaitQueues::OnNameChanged(std::string_view name) noexcept {
  if (HeldOf(Kind::kPartition) + HeldOf(Kind::kLimits) > 0) {
    EngineLock& lock = engine_.Held();
    Notify(lock, {.kind = Kind::kPartition, .partition = name});
    Notify(lock, {.kind = Kind::kLimits, .partition = name});
  }
}

// Full partitions were removed; a waiter cannot wait for the removal of their rows.
void WaitQueues::OnAllRemoved(store::Store& /*before*/) noexcept {
  EngineLock& lock = engine_.Held();
  for (const auto& queue : queues_) {
    if (queue->kind_ == Kind::kLimits) {
      MarkChanged(lock, *queue);
    }
  }
}

bool WaitQueues::InUse(const store::Partition& partition) const noexcept {
  const std::string_view name = partition.Name().View();
  for (const Kind kind : {Kind::kLimits, Kind::kPartition, Kind::kRow}) {
    const WaitKey first = {
        .kind = kind, .partition = name, .row = std::numeric_limits<RowIndex>::min()};
    const auto it = Holders(kind) > 0 ? queues_.lower_bound(first) : queues_.end();
    if (it != queues_.end() && (*it)->kind_ == kind && (*it)->partition_ == name) {
      return true;
    }
  }
  return false;
}

void WaitQueues::OnMemoryFreed() noexcept {
  if (memory_freed_.exchange(true)) {
    return;
  }
  engine_.HasWorkSoon();
  try {
    serve_soon_();
  } catch (const std::bad_alloc&) {
  }
}

}  // namespace sluice::engine
