// Store: names of both kinds.
#include <algorithm>
#include <utility>

#include "store/recorder.h"
#include "store/store_tables.h"

namespace sluice::store {

Status WrongType() {
  return Status(Code::kWrongType, "Operation against a key holding the wrong kind of value");
}

bool Store::IsIdle(Partition& partition, std::int64_t now_ms) const noexcept {
  const std::optional<std::int64_t>& ttl_ms = partition.Terms().ttl_ms;
  if (!ttl_ms) {
    return false;
  }
  if (std::any_of(listeners_.begin(), listeners_.end(),
                  [&](const Listener* listener) { return listener->InUse(partition); })) {
    partition.Touch(now_ms);
  }
  return now_ms - partition.TouchedMs() > *ttl_ms;
}

bool Store::HasExpired(const Name& name, std::int64_t now_ms) const noexcept {
  if (replays_) {
    return false;
  }
  return name.over || name.expires_ms < now_ms ||
         (name.partition != nullptr && IsIdle(*name.partition, now_ms));
}

Name* Store::Find(std::string_view name) noexcept {
  Name* const found = tables_->names.Find(name);
  if (found == nullptr || (found->expires_ms == kNoExpiry && found->partition == nullptr)) {
    return found;
  }
  const std::int64_t now_ms = NowMs();
  if (HasExpired(*found, now_ms)) {
    if (now_ms >= keep_expired_until_ms_) {
      Expire(*found);
    } else if (!found->over) {  // nothing brings it back, neither a use that begins now nor the
                                // clock
      found->over = true;
      Changed(name);
    }
    return nullptr;
  }
  if (found->partition != nullptr) {
    found->partition->Touch(now_ms);
  }
  return found;
}

Name* Store::FindToWrite(std::string_view name) noexcept {
  Name* const found = Find(name);
  if (Name* const kept = found == nullptr ? tables_->names.Find(name) : nullptr; kept != nullptr) {
    Expire(*kept);
  }
  return found;
}

Result<Name*> Store::Insert(std::string_view name, std::unique_ptr<Partition> partition) {
  auto made = std::make_unique<Name>(partition == nullptr ? Text(name) : partition->Name());
  made->partition = std::move(partition);
  const Text kept = made->name;  // keeps the key in `partitions` alive on failure
  const std::int64_t bytes = NameBytes(*made);
  if (!memory_.GetBudget().TryCharge(bytes)) {
    return OutOfMemory();
  }
  try {
    if (made->partition != nullptr) {
      tables_->partitions.emplace(made->name.View(), made.get());
    }
    return tables_->names.Add(std::move(made));
  } catch (...) {
    tables_->partitions.erase(kept.View());
    memory_.GetBudget().Release(bytes);
    throw;
  }
}

std::unique_ptr<Name> Store::Unlink(Name& name) noexcept {
  PutExpiry(name, kNoExpiry);
  if (name.partition != nullptr) {
    for (Listener* const listener : listeners_) {
      listener->OnPartitionRemoved(*name.partition);
    }
    tables_->idlers.erase(&name);
    tables_->partitions.erase(name.name.View());
  }
  return tables_->names.Remove(name);
}

void Store::Expire(Name& name) noexcept {
  ++expired_names_;
  std::unique_ptr<Name> gone = Unlink(name);
  RecordRemove(gone->name.View());
  if (!gone->over) {
    Changed(gone->name.View());
  }
  if (gone->partition == nullptr) {
    RemovedNames(memory_).Add(std::move(gone));
  } else {
    tables_->expired.Add(std::move(gone));  // deferred destruction: it may have many rows
  }
}

void Store::RecordRemove(std::string_view name) noexcept {
  if (recorder_ != nullptr) {
    recorder_->OnRemove(name);
  }
}

std::optional<std::int64_t> Store::TouchedMs(std::string_view partition) const {
  const auto it = tables_->partitions.find(partition);
  return it == tables_->partitions.end() ? std::nullopt
                                         : std::optional(it->second->partition->TouchedMs());
}

NameKind Store::KindOf(std::string_view name) {
  const Name* const found = Find(name);
  if (found == nullptr) {
    return NameKind::kNone;
  }
  return found->partition == nullptr ? NameKind::kString : NameKind::kPartition;
}

bool Store::Remove(std::string_view name, RemovedNames& removed) noexcept {
  Name* const found = Find(name);
  if (found == nullptr) {
    return false;
  }
  removed.Add(Unlink(*found));
  RecordRemove(name);
  Changed(name);
  return true;
}

std::optional<std::int64_t> Store::ExpiryOf(std::string_view name) {
  const Name* const found = Find(name);
  return found == nullptr ? std::nullopt : std::optional(found->expires_ms);
}

void Store::SetExpiry(std::string_view name, std::int64_t expires_ms) noexcept {
  if (Name* const found = Find(name); found != nullptr) {
    PutExpiry(*found, expires_ms);
    if (recorder_ != nullptr) {
      recorder_->OnSetExpiry(name, expires_ms);
    }
    Changed(name);
  }
}

void Store::PutExpiry(Name& name, std::int64_t expires_ms) noexcept {
  if (name.expires_ms != kNoExpiry) {
    tables_->expiries.erase(tables_->expiries.iterator_to(name));
    tables_->expiry_sum -= static_cast<std::uint64_t>(name.expires_ms);
  }
  name.expires_ms = expires_ms;
  if (expires_ms != kNoExpiry) {
    tables_->expiries.insert(name);
    tables_->expiry_sum += static_cast<std::uint64_t>(expires_ms);
  }
}

bool Store::RemoveExpired(std::size_t count, RemovedNames& removed) noexcept {
  const std::int64_t now_ms = NowMs();
  if (now_ms < keep_expired_until_ms_) {
    return true;
  }
  ExpiryIndex& expiries = tables_->expiries;
  for (; count > 0 && !expiries.empty() && HasExpired(*expiries.begin(), now_ms); --count) {
    Expire(*expiries.begin());
  }
  auto& idlers = tables_->idlers;
  for (auto it = idlers.begin(); it != idlers.end();) {
    Name& name = **it;
    ++it;
    if (HasExpired(name, now_ms)) {
      Expire(name);
    }
  }
  removed.Take(tables_->expired);
  return expiries.empty() || !HasExpired(*expiries.begin(), now_ms);
}

void Store::EndReplay() noexcept {
  replays_ = false;
  for (Name* const name : tables_->idlers) {
    name->partition->Touch(NowMs());
  }
}

std::size_t Store::Expiries() const {
  return tables_->expiries.size();
}

std::int64_t Store::AverageTtlMs() const {
  const std::size_t count = Expiries();
  if (count == 0) {
    return 0;
  }
  const auto average = static_cast<std::int64_t>(tables_->expiry_sum / count);
  return std::max<std::int64_t>(average - NowMs(), 0);
}

std::optional<std::int64_t> Store::BytesOf(std::string_view name) {
  const Name* const found = Find(name);
  if (found == nullptr) {
    return std::nullopt;
  }
  const Blob& blob = found->string.blob;
  const std::int64_t bytes =
      found->partition != nullptr
          ? found->partition->Bytes()
          : static_cast<std::int64_t>(blob.IsNull() ? 0 : Arena::RunBytes(blob.size()));
  return NameBytes(*found) + bytes;
}

void Store::ListNames(std::uint64_t from, std::size_t count, NamePage& page) const {
  const std::int64_t now_ms = NowMs();
  std::uint64_t last = NameTable::kEnd;  // place of the last name added
  page.next = NameTable::kEnd;
  tables_->names.Walk(from, [&](const Name& name) {
    if (count == 0 && name.place != last) {
      page.next = name.place;
      return false;
    }
    last = name.place;
    count -= count > 0 ? 1 : 0;
    if (!HasExpired(name, now_ms)) {
      page.names.push_back(
          {.name = name.name,
           .kind = name.partition == nullptr ? NameKind::kString : NameKind::kPartition});
    }
    return true;
  });
}

Text Store::RandomName() {
  constexpr int kTries = 100;  // as in Redis: all names may have expired and be kept
  for (int i = 0; i < kTries; ++i) {
    random_ = random_ * 6364136223846793005U + 1442695040888963407U;  // Knuth's MMIX
    const std::uint64_t mixed = random_ ^ (random_ >> 29);
    Name* const name = tables_->names.Pick(mixed);
    if (name == nullptr || Find(name->name.View()) != nullptr) {
      return name == nullptr ? Text() : name->name;
    }
  }
  return {};
}

std::size_t Store::Names() const {
  return tables_->names.size();
}

std::size_t Store::Partitions() const {
  return tables_->partitions.size();
}

}  // namespace sluice::store
