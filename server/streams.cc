#include "server/streams.h"

#include <limits>
#include <new>
#include <utility>

#include <fmt/format.h>

namespace sluice::server {

store::Status CheckTask(const store::Partition& partition, std::string_view task) {
  if (partition.Terms().AllowsTask(task)) {
    return {};
  }
  return store::Status(store::Code::kNoTask,
                       fmt::format("partition '{}' is STRICT, and '{}' is not one of its tasks",
                                   partition.Name().View(), task));
}

store::Status CheckFields(const store::Partition& partition, std::span<const std::string> fields) {
  for (const std::string& field : fields) {
    if (!partition.Terms().AllowsField(field)) {
      return store::Status(store::Code::kNoField,
                           fmt::format("partition '{}' is STRICT, and its schema has no field '{}'",
                                       partition.Name().View(), field));
    }
  }
  return {};
}

Streams::Streams(store::Store& store, Engine& engine, const Clock& clock, store::Budget& budget)
    : store_(store), engine_(engine), clock_(clock), budget_(budget), seeds_(store.Seed()) {
  engine_.SetSettler(*this);
  store_.AddListener(*this);
}

Stream& Streams::Of(store::Partition& partition) {
  Stream* stream = Find(partition);
  if (stream == nullptr) {
    auto made = std::make_unique<Stream>(*this, budget_, partition, seeds_.Next());
    stream = made.get();
    partition.SetFollower(std::move(made));
    all_.push_back(*stream);
  }
  std::int64_t rows = controller::Controller::kStepRows;  // of more the housekeeper does the rest
  stream->EndLeases(clock_.NowUs(), rows);
  if (stream->evicts_later) {
    EvictSome(*stream);
  }
  stream->Charge();
  return *stream;
}

Streams::Place& Streams::Hold(std::string_view name) {
  auto it = places_.find(name);
  if (it == places_.end()) {
    it = places_.try_emplace(std::string(name)).first;
    it->second.name = name;
  }
  ++it->second.holders;
  return it->second;
}

void Streams::LetGo(Place& place) noexcept {
  if (--place.holders == 0) {
    places_.erase(places_.find(place.name));
  }
}

void Streams::Wait(Place& place, StreamWaiter& waiter) {
  auto partition = store_.FindPartition(place.name);
  if (partition.ok() && *partition != nullptr) {
    Stream& stream = Of(**partition);
    stream.Tasks().Wait(waiter);
    waiter.stream = &stream;
  } else {
    place.homeless.push_back(waiter);
  }
}

void Streams::Leave(StreamWaiter& waiter) noexcept {
  if (waiter.homeless.is_linked()) {
    waiter.homeless.unlink();
  } else if (waiter.Waits()) {
    waiter.stream->GetPartition().Touch(NowMs());  // somebody waited until now
    waiter.stream->Tasks().Leave(waiter);
  }
}

// Of the row that it writes; 0: there is none, or it writes many.
store::Revision Streams::RevisionOf(store::Partition* partition,
                                    const FullWriter& writer) noexcept {
  if (partition == nullptr || writer.key.empty()) {
    return 0;
  }
  const store::RowPlace place = partition->Locate(writer.key);
  return place.segment == nullptr ? 0 : place.segment->At(place.offset).revision;
}

void Streams::WaitForRoom(Place& place, FullWriter& writer) noexcept {
  auto partition = store_.FindPartition(place.name);
  writer.seen = RevisionOf(partition.ok() ? *partition : nullptr, writer);
  if (std::exchange(writer.woken, false)) {
    place.changed = places_changed_ = true;  // what it was woken for is free for the next
    engine_.Unsettle();
  }
  if (!writer.hook.is_linked()) {
    place.writers.push_back(writer);
  }
}

void Streams::LeaveRoom(Place& place, FullWriter& writer) noexcept {
  writer.hook.unlink();
  place.changed = places_changed_ = true;  // what it was woken for is free for the next
  engine_.Unsettle();
}

void Streams::Evict(Stream& stream, std::span<const store::RowIndex> rows) noexcept {
  try {
    Remove(stream, stream.Evictable(rows));
  } catch (const std::bad_alloc&) {
    stream.evicts_later = true;
  }
}

void Streams::EvictSome(Stream& stream) noexcept {
  stream.evicts_later = false;
  try {
    Remove(stream, stream.SomeEvictable(controller::Controller::kStepRows));
  } catch (const std::bad_alloc&) {
    stream.evicts_later = true;
  }
}

void Streams::Remove(Stream& stream, std::span<const store::RowIndex> rows) {
  if (!rows.empty()) {
    const store::RowSet evicted = {
        .kind = store::RowSet::Kind::kIndexes, .keys = {}, .indexes = rows};
    const auto removed = store_.ClearRows(stream.GetPartition().Name().View(), evicted);
    stream.evicts_later = stream.evicts_later || !removed.ok();
  }
}

std::int64_t Streams::EndLeases(std::int64_t now_us) noexcept {
  std::int64_t next_us = controller::Leases::kNever;
  std::int64_t rows = controller::Controller::kStepRows;
  for (Stream& stream : all_) {
    stream.EndLeases(now_us, rows);
    next_us = std::min(next_us, stream.Tasks().NextDeadlineUs());
  }
  return next_us;
}

bool Streams::ClientGone(std::int64_t client) noexcept {
  std::int64_t rows = controller::Controller::kStepRows;
  bool more = false;
  for (Stream& stream : all_) {
    const std::int64_t before = rows;
    more = stream.Tasks().EndLeasesOf(client, rows) || more;
    if (rows < before) {
      MakeUnsettled(stream);
    }
  }
  return more;
}

void Streams::MakeUnsettled(Stream& stream) noexcept {
  if (!stream.in_unsettled.is_linked()) {
    unsettled_.push_back(stream);
    engine_.Unsettle();
  }
}

// Those that wait go on waiting, for the next partition of this name.
void Streams::PartitionGoes(Stream& stream) noexcept {
  const auto place = places_.find(stream.GetPartition().Name().View());
  while (controller::Waiter* const waiter = stream.Tasks().FirstWaiter()) {
    stream.Tasks().Leave(*waiter);
    auto& homeless = static_cast<StreamWaiter&>(*waiter);
    homeless.stream = nullptr;
    place->second.homeless.push_back(homeless);
  }
  stream.in_all.unlink();
  stream.in_unsettled.unlink();
}

void Streams::NameChanged(std::string_view name) noexcept {
  if (places_.empty()) {
    return;
  }
  if (const auto it = places_.find(name); it != places_.end()) {
    it->second.changed = places_changed_ = true;
    engine_.Unsettle();
  }
}

void Streams::AllGoes(store::Store& /*before*/) noexcept {
  for (auto& [name, place] : places_) {
    place.changed = places_changed_ = true;
    engine_.Unsettle();
  }
}

void Streams::Settle() noexcept {
  if (std::exchange(places_changed_, false)) {
    for (auto& [name, place] : places_) {
      if (std::exchange(place.changed, false)) {
        SettlePlace(place);
      }
    }
  }
  const std::int64_t now_us = clock_.NowUs();
  while (!unsettled_.empty()) {
    Stream& stream = unsettled_.front();
    unsettled_.pop_front();
    stream.Tasks().Settle(now_us);
  }
}

void Streams::SettlePlace(Place& place) noexcept {
  auto found = store_.FindPartition(place.name);
  store::Partition* const partition = found.ok() ? *found : nullptr;
  if (partition != nullptr && !place.homeless.empty()) {
    try {
      Stream& stream = Of(*partition);
      while (!place.homeless.empty()) {
        LetIn(stream, place.homeless.front());
      }
      MakeUnsettled(stream);
    } catch (const std::bad_alloc&) {
      place.changed = places_changed_ = true;  // at the next change
    }
  }
  WakeWriters(place, partition);
}

// Its partition was made. Errors: std::bad_alloc; it waits on then.
void Streams::LetIn(Stream& stream, StreamWaiter& waiter) {
  store::Status status = CheckTask(stream.GetPartition(), waiter.fetch.task);
  if (status.ok()) {
    status = CheckFields(stream.GetPartition(), waiter.fetch.selection.fields);
  }
  if (status.ok()) {
    stream.Tasks().Wait(waiter);
    waiter.stream = &stream;
  }
  waiter.homeless.unlink();
  if (!status.ok()) {
    waiter.Answer(std::move(status), {});
  }
}

// Those that there is room for, beside those that were woken and have not tried yet.
void Streams::WakeWriters(Place& place, store::Partition* partition) noexcept {
  constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();
  std::int64_t rows = kNoLimit;
  std::int64_t bytes = kNoLimit;
  if (partition != nullptr) {
    const store::PartitionTerms& terms = partition->Terms();
    rows = terms.rows_max ? *terms.rows_max - static_cast<std::int64_t>(partition->Rows()) : rows;
    bytes = terms.bytes_max ? *terms.bytes_max - partition->ValueBytes() : bytes;
  }
  for (FullWriter& writer : place.writers) {
    if (const store::Revision now = RevisionOf(partition, writer); now != writer.seen) {
      writer.seen = now;
      writer.wants = {};  // its row was made or written meanwhile: who knows what it needs now
    }
    const bool fits = (writer.wants.rows <= rows || writer.wants.rows == 0) &&
                      (writer.wants.bytes <= bytes || writer.wants.bytes <= 0);
    if (!writer.woken && fits) {
      writer.woken = true;
      writer.waker->Wake();
    }
    if (writer.woken) {
      rows -= writer.wants.rows;
      bytes -= writer.wants.bytes;
    }
  }
}

}  // namespace sluice::server
