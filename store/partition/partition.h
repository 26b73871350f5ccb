// Partition: a named table: rows by key and by index, fields by name.
//
// A write is a WritePlan: Reserve() fills it, doing all that can fail; Apply() carries it out and
// cannot. A plan that is dropped unapplied takes back whatever Reserve() did, so that nobody can
// tell. Segments that a reader has pinned are replaced by copies before anything in them changes.
//
// Thread safety: one caller at a time (the engine).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <boost/container/flat_map.hpp>
#include <boost/unordered/unordered_flat_map.hpp>

#include "base/hash.h"
#include "store/partition/deferred_destruction.h"
#include "store/partition/field.h"
#include "store/partition/key_index.h"
#include "store/partition/listener.h"
#include "store/partition/partition_terms.h"
#include "store/partition/removal_log.h"
#include "store/partition/rows.h"
#include "store/partition/segment.h"
#include "store/partition/snapshot.h"

namespace sluice::store {

class Partition;

// Where a row is. REQUIRES for use: no row was written or removed since.
struct RowReference {
  Segment* segment = nullptr;  // null: no such row
  std::uint32_t offset = 0;
  RowIndex index = kNoRow;
};

// One write, reserved. Made once by the store and reused: Release() keeps the vectors' capacity.
class WritePlan {
 public:
  WritePlan() = default;
  ~WritePlan() { Release(); }
  WritePlan(const WritePlan&) = delete;
  WritePlan& operator=(const WritePlan&) = delete;

  // After Reserve() failed with kFull.
  [[nodiscard]] const WriteResult::Wants& Wants() const { return wants_; }
  // Takes back what is reserved and not applied.
  void Release() noexcept;

 private:
  friend class Partition;
  // REQUIRES: capacity was reserved.
  void AddRow(const RowReference& row) {
    rows_.push_back(row);
    if (segments_.empty() || segments_.back() != row.segment) {
      segments_.push_back(row.segment);
    }
  }
  Partition* partition_ = nullptr;  // null: nothing is reserved
  RowIndex old_next_index_ = 0;
  std::int64_t charged_ = 0;
  std::vector<RowReference> rows_;
  std::vector<Segment*> segments_;  // of rows_, in their order; neighbours differ
  std::vector<Text> keys_;          // of row i where it is new, else null
  std::vector<Text> tags_;          // what row i's tag becomes; empty: no tags
  std::vector<Field*> fields_;      // by column
  std::vector<Cell> cells_;         // cells_[column * rows + row], pointed at already
  std::size_t pointed_ = 0;         // so many of them
  std::vector<Cell> slots_;         // of one column while it is reserved
  WriteResult::Wants wants_;        // where Reserve() failed with kFull
};

class Partition final : public DeferredDestruction {
 public:
  static constexpr std::size_t kFieldsMax = 65535;

  // `made`: the store's revision now; no other partition of this name, ever, has the same.
  struct Birth {
    Revision made = 0;
    std::uint64_t seed = 0;  // for the hash maps
    std::int64_t now_ms = 0;
    const std::vector<Listener*>* listeners = nullptr;  // of its rows; borrowed
  };
  Partition(Text name, Memory& memory, const Birth& birth);
  ~Partition() override;

  [[nodiscard]] const Text& Name() const { return name_; }
  [[nodiscard]] Revision Made() const { return made_; }
  [[nodiscard]] std::size_t Rows() const { return indexes_.size() + numbered_rows_; }
  [[nodiscard]] std::int64_t RowsMade() const { return rows_made_; }  // ever
  [[nodiscard]] RowIndex NextIndex() const { return next_index_; }    // of the next row made
  [[nodiscard]] std::int64_t CreatedMs() const { return created_ms_; }

  // A command named it.
  void Touch(std::int64_t now_ms) noexcept { touched_ms_ = now_ms; }
  [[nodiscard]] std::int64_t TouchedMs() const { return touched_ms_; }
  // It has a TTL, and was not used for longer; what is used at this moment is touched.
  [[nodiscard]] bool IsIdle(std::int64_t now_ms) noexcept;

  [[nodiscard]] const PartitionTerms& Terms() const { return terms_; }
  // Errors: kDType, where a field has another dtype than the schema says.
  Status SetTerms(PartitionTerms terms);

  // Null: nobody attached anything.
  [[nodiscard]] Attachment* GetAttachment() const { return attachment_.get(); }
  void Attach(std::unique_ptr<Attachment> attachment) { attachment_ = std::move(attachment); }

  // Fills the fields and tags of `result`, where they are asked for.
  // Errors: as Store::Write; `plan` is released then.
  Status Reserve(const WriteRequest& request, WritePlan& plan, WriteResult& result);
  // Carries out what was reserved; fills the rest of `result`. REQUIRES: result.indexes has
  // capacity for all rows.
  void Apply(WritePlan& plan, Revision revision, WriteResult& result) noexcept;

  // Errors: as Store::Read.
  Status Read(const ReadRequest& request, ReadResult& result);
  // Errors: kNoKey, where `strict`.
  Status Tags(const RowSet& rows, bool strict, std::vector<Text>& tags);
  // Errors: kDType.
  Result<GrowingCell> CellToGrow(const AppendRequest& request);
  // KV.APPEND, before anything is copied: may the row's cell grow so far? Fills `wants`.
  // Errors: kNoField, kDType, kShape, kFull, as Reserve() would say.
  struct Growth {
    std::string_view key;
    std::string_view field;
    DType dtype = DType::kBool;
    Dims dims;  // of the grown value
    std::int64_t old_bytes = 0;
    std::int64_t new_bytes = 0;
  };
  Status CheckGrowth(const Growth& growth, WriteResult::Wants& wants);
  // The position of the first of `rows` from `from` on that is missing or lacks one of `fields`;
  // rows.size() where there is none.
  [[nodiscard]] std::size_t FirstUnready(const RowSet& rows, std::size_t from,
                                         std::span<const std::string_view> fields);
  [[nodiscard]] const Row* FindRow(RowIndex index);
  // The row will be looked at soon, after others.
  void Prefetch(RowIndex index) const noexcept;
  [[nodiscard]] RowReference Locate(RowIndex index);
  [[nodiscard]] RowReference Locate(std::string_view key);
  // Whoever knows ids of fields asks again where this differs.
  [[nodiscard]] std::uint64_t FieldsVersion() const { return fields_version_; }
  [[nodiscard]] std::optional<std::uint32_t> FieldId(std::string_view name);
  // Calls function(segment) for each, in order.
  template <typename Function>
  void ForEachSegment(const Function& function) const {
    for (const auto& [number, segment] : segments_) {
      function(*segment);
    }
  }

  // Errors: std::bad_alloc.
  void TakeSnapshot(const SnapshotRequest& request, Snapshot& snapshot);
  void Summarize(std::vector<FieldSummary>& fields) const;
  // Of values: what rows share counts once.
  [[nodiscard]] std::int64_t ValueBytes() const;
  // Of these and of bookkeeping.
  [[nodiscard]] std::int64_t Bytes() const;

  // How many rows or cells were removed. Errors: kOom; std::bad_alloc; nothing changed then.
  Result<std::int64_t> ClearRows(const RowSet& rows, Revision revision);
  Result<std::int64_t> ClearCells(const RowSet& rows, std::span<const std::string_view> fields,
                                  Revision revision);

  bool TakeApart() noexcept override;

  // Some value was replaced or removed since compaction looked last.
  bool has_garbage = false;

 private:
  friend class WritePlan;
  friend class Compaction;
  Status ReserveRows(const WriteRequest& request, WritePlan& plan);
  Status ReserveRow(const WriteRequest& request, std::size_t position, WritePlan& plan);
  // As AddKey(). The segment gets room for `count` rows, this one the first, where it can.
  Status ReserveNewRow(Text key, RowIndex number, std::size_t count, WritePlan& plan);
  [[nodiscard]] Text NextNumberedKey(NumberedKeys* ahead);
  static Status EnsureCells(const Field& field, const WritePlan& plan);
  Status ReserveColumn(ColumnWrite& column, WritePlan& plan);
  Status ReserveSlots(Field& field, ColumnWrite& column, WritePlan& plan);
  Status ReserveSmallSlots(Field& field, const ColumnSource& source, WritePlan& plan);
  Result<RowReference> RowOfSame(std::string_view key);
  static void PointFromPlan(Field& field, Cell cell, WritePlan& plan);
  Status ReserveSame(Field& field, const RowReference& row, WritePlan& plan) const;
  // What the schema says. Errors: kNoField, kDType; kShape.
  [[nodiscard]] Status CheckDType(std::string_view field, DType dtype) const;
  [[nodiscard]] Status CheckShape(const FieldTerms& terms, Dims dims) const;
  Status CheckShapes(const Field& field, const WritePlan& plan) const;
  Status CheckLimits(std::int64_t bytes_before, WritePlan& plan) const;
  [[nodiscard]] Status FullOfRows(std::int64_t rows, std::int64_t added) const;
  [[nodiscard]] Status FullOfBytes(std::int64_t bytes, std::int64_t added) const;
  Status ReserveTags(std::span<const TagWrite> tags, WritePlan& plan);
  Status ReserveBytes(WritePlan& plan);
  void Describe(const WriteRequest& request, const WritePlan& plan, WriteResult& result) const;
  [[nodiscard]] static bool ReadyInAll(const Field& field, const WritePlan& plan);
  Result<Field*> FieldForWrite(const ColumnWrite& column, const WritePlan& plan);
  [[nodiscard]] static bool HeldByNoOther(const Field& field, const WritePlan& plan);

  using Segments = boost::container::flat_map<RowIndex, SegmentRef>;
  [[nodiscard]] Segments::const_iterator FindSegment(RowIndex number) const noexcept;
  [[nodiscard]] RowReference Locate(const RowSet& rows, std::size_t position);
  // The same row in a segment that may be changed.
  Status MakeWritable(RowReference& place, std::int64_t overdraft);
  Status MakeAllWritable();
  Status LocateAll(const RowSet& rows, bool strict);
  void PrefetchAhead(const RowSet& rows, std::size_t position) const noexcept;
  void PrefetchPlaces() const noexcept;
  // Of a key that is the text of a number, as std::to_chars writes it; else kNoRow.
  static RowIndex NumberOf(std::string_view key) noexcept;
  // `number`: NumberOf(key). Errors: std::bad_alloc; nothing changed then.
  void AddKey(const Text& key, RowIndex number, RowIndex index);
  void ForgetKey(std::string_view key, RowIndex index) noexcept;
  [[nodiscard]] Field* FindField(std::string_view name);
  [[nodiscard]] Status NoRow(const RowSet& rows, std::size_t position) const;
  [[nodiscard]] Status WrongDType(const Field& field, DType dtype) const;
  [[nodiscard]] Status NotReady(const Field& field, const RowReference& row) const;
  Status ReadAllFields(bool strict, ReadResult& result);
  Status ReadField(Field& field, bool strict, ReadResult& result);
  [[nodiscard]] bool ReadyInAll(const Field& field) const;

  void RemoveRow(const RowReference& place, Revision revision, bool logged) noexcept;
  bool RemoveCell(Field& field, const RowReference& place) noexcept;
  bool ClearCell(Field& field, const RowReference& place, Revision revision) noexcept;
  void DropFieldIfEmpty(Field& field) noexcept;
  void NotifyChanged(std::span<const RowReference> rows) noexcept;
  void NotifyRemoved(const RowReference& row) noexcept;

  Text name_;
  Memory& memory_;
  Revision made_;
  Revision last_removal_ = 0;
  RemovalLog removals_;
  // Of rows by key. A row whose key is its own index, as KV.MPUT NEW makes it, is not in there: the
  // key says where it is.
  KeyIndex indexes_;
  std::size_t numbered_rows_ = 0;   // that are not
  RowIndex named_numbers_end_ = 0;  // no key in indexes_ is the text of this number or a larger
  // By index / Segment::kRows; in one piece, so that pinning all of them is a walk without jumps.
  Segments segments_;
  RowIndex next_index_ = 0;
  std::int64_t rows_made_ = 0;
  std::int64_t created_ms_;
  std::int64_t touched_ms_;
  PartitionTerms terms_;
  const std::vector<Listener*>& listeners_;
  std::unique_ptr<Attachment> attachment_;
  std::uint64_t fields_version_ = 1;
  std::vector<std::unique_ptr<Field>> fields_;  // by id; null: free
  std::vector<Field*> order_;                   // as they were made
  boost::unordered_flat_map<Text, Field*, TextHash, TextEqual> fields_by_name_;
  std::int64_t row_bytes_ = 0;        // BookkeepingBytes() of all rows
  std::vector<RowReference> places_;  // scratch: of the rows of one read or clear
};

}  // namespace sluice::store
