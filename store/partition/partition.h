// Partition: a named table: rows by key and by index, fields by name.
//
// A write has two phases. Reserve() does everything that can fail and fills a WritePlan; Apply()
// executes the plan and cannot fail. Destroying an unapplied plan undoes Reserve() completely.
// Segments pinned by a reader are replaced by copies before they are changed.
//
// Thread safety: one caller at a time, which holds the engine lock.
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

// Location of a row. REQUIRES for use: no row was written or removed since.
struct RowReference {
  Segment* segment = nullptr;  // null if the row does not exist
  std::uint32_t offset = 0;
  RowIndex index = kNoRow;
};

// A reserved write. The store reuses one plan: Release() keeps the vectors' capacity.
class WritePlan {
 public:
  WritePlan() = default;
  ~WritePlan() { Release(); }
  WritePlan(const WritePlan&) = delete;
  WritePlan& operator=(const WritePlan&) = delete;

  // REQUIRES: Reserve() failed with kFull.
  [[nodiscard]] const WriteResult::Wants& Wants() const { return wants_; }
  // Undoes what is reserved and not applied.
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
  std::vector<Text> keys_;          // key of row i if the row is new, else null
  std::vector<Text> tags_;          // new tag of row i; empty: no tags
  std::vector<Field*> fields_;      // one per column
  std::vector<Cell> cells_;         // cells_[column * rows + row]
  std::size_t pointed_ = 0;         // number of cells_ counted by Field::Point()
  std::vector<Cell> slots_;         // of the column being reserved
  WriteResult::Wants wants_;        // set if Reserve() failed with kFull
};

class Partition final : public DeferredDestruction {
 public:
  static constexpr std::size_t kFieldsMax = 65535;

  // `made`: the current revision of the store, unique among partitions of this name over time.
  struct Birth {
    Revision made = 0;
    std::int64_t incarnation = 0;  // unique among all partitions of the server, over restarts too
    std::uint64_t seed = 0;        // for the hash maps
    std::int64_t now_ms = 0;
    const std::vector<Listener*>* listeners = nullptr;  // of changes of rows; borrowed
  };
  Partition(Text name, Memory& memory, const Birth& birth);
  ~Partition() override;

  [[nodiscard]] const Text& Name() const { return name_; }
  [[nodiscard]] std::int64_t Incarnation() const { return incarnation_; }
  // Errors: kStale: `rows` are of another incarnation.
  [[nodiscard]] Status CheckIncarnation(const RowSet& rows) const;
  [[nodiscard]] std::size_t Rows() const { return indexes_.size() + numbered_rows_; }
  [[nodiscard]] std::int64_t RowsMade() const { return rows_made_; }  // total
  [[nodiscard]] RowIndex NextIndex() const { return next_index_; }    // of the next new row
  [[nodiscard]] std::int64_t CreatedMs() const { return created_ms_; }

  // Records a use by a command.
  void Touch(std::int64_t now_ms) noexcept { touched_ms_ = now_ms; }
  [[nodiscard]] std::int64_t TouchedMs() const { return touched_ms_; }

  [[nodiscard]] const PartitionTerms& Terms() const { return terms_; }
  // Errors: kDType if a field's dtype differs from the schema.
  Status SetTerms(PartitionTerms terms);

  // Null if there is none.
  [[nodiscard]] Attachment* GetAttachment() const { return attachment_.get(); }
  void Attach(std::unique_ptr<Attachment> attachment) { attachment_ = std::move(attachment); }

  // Fills the fields and tags of `result` if requested.
  // Errors: as Store::Write; `plan` is released then.
  Status Reserve(const WriteRequest& request, WritePlan& plan, WriteResult& result);
  // Executes the plan and fills the rest of `result`. REQUIRES: result.indexes has capacity for all
  // rows.
  void Apply(WritePlan& plan, Revision revision, WriteResult& result) noexcept;

  // Errors: as Store::Read.
  Status Read(const ReadRequest& request, ReadResult& result);
  // Errors: kNoKey if `strict`.
  Status Tags(const RowSet& rows, bool strict, std::vector<Text>& tags);
  // Errors: kDType.
  Result<GrowingCell> CellToGrow(const AppendRequest& request);
  // KV.APPEND: checks, before anything is copied, that the cell may grow. Fills `wants`.
  // Errors: kNoField, kDType, kShape, kFull, as Reserve() would return.
  struct Growth {
    std::string_view key;
    std::string_view field;
    DType dtype = DType::kBool;
    Dims dims;  // of the grown value
    std::int64_t old_bytes = 0;
    std::int64_t new_bytes = 0;
  };
  Status CheckGrowth(const Growth& growth, WriteResult::Wants& wants);
  // Position of the first row in `rows`, from `from` on, that is missing or lacks one of `fields`;
  // rows.size() if there is none.
  [[nodiscard]] std::size_t FirstUnready(const RowSet& rows, std::size_t from,
                                         std::span<const std::string_view> fields);
  [[nodiscard]] const Row* FindRow(RowIndex index);
  // Prefetches the row, and its cells of these fields, into the CPU cache.
  void Prefetch(RowIndex index,
                std::span<const std::optional<std::uint32_t>> field_ids = {}) const noexcept;
  [[nodiscard]] RowReference Locate(RowIndex index);
  [[nodiscard]] RowReference Locate(std::string_view key);
  // Changes when field ids change. Callers that cache field ids must look them up again then.
  [[nodiscard]] std::uint64_t FieldsVersion() const { return fields_version_; }
  [[nodiscard]] std::optional<std::uint32_t> FieldId(std::string_view name);
  // Calls function(segment) for each segment, in order.
  template <typename Function>
  void ForEachSegment(const Function& function) const {
    for (const auto& [number, segment] : segments_) {
      function(*segment);
    }
  }

  // Errors: std::bad_alloc.
  void TakeSnapshot(const SnapshotRequest& request, Snapshot& snapshot);
  void Summarize(std::vector<FieldSummary>& fields) const;
  // Bytes of values; a shared value counts once.
  [[nodiscard]] std::int64_t ValueBytes() const;
  // Bytes of values and bookkeeping.
  [[nodiscard]] std::int64_t Bytes() const;

  // Return the number of rows or cells removed. Errors: kOom; std::bad_alloc; nothing has changed.
  Result<std::int64_t> ClearRows(const RowSet& rows, Revision revision);
  Result<std::int64_t> ClearCells(const RowSet& rows, std::span<const std::string_view> fields,
                                  Revision revision);

  bool TakeApart() noexcept override;

  // A value was replaced or removed since the last compaction.
  bool has_garbage = false;

 private:
  friend class WritePlan;
  friend class Compaction;
  Status ReserveRows(const WriteRequest& request, WritePlan& plan);
  Status ReserveRow(const WriteRequest& request, std::size_t position, WritePlan& plan);
  // As AddKey(). Reserves the segment's arrays for `count` rows from this one on, if they fit.
  Status ReserveNewRow(Text key, RowIndex number, std::size_t count, WritePlan& plan);
  [[nodiscard]] Text NextNumberedKey(NumberedKeys* ahead);
  static Status EnsureCells(const Field& field, const WritePlan& plan);
  Status ReserveColumn(ColumnWrite& column, WritePlan& plan);
  Status ReserveSlots(Field& field, ColumnWrite& column, WritePlan& plan);
  Status ReserveSmallSlots(Field& field, const ColumnSource& source, WritePlan& plan);
  Result<RowReference> RowOfSame(std::string_view key);
  static void PointFromPlan(Field& field, Cell cell, WritePlan& plan);
  Status ReserveSame(Field& field, const RowReference& row, WritePlan& plan) const;
  // Check against the schema. Errors: kNoField, kDType; kShape.
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
  // Replaces the row's segment by a copy if it is pinned, and updates `place`.
  Status MakeWritable(RowReference& place, std::int64_t overdraft);
  Status MakeAllWritable();
  Status LocateAll(const RowSet& rows, bool strict);
  void PrefetchAhead(const RowSet& rows, std::size_t position,
                     std::span<const std::optional<std::uint32_t>> field_ids = {}) const noexcept;
  void PrefetchCellAhead(const Field& field, std::size_t position) const noexcept;
  void PrefetchRowAhead(std::size_t position,
                        std::span<const std::optional<std::uint32_t>> field_ids) noexcept;
  // The number that `key` spells as std::to_chars does; kNoRow for other keys.
  static RowIndex NumberOf(std::string_view key) noexcept;
  // `number`: NumberOf(key). Errors: std::bad_alloc; nothing has changed then.
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
  std::int64_t incarnation_;
  Revision last_removal_ = 0;
  RemovalLog removals_;
  // Rows by key, without numbered rows. A numbered row's key is its own index (KV.MPUT NEW), so no
  // lookup is needed.
  KeyIndex indexes_;
  std::size_t numbered_rows_ = 0;   // rows not in indexes_
  RowIndex named_numbers_end_ = 0;  // keys in indexes_ that are numbers are less than this
  // By index / Segment::kRows. Contiguous, so that pinning all segments is a sequential walk.
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
  std::vector<Field*> order_;                   // in creation order
  boost::unordered_flat_map<Text, Field*, TextHash, TextEqual> fields_by_name_;
  std::int64_t row_bytes_ = 0;        // BookkeepingBytes() of all rows
  std::vector<RowReference> places_;  // scratch: rows of one read or clear
};

}  // namespace sluice::store
