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
#include "store/rows.h"

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

  // KV.CLEAR: how many rows or cells were removed; what is not there counts 0. Errors: kWrongType.
  Result<std::int64_t> ClearPartition(std::string_view partition);
  Result<std::int64_t> ClearRows(std::string_view partition, const RowSet& rows);
  Result<std::int64_t> ClearCells(std::string_view partition, const RowSet& rows,
                                  std::span<const std::string_view> fields);

  // SET: keys are any bytes. Errors: kWrongType where `key` is a partition; kOom; std::bad_alloc.
  Status SetString(std::string_view key, StringValue value);
  // GET: nullopt where there is none. Errors: kWrongType.
  Result<std::optional<StringValue>> GetString(std::string_view key) const;

  // Removes everything. Row indexes start anew; the revision counts on.
  void Flush();

  [[nodiscard]] std::size_t Names() const;  // partitions and strings (DBSIZE)
  [[nodiscard]] Revision LastRevision() const;

 private:
  struct Tables;
  // Null where there is none. Errors: kWrongType.
  [[nodiscard]] Result<Partition*> FindPartition(std::string_view name) const;
  // Errors: kOom; std::bad_alloc. REQUIRES: the name is new.
  Status Insert(std::string_view name, std::unique_ptr<Partition> partition, StringValue string);
  void Erase(std::string_view name) noexcept;

  Memory& memory_;
  std::uint64_t seed_;
  Revision revision_ = 0;
  std::unique_ptr<Tables> tables_;
};

}  // namespace sluice::store
