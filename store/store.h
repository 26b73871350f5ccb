// Store: the server's named things: partitions of rows, and byte strings as Redis has them.
//
// A name whose time is up is gone for every call; the next that meets it, or RemoveExpired(),
// removes it.
//
// Every call is atomic: an error means that nothing changed. A write has two halves: reserve, which
// may fail (checks, memory, keys), and apply, which cannot (noexcept); std::bad_alloc in the first
// half leaves no trace either. Nothing is copied under a call but values under kSmallBytes.
//
// Thread safety: one caller at a time: the holder of the engine lock (engine/engine.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "store/memory/blob.h"
#include "store/name_table.h"
#include "store/partition/deferred_destruction.h"
#include "store/partition/listener.h"
#include "store/partition/rows.h"
#include "store/partition/snapshot.h"
#include "store/removed_names.h"

namespace sluice::store {

class Partition;
struct PartitionTerms;

// One string to be written.
struct StringWrite {
  static constexpr std::int64_t kKeepExpiry = -1;

  std::string_view key;
  StringValue value;
  std::int64_t expires_ms = kNoExpiry;  // or kKeepExpiry
};

// Which writes of strings are carried out.
enum class SetIf : std::uint8_t {
  kAlways,
  kMissing,  // none of the names exists
  kPresent,  // all of them do
};

enum class NameKind : std::uint8_t { kNone, kString, kPartition };

// Some names, in the order of their places (see NameTable).
struct NamePage {
  struct Listed {
    Text name;
    NameKind kind = NameKind::kNone;
  };
  std::vector<Listed> names;
  std::uint64_t next = 0;  // where the next page begins; NameTable::kEnd: nowhere
};

class Store {
 public:
  // `memory` and `clock` are borrowed and must outlive the store; `seed` for all that is random.
  Store(Memory& memory, const WallClock& clock, std::uint64_t seed);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  [[nodiscard]] std::uint64_t Seed() const { return seed_; }

  // Notified of every change from now on. Borrowed; must outlive the store.
  void AddListener(Listener& listener) { listeners_.push_back(&listener); }

  // KV.PUT, KV.MPUT. A missing partition is made, except for RowSet::kIndexes (kNoPartition).
  // `result` is reset first. REQUIRES: names checked (CheckName), sources checked (CheckColumn),
  // chunk slots / dict / tags agree with the number of rows, no key, index or field twice. Errors:
  // kWrongType, kNoPartition, kNoKey, kDType "field 'x' of partition 'p' is int64, not float32",
  //         kNoField and kNotReady (of `same`), kBadTag, kError (too many fields), kOom;
  //         std::bad_alloc.
  Status Write(const WriteRequest& request, WriteResult& result);

  // PARTITION.CREATE: makes it where there is none. Errors: kWrongType, kOom, kDType (see
  // Partition::SetTerms); std::bad_alloc; nothing changed then.
  Status SetTerms(std::string_view partition, PartitionTerms terms);
  // When a command named it last; nullopt: there is none. Does not count as naming it.
  [[nodiscard]] std::optional<std::int64_t> TouchedMs(std::string_view partition) const;
  // Null where there is none. Valid until it is removed; never longer than a hold of the engine.
  // Errors: kWrongType.
  [[nodiscard]] Result<Partition*> FindPartition(std::string_view name);

  // KV.MGET. `result` is reset first.
  // Errors, in this order: kWrongType, kNoPartition, kNoKey, kNoField, kNotReady.
  Status Read(const ReadRequest& request, ReadResult& result);

  // KV.TAGS: the tags in the order asked; null: no such row; "{}" where none was written.
  // Errors: kWrongType, kNoPartition.
  Status Tags(std::string_view partition, const RowSet& rows, std::vector<Text>& tags);

  // KV.LIST, KV.SCAN, KV.CHANGES, and WHERE: rows to look at without the engine. `snapshot` is new.
  // Errors: kWrongType; std::bad_alloc.
  Status TakeSnapshot(const SnapshotRequest& request, Snapshot& snapshot);
  // KV.LIST without arguments: names and numbers of rows, by name.
  void ListPartitions(std::vector<std::pair<Text, std::size_t>>& partitions) const;
  // KV.FIELDS without rows: one entry a field, in the order in which they were made.
  // Errors: kWrongType, kNoPartition; std::bad_alloc.
  Status Summarize(std::string_view partition, std::vector<FieldSummary>& fields);
  // KV.WAIT: see Partition. A partition that does not exist has no row. Errors: kWrongType.
  Result<std::size_t> FirstUnready(std::string_view partition, const RowSet& rows, std::size_t from,
                                   std::span<const std::string_view> fields);
  // KV.APPEND: what is to grow; it is replaced by Write(). Errors: kWrongType, kDType.
  Result<GrowingCell> CellToGrow(const AppendRequest& request);
  // The row's key; null where there is no such row.
  [[nodiscard]] Text KeyOf(std::string_view partition, RowIndex index);

  // KV.CLEAR: how many rows or cells were removed; what is not there counts 0.
  // Errors: kWrongType, kOom; std::bad_alloc.
  Result<std::int64_t> ClearRows(std::string_view partition, const RowSet& rows);
  Result<std::int64_t> ClearCells(std::string_view partition, const RowSet& rows,
                                  std::span<const std::string_view> fields);
  // Null remains where there is none. Errors: kWrongType.
  struct RemovedPartition {
    std::int64_t rows = 0;
    std::unique_ptr<DeferredDestruction> remains;
  };
  Result<RemovedPartition> RemovePartition(std::string_view partition);

  // All of them or, where `condition` says so (false), none; of two with the same key the later
  // stays. Keys are any bytes. Values are moved from on success.
  // Errors: kWrongType where a key is a partition; kOom; std::bad_alloc.
  Result<bool> SetStrings(std::span<StringWrite> writes, SetIf condition = SetIf::kAlways);
  // Nullopt where there is none. Errors: kWrongType.
  Result<std::optional<StringValue>> GetString(std::string_view key);

  // What follows is about names of both kinds.
  [[nodiscard]] NameKind KindOf(std::string_view name);
  // False where there is none.
  bool Remove(std::string_view name, RemovedNames& removed) noexcept;
  // When it expires; kNoExpiry: never; nullopt: there is no such name.
  [[nodiscard]] std::optional<std::int64_t> ExpiryOf(std::string_view name);
  // kNoExpiry: never. No effect where there is no such name.
  void SetExpiry(std::string_view name, std::int64_t expires_ms) noexcept;
  // Bytes that are there for its sake; what is shared with others included. Nullopt: no such name.
  [[nodiscard]] std::optional<std::int64_t> BytesOf(std::string_view name);
  // Adds at most `count` names, from a place on, to `page`, and some more that share the last
  // place. Errors: std::bad_alloc.
  void ListNames(std::uint64_t from, std::size_t count, NamePage& page) const;
  // Null where there is none.
  [[nodiscard]] Text RandomName();

  // Removes at most `count` names whose time is up; what is not given back yet, with what was met
  // by others, goes to `removed`. False: there are more.
  bool RemoveExpired(std::size_t count, RemovedNames& removed) noexcept;
  [[nodiscard]] std::int64_t NowMs() const { return clock_.WallUs() / 1000; }
  [[nodiscard]] std::size_t Expiries() const;  // names that have one
  [[nodiscard]] std::int64_t AverageTtlMs() const;
  [[nodiscard]] std::int64_t ExpiredNames() const { return expired_names_; }  // ever

  // Everything that was there. Row indexes start anew; the revision counts on.
  // Errors: std::bad_alloc; nothing changed then.
  [[nodiscard]] std::unique_ptr<DeferredDestruction> Flush();

  [[nodiscard]] std::size_t Names() const;  // partitions and strings (DBSIZE)
  [[nodiscard]] std::size_t Partitions() const;
  [[nodiscard]] Revision LastRevision() const;

  // The first partition whose name is not before `name`, in the order of bytes; null: there is
  // none.
  [[nodiscard]] Partition* PartitionFrom(std::string_view name) const;

 private:
  struct Tables;
  // Null where there is none. A name that has expired is removed.
  Name* Find(std::string_view name) noexcept;
  // A partition of no rows. Errors: as Insert.
  Result<Name*> MakePartition(std::string_view name);
  // Errors: kOom; std::bad_alloc. REQUIRES: the name is new.
  Result<Name*> Insert(std::string_view name, std::unique_ptr<Partition> partition);
  // Takes it out of all tables.
  std::unique_ptr<Name> Unlink(Name& name) noexcept;
  void Expire(Name& name) noexcept;
  void PutString(Name& name, StringWrite& write) noexcept;
  void PutExpiry(Name& name, std::int64_t expires_ms) noexcept;
  // After a change: takes the next revision, and notifies the listeners.
  void Changed(std::string_view name) noexcept;

  Memory& memory_;
  const WallClock& clock_;
  std::uint64_t seed_;
  std::vector<Listener*> listeners_;
  Revision revision_ = 0;
  std::int64_t expired_names_ = 0;
  std::uint64_t random_;  // of RandomName()
  std::unique_ptr<Tables> tables_;
};

}  // namespace sluice::store
