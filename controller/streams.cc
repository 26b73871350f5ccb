#include "controller/streams.h"

#include <algorithm>
#include <new>
#include <utility>

#include <fmt/format.h>

namespace sluice::controller {

using engine::EngineLock;

Status CheckTask(const store::Partition& partition, std::string_view task) {
  if (partition.Terms().AllowsTask(task)) {
    return {};
  }
  return Status(Code::kNoTask,
                fmt::format("partition '{}' is STRICT, and '{}' is not one of its tasks",
                            partition.Name().View(), task));
}

Status CheckFields(const store::Partition& partition, std::span<const std::string> fields) {
  for (const std::string& field : fields) {
    if (!partition.Terms().AllowsField(field)) {
      return Status(Code::kNoField,
                    fmt::format("partition '{}' is STRICT, and its schema has no field '{}'",
                                partition.Name().View(), field));
    }
  }
  return {};
}

StreamWaiter::StreamWaiter(EngineLock& lock, Streams& streams, std::string_view partition,
                           Fetch wanted)
    : controller::Waiter(std::move(wanted), ++streams.arrivals_),
      streams_(streams),
      partition_(partition),
      queue_(&streams.parts_.wait_queues.Hold(
          lock, {.kind = engine::WaitKey::Kind::kPartition, .partition = partition})) {}

void StreamWaiter::Leave(EngineLock& lock) noexcept {
  engine::WaitQueues& queues = streams_.parts_.wait_queues;
  if (controller::Waiter::Waits()) {
    stream->Tasks().Leave(*this);
  }
  queues.Leave(lock, *this);
  if (queue_ != nullptr) {
    queues.Release(lock, *std::exchange(queue_, nullptr));
  }
}

void StreamWaiter::OnServed(EngineLock& lock) noexcept {
  try {
    streams_.LetIn(lock, *this);
  } catch (const std::bad_alloc&) {
    Answer(Status(Code::kOom, "no memory left for this fetch"), {});
  }
}

Streams::Streams(const Parts& parts) : parts_(parts), seeds_(parts.store.GetSeeds().visible) {
  parts_.engine.SetWaiterService(*this);
  parts_.store.AddListener(*this);
}

Stream& Streams::Of(EngineLock& lock, store::Partition& partition) {
  Stream* stream = Find(partition);
  if (stream == nullptr) {
    auto made = std::make_unique<Stream>(*this, parts_.budget, partition, seeds_.Next());
    stream = made.get();
    partition.Attach(std::move(made));
    all_.push_back(*stream);
    MarkChanged(lock, *stream);
  }
  if (const std::int64_t now_us = parts_.clock.NowUs(); !parts_.pause.On(now_us)) {
    std::int64_t rows = Controller::kStepRows;  // the housekeeper does the rest
    stream->EndLeases(now_us, rows);
    if (!stream->evict_after_pause.empty()) {
      Evict(lock, *stream, std::exchange(stream->evict_after_pause, {}));
    }
    if (stream->EvictsLater()) {
      EvictSome(lock, *stream);
    }
  }
  stream->Charge();
  return *stream;
}

// Continues to wait if the partition was removed again.
void Streams::OnTermsChanged(EngineLock& lock, Stream& stream) {
  stream.TakeTerms();
  const store::Partition& partition = stream.GetPartition();
  stream.Tasks().RefuseWaiters([&](const Fetch& fetch) {
    Status status = CheckTask(partition, fetch.task);
    return status.ok() ? CheckFields(partition, fetch.selection.fields) : status;
  });
  MarkChanged(lock, stream);
  EvictSome(lock, stream);
}

void Streams::LetIn(EngineLock& lock, StreamWaiter& waiter) {
  auto found = parts_.store.FindPartition(waiter.partition_);
  if (!found.ok() || *found == nullptr) {
    parts_.wait_queues.Join(lock, *waiter.queue_, waiter);
    return;
  }
  store::Partition& partition = **found;
  Status status = CheckTask(partition, waiter.fetch.task);
  if (status.ok()) {
    status = CheckFields(partition, waiter.fetch.selection.fields);
  }
  if (!status.ok()) {
    waiter.Answer(std::move(status), {});
    return;
  }
  Stream& stream = Of(lock, partition);
  stream.Tasks().Wait(waiter);
  waiter.stream = &stream;
  MarkChanged(lock, stream);
}

void Streams::Wait(EngineLock& lock, StreamWaiter& waiter) {
  auto partition = parts_.store.FindPartition(waiter.partition_);
  if (partition.ok() && *partition != nullptr) {
    Stream& stream = Of(lock, **partition);
    stream.Tasks().Wait(waiter);
    waiter.stream = &stream;
  } else {
    parts_.wait_queues.Join(lock, *waiter.queue_, waiter);
  }
}

void Streams::Evict(EngineLock& /*lock*/, Stream& stream, std::span<const RowIndex> rows) noexcept {
  if (parts_.pause.On(parts_.clock.NowUs())) {
    try {
      stream.evict_after_pause.insert(stream.evict_after_pause.end(), rows.begin(), rows.end());
    } catch (const std::bad_alloc&) {
      stream.EvictLater();
    }
    return;
  }
  try {
    Remove(stream, stream.Evictable(rows));
  } catch (const std::bad_alloc&) {
    stream.EvictLater();
  }
}

void Streams::EvictSome(EngineLock& /*lock*/, Stream& stream) noexcept {
  try {
    Remove(stream, stream.SomeEvictable(Controller::kStepRows));
  } catch (const std::bad_alloc&) {
    stream.EvictLater();
  }
}

void Streams::EvictLetGo(EngineLock& lock, Stream& stream) noexcept {
  constexpr std::size_t kRowsMax = Controller::kStepRows;
  for (const auto& [name, task] : stream.Tasks().Tasks()) {
    bool incomplete = false;
    const std::vector<RowIndex> rows = task->GetSteps().TakeLetGo(incomplete);
    if (incomplete || rows.size() > kRowsMax) {
      stream.EvictLater();
    }
    if (!rows.empty()) {
      Evict(lock, stream, std::span(rows).first(std::min(rows.size(), kRowsMax)));
    }
  }
}

void Streams::Remove(Stream& stream, std::span<const RowIndex> rows) {
  if (!rows.empty()) {
    const store::RowSet evicted = {
        .kind = store::RowSet::Kind::kIndexes, .keys = {}, .indexes = rows};
    const auto removed = parts_.store.ClearRows(stream.GetPartition().Name().View(), evicted);
    if (!removed.ok()) {
      stream.EvictLater();
    }
  }
}

std::int64_t Streams::EndLeases(EngineLock& lock, std::int64_t now_us) noexcept {
  if (parts_.pause.On(now_us)) {
    return parts_.pause.until_us;
  }
  if (!changed_.empty()) {
    parts_.engine.HasWork(lock);
  }
  std::int64_t next_us = Leases::kNever;
  std::int64_t rows = Controller::kStepRows;
  for (Stream& stream : all_) {
    stream.EndLeases(now_us, rows);
    next_us = std::min(next_us, stream.Tasks().NextDeadlineUs());
  }
  return next_us;
}

bool Streams::OnConnectionClosed(EngineLock& lock, std::int64_t connection) noexcept {
  std::int64_t rows = Controller::kStepRows;
  bool more = false;
  for (Stream& stream : all_) {
    const std::int64_t before = rows;
    more = stream.Tasks().EndLeasesOf(connection, rows) || more;
    if (rows < before) {
      MarkChanged(lock, stream);
    }
  }
  return more;
}

void Streams::MarkChanged(EngineLock& lock, Stream& stream) noexcept {
  if (!stream.in_changed.is_linked()) {
    changed_.push_back(stream);
    parts_.engine.HasWork(lock);
  }
}

void Streams::OnRowsChanged(store::Partition& partition,
                            std::span<const store::RowReference> rows) noexcept {
  if (Stream* const stream = Find(partition)) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (i + kPrefetchAhead < rows.size()) {
        stream->Prefetch(rows[i + kPrefetchAhead].index);
      }
      stream->Tasks().RowWritten(rows[i].index);
    }
    MarkChanged(parts_.engine.Held(), *stream);
  }
}

void Streams::OnRowsRemoved(store::Partition& partition,
                            std::span<const store::RowReference> rows) noexcept {
  if (Stream* const stream = Find(partition)) {
    for (const store::RowReference& row : rows) {
      stream->Tasks().RowGone(row.index);
    }
    MarkChanged(parts_.engine.Held(), *stream);
  }
}

bool Streams::InUse(const store::Partition& partition) const noexcept {
  Stream* const stream = Find(partition);
  return stream != nullptr && stream->Tasks().RunningLeases() > 0;
}

// The waiters continue to wait, for the next partition of this name.
void Streams::OnPartitionRemoved(store::Partition& partition) noexcept {
  Stream* const stream = Find(partition);
  if (stream == nullptr) {
    return;
  }
  EngineLock& lock = parts_.engine.Held();
  while (Waiter* const first = stream->Tasks().FirstWaiter()) {
    auto& waiter = static_cast<StreamWaiter&>(*first);
    stream->Tasks().Leave(waiter);
    waiter.stream = nullptr;
    parts_.wait_queues.Join(lock, *waiter.queue_, waiter);
  }
  stream->in_all.unlink();
  stream->in_changed.unlink();
}

void Streams::ServeWaiters(EngineLock& lock) noexcept {
  parts_.wait_queues.Serve(lock);
  const std::int64_t now_us = parts_.clock.NowUs();
  if (parts_.pause.On(now_us)) {
    return;  // changed streams stay listed until EndLeases() finds that the pause has ended
  }
  while (!changed_.empty()) {
    Stream& stream = changed_.front();
    changed_.pop_front();
    stream.Tasks().ServeWaiters(now_us);
    EvictLetGo(lock, stream);
  }
}

}  // namespace sluice::controller
