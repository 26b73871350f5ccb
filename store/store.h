// Store: the server's named things: partitions of rows, and byte strings as Redis has them.
//
// Every call is atomic: an error means that nothing changed. A write has two halves: reserve, which
// may fail (checks, memory, keys), and apply, which cannot (noexcept); std::bad_alloc in the first
// half leaves no trace either. Nothing is copied under a call but values under kSmallBytes.
//
// Thread safety: one caller at a time: the holder of the engine (server/engine.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "store/blob.h"
#include "store/name_listener.h"
#include "store/remains.h"
#include "store/rows.h"
#include "store/snapshot.h"

namespace sluice::store {

class Partition;

// A byte string of SET: small ones as text, large ones where they were received.
struct StringValue {
  Text text;
  Blob blob;  // not null: the value
  [[nodiscard]] std::string_view View() const { return blob.IsNull() ? text.View() : blob.View(); }
};

class Store {
 public:
  // `memory` is borrowed and must outlive the store; `seed` for the hash maps.
  Store(Memory& memory, std::uint64_t seed);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Told of every change from now on. Borrowed; null: nobody.
  void SetListener(NameListener* listener) { listener_ = listener; }

  // KV.PUT, KV.MPUT. A missing partition is made, except for RowSet::kIndexes (kNoPartition).
  // `result` is reset first. REQUIRES: names checked (CheckName), sources checked (CheckColumn),
  // chunk slots / dict / tags agree with the number of rows, no key, index or field twice. Errors:
  // kWrongType, kNoPartition, kNoKey, kDType "field 'x' of partition 'p' is int64, not float32",
  //         kNoField and kNotReady (of `same`), kBadTag, kError (too many fields), kOom;
  //         std::bad_alloc.
  Status Write(const WriteRequest& request, WriteResult& result);

  // KV.MGET. `result` is reset first.
  // Errors, in this order: kWrongType, kNoPartition, kNoKey, kNoField, kNotReady.
  Status Read(const ReadRequest& request, ReadResult& result) const;

  // KV.TAGS: the tags in the order asked; null: no such row; "{}" where none was written.
  // Errors: kWrongType, kNoPartition.
  Status Tags(std::string_view partition, const RowSet& rows, std::vector<Text>& tags) const;

  // KV.LIST, KV.SCAN, KV.CHANGES, and WHERE: rows to look at without the engine. `snapshot` is new.
  // Errors: kWrongType; std::bad_alloc.
  Status TakeSnapshot(const SnapshotRequest& request, Snapshot& snapshot) const;
  // KV.LIST without arguments: names and numbers of rows, by name.
  void ListPartitions(std::vector<std::pair<Text, std::size_t>>& partitions) const;
  // KV.FIELDS without rows: one entry a field, in the order in which they were made.
  // Errors: kWrongType, kNoPartition; std::bad_alloc.
  Status Summarize(std::string_view partition, std::vector<FieldSummary>& fields) const;
  // KV.WAIT: see Partition. A partition that does not exist has no row. Errors: kWrongType.
  Result<std::size_t> FirstUnready(std::string_view partition, const RowSet& rows, std::size_t from,
                                   std::span<const std::string_view> fields) const;
  // KV.APPEND: what is to grow; it is replaced by Write(). Errors: kWrongType, kDType.
  Result<GrowingCell> CellToGrow(const AppendRequest& request) const;
  // The row's key; null where there is no such row.
  [[nodiscard]] Text KeyOf(std::string_view partition, RowIndex index) const;

  // KV.CLEAR: how many rows or cells were removed; what is not there counts 0.
  // Errors: kWrongType, kOom; std::bad_alloc.
  Result<std::int64_t> ClearRows(std::string_view partition, const RowSet& rows);
  Result<std::int64_t> ClearCells(std::string_view partition, const RowSet& rows,
                                  std::span<const std::string_view> fields);
  // Null remains where there is none. Errors: kWrongType.
  struct RemovedPartition {
    std::int64_t rows = 0;
    std::unique_ptr<Remains> remains;
  };
  Result<RemovedPartition> RemovePartition(std::string_view partition);

  // SET: keys are any bytes. Errors: kWrongType where `key` is a partition; kOom; std::bad_alloc.
  Status SetString(std::string_view key, StringValue value);
  // GET: nullopt where there is none. Errors: kWrongType.
  Result<std::optional<StringValue>> GetString(std::string_view key) const;

  // Everything that was there. Row indexes start anew; the revision counts on.
  // Errors: std::bad_alloc; nothing changed then.
  [[nodiscard]] std::unique_ptr<Remains> Flush();

  [[nodiscard]] std::size_t Names() const;  // partitions and strings (DBSIZE)
  [[nodiscard]] Revision LastRevision() const;

  // The first partition whose name is not before `name`, in the order of bytes; null: there is
  // none.
  [[nodiscard]] Partition* PartitionFrom(std::string_view name) const;

 private:
  struct Tables;
  // Null where there is none. Errors: kWrongType.
  [[nodiscard]] Result<Partition*> FindPartition(std::string_view name) const;
  // Errors: kOom; std::bad_alloc. REQUIRES: the name is new.
  Status Insert(std::string_view name, std::unique_ptr<Partition> partition, StringValue string);
  [[nodiscard]] Partition* Find(std::string_view name) const;
  std::unique_ptr<Partition> Erase(std::string_view name) noexcept;
  // After a change: takes the next revision, and tells the listener.
  void Changed(std::string_view name) noexcept;

  Memory& memory_;
  std::uint64_t seed_;
  NameListener* listener_ = nullptr;
  Revision revision_ = 0;
  std::unique_ptr<Tables> tables_;
};

}  // namespace sluice::store
