// Store: the server's named objects: partitions of rows, and Redis strings.
//
// An expired name does not exist for any call. The next call that finds it, or RemoveExpired(),
// removes it, but not before the time of KeepExpiredUntil().
//
// Every call is atomic: an error means that nothing changed. A write has two phases: reserve may
// fail (checks, memory, keys), apply cannot fail (noexcept). std::bad_alloc in the first phase
// changes nothing either. Calls copy only values under kSmallBytes.
//
// Thread safety: one caller at a time, which holds the engine lock (engine/engine.h).
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
class Recorder;
struct PartitionTerms;

// One string to write.
struct StringWrite {
  static constexpr std::int64_t kKeepExpiry = -1;

  std::string_view key;
  StringValue value;
  std::int64_t expires_ms = kNoExpiry;  // or kKeepExpiry
};

// Condition of a write of strings.
enum class SetIf : std::uint8_t {
  kAlways,
  kMissing,  // if none of the names exists
  kPresent,  // if all of the names exist
};

enum class NameKind : std::uint8_t { kNone, kString, kPartition };

// Names in the order of their places (see NameTable).
struct NamePage {
  struct Listed {
    Text name;
    NameKind kind = NameKind::kNone;
  };
  std::vector<Listed> names;
  std::uint64_t next = 0;  // place of the next page; NameTable::kEnd: no more names
};

// The seeds of all that is random. Clients see values made of `visible` (incarnations, what
// samplers draw) and may work it out of them. They must not know `hashing`: they could choose keys
// whose hashes collide.
struct Seeds {
  std::uint64_t hashing = 0;
  std::uint64_t visible = 0;
};

class Store {
 public:
  // `memory` and `clock` are borrowed and must outlive the store. `seeds` differ at each start.
  Store(Memory& memory, const WallClock& clock, Seeds seeds);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  [[nodiscard]] const Seeds& GetSeeds() const { return seeds_; }

  // `listener` is notified of every change from now on. It is borrowed and must outlive the store.
  void AddListener(Listener& listener) { listeners_.push_back(&listener); }

  // `recorder` is told of every change from now on; null: nobody. It is borrowed and must outlive
  // the store.
  void SetRecorder(Recorder* recorder) { recorder_ = recorder; }

  // KV.PUT, KV.MPUT. Creates a missing partition, except for RowSet::kIndexes (kNoPartition).
  // Resets `result` first. REQUIRES: names checked (CheckName), sources checked (CheckColumn),
  // chunk slots / dict / tags match the number of rows, no duplicate key, index or field.
  // Errors: kWrongType, kNoPartition, kStale, kNoKey, kDType ("field 'x' of partition 'p' is int64,
  // not
  //         float32"), kNoField and kNotReady (of `same`), kBadTag, kError (too many fields), kOom;
  //         std::bad_alloc.
  Status Write(const WriteRequest& request, WriteResult& result);

  // PARTITION.CREATE: creates the partition if it does not exist. Errors: kWrongType, kOom, kDType
  // (see Partition::SetTerms); std::bad_alloc.
  Status SetTerms(std::string_view partition, PartitionTerms terms);
  // Counts as a use of the partition: its TTL runs from now. No effect if it does not exist.
  void Touch(std::string_view partition) noexcept { Find(partition); }
  // When a command last used the partition; nullopt if it does not exist. Is not a use itself.
  [[nodiscard]] std::optional<std::int64_t> TouchedMs(std::string_view partition) const;
  // Returns null if the partition does not exist. The pointer is valid until the partition is
  // removed or the engine lock is released. Errors: kWrongType.
  [[nodiscard]] Result<Partition*> FindPartition(std::string_view name);

  // KV.MGET. Resets `result` first.
  // Errors, checked in this order: kWrongType, kNoPartition, kStale, kNoKey, kNoField, kNotReady.
  Status Read(const ReadRequest& request, ReadResult& result);

  // KV.TAGS: tags in the order of `rows`; null if the row does not exist, "{}" if it has no tag.
  // Errors: kWrongType, kNoPartition, kStale.
  Status Tags(std::string_view partition, const RowSet& rows, std::vector<Text>& tags);

  // KV.LIST, KV.SCAN, KV.CHANGES and WHERE: rows to read without the engine lock.
  // REQUIRES: `snapshot` is newly constructed. Errors: kWrongType; std::bad_alloc.
  Status TakeSnapshot(const SnapshotRequest& request, Snapshot& snapshot);
  // KV.LIST without arguments: names and row counts, sorted by name.
  void ListPartitions(std::vector<std::pair<Text, std::size_t>>& partitions) const;
  // KV.FIELDS without rows: one entry per field, in creation order.
  // Errors: kWrongType, kNoPartition; std::bad_alloc.
  Status Summarize(std::string_view partition, std::vector<FieldSummary>& fields);
  // KV.WAIT: see Partition. A partition that does not exist counts as empty.
  // Errors: kWrongType, kStale.
  Result<std::size_t> FirstUnready(std::string_view partition, const RowSet& rows, std::size_t from,
                                   std::span<const std::string_view> fields);
  // KV.APPEND: the cell to grow; Write() then replaces it. Errors: kWrongType, kDType.
  Result<GrowingCell> CellToGrow(const AppendRequest& request);
  // The row's key; null if the row does not exist.
  [[nodiscard]] Text KeyOf(std::string_view partition, RowIndex index);

  // KV.CLEAR: returns the number of rows or cells removed; missing ones do not count.
  // Errors: kWrongType, kStale, kOom; std::bad_alloc.
  Result<std::int64_t> ClearRows(std::string_view partition, const RowSet& rows);
  Result<std::int64_t> ClearCells(std::string_view partition, const RowSet& rows,
                                  std::span<const std::string_view> fields);
  // `remains` is null if the partition does not exist. Errors: kWrongType.
  struct RemovedPartition {
    std::int64_t rows = 0;
    std::unique_ptr<DeferredDestruction> remains;
  };
  Result<RemovedPartition> RemovePartition(std::string_view partition);

  // Writes all strings, or none and returns false if `condition` does not hold. Of two writes with
  // the same key the later wins. Keys are any bytes. Values are moved from on success.
  // Errors: kWrongType if a key is a partition; kOom; std::bad_alloc.
  Result<bool> SetStrings(std::span<StringWrite> writes, SetIf condition = SetIf::kAlways);
  // Returns nullopt if the name does not exist. Errors: kWrongType.
  Result<std::optional<StringValue>> GetString(std::string_view key);

  // Names of both kinds.
  [[nodiscard]] NameKind KindOf(std::string_view name);
  // Returns false if the name does not exist.
  bool Remove(std::string_view name, RemovedNames& removed) noexcept;
  // When the name expires; kNoExpiry: never; nullopt if the name does not exist.
  [[nodiscard]] std::optional<std::int64_t> ExpiryOf(std::string_view name);
  // kNoExpiry: never. No effect if the name does not exist.
  void SetExpiry(std::string_view name, std::int64_t expires_ms) noexcept;
  // Bytes that the name uses, shared bytes included; nullopt if the name does not exist.
  [[nodiscard]] std::optional<std::int64_t> BytesOf(std::string_view name);
  // Appends to `page` up to `count` names at places >= `from`, and all others at the last place.
  // Errors: std::bad_alloc.
  void ListNames(std::uint64_t from, std::size_t count, NamePage& page) const;
  // Null if the store is empty, or if only names that have expired were found.
  [[nodiscard]] Text RandomName();

  // Removes up to `count` expired names. Moves to `removed` what awaits deferred destruction,
  // including expired partitions that other calls removed. Returns false if there are more.
  bool RemoveExpired(std::size_t count, RemovedNames& removed) noexcept;
  // Until then (Unix time) expired names are hidden, but only a write of the same name removes one.
  void KeepExpiredUntil(std::int64_t ms) noexcept { keep_expired_until_ms_ = ms; }
  // Unix time; during a replay the time of what is made again.
  [[nodiscard]] std::int64_t NowMs() const {
    return replays_ ? replay_ms_ : clock_.WallUs() / 1000;
  }
  // A replay makes changes again that a Recorder was told of, at the time at which they were made.
  // Nothing expires by itself, since that was a change of its own. A write may give a field another
  // dtype (as AI.TENSORSET may), since it was allowed to then. After a replay the TTL of each
  // partition begins anew.
  void ReplayAt(std::int64_t ms) noexcept {
    replays_ = true;
    replay_ms_ = ms;
  }
  void EndReplay() noexcept;
  [[nodiscard]] std::size_t Expiries() const;  // number of names with an expiry
  [[nodiscard]] std::int64_t AverageTtlMs() const;
  [[nodiscard]] std::int64_t ExpiredNames() const { return expired_names_; }  // total

  // Removes everything and returns it for deferred destruction. Row indexes restart at 0; the
  // revision does not. Errors: std::bad_alloc.
  [[nodiscard]] std::unique_ptr<DeferredDestruction> Flush();

  [[nodiscard]] std::size_t Names() const;  // partitions and strings (DBSIZE)
  [[nodiscard]] std::size_t Partitions() const;
  [[nodiscard]] Revision LastRevision() const;

  // The first partition whose name is >= `name` in byte order; null if there is none.
  [[nodiscard]] Partition* PartitionFrom(std::string_view name) const;

 private:
  struct Tables;
  class MadePartition;
  // Returns null if the name does not exist. Removes the name if it has expired, unless it is kept.
  // Touches a partition.
  Name* Find(std::string_view name) noexcept;
  // As FindPartition(). Errors: kWrongType, kStale.
  Result<Partition*> FindPartitionOf(std::string_view name, const RowSet& rows);
  // As Find(), and removes a name that is kept.
  Name* FindToWrite(std::string_view name) noexcept;
  // As in Redis, a name still exists in the millisecond in which it expires. A partition that was
  // idle for longer than its TTL has also expired.
  [[nodiscard]] bool HasExpired(const Name& name, std::int64_t now_ms) const noexcept;
  // Touches a partition with a TTL that is in use.
  [[nodiscard]] bool IsIdle(Partition& partition, std::int64_t now_ms) const noexcept;
  // Creates an empty partition. Errors: as Insert.
  Result<Name*> MakePartition(std::string_view name);
  // REQUIRES: the name does not exist, not even expired. Errors: kOom; std::bad_alloc.
  Result<Name*> Insert(std::string_view name, std::unique_ptr<Partition> partition);
  // Removes the name from all tables.
  std::unique_ptr<Name> Unlink(Name& name) noexcept;
  void Expire(Name& name) noexcept;
  void RecordRemove(std::string_view name) noexcept;
  void PutString(Name& name, StringWrite& write) noexcept;
  void PutExpiry(Name& name, std::int64_t expires_ms) noexcept;
  // Called after a change: takes the next revision and notifies the listeners.
  void Changed(std::string_view name) noexcept;

  Memory& memory_;
  const WallClock& clock_;
  Seeds seeds_;
  std::vector<Listener*> listeners_;
  Recorder* recorder_ = nullptr;
  Revision revision_ = 0;
  // Added to the revision, which begins at 0 with each start, this makes the incarnations. 52 bits
  // of a seed, and not the time of the start: the clock may have been set back, and then an
  // earlier run used the same numbers. A stale incarnation is hit with a chance of 2^-52 for each
  // partition that is made. Incarnations stay below 2^53, so JSON and Lua can hold them.
  std::int64_t incarnations_from_;
  std::int64_t expired_names_ = 0;
  std::int64_t keep_expired_until_ms_ = 0;
  bool replays_ = false;
  std::int64_t replay_ms_ = 0;
  std::uint64_t random_;  // of RandomName()
  std::unique_ptr<Tables> tables_;
};

}  // namespace sluice::store
