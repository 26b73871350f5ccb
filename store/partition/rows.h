// The requests and results of Store that concern rows.
//
// Requests borrow their views and spans, which must outlive the call. Results own their data and
// can be reused: Reset() keeps their capacity.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/text.h"
#include "store/tensor/chunk.h"

namespace sluice::store {

inline constexpr std::int64_t kRowsPerWriteMax = std::int64_t{1} << 24;

// The rows that a command applies to.
struct RowSet {
  enum class Kind : std::uint8_t {
    kKeys,     // by key; a write creates missing rows
    kIndexes,  // by index; in a write, all must exist
    kNew,      // writes only: `count` new rows, each with its decimal index as its key
  };
  Kind kind = Kind::kKeys;
  std::span<const std::string_view> keys;
  std::span<const RowIndex> indexes;
  std::int64_t count = 0;
  std::int64_t incarnation = 0;  // kIndexes: of the partition of this incarnation; 0: of any

  [[nodiscard]] std::size_t size() const;
  // `rows` of the rows, from position `begin` on. REQUIRES: not kNew.
  [[nodiscard]] RowSet Part(std::size_t begin, std::size_t rows) const;
};

// One field of a write. The values are `chunk` (kSmallBytes or more), or `source` (smaller, copied
// to the field's open chunk), or another row's cell of this field (`same_key`).
struct ColumnWrite {
  ColumnSource source;                 // field and dtype are always set
  ChunkRef chunk;                      // made from `source` before locking, or null
  std::span<const std::int64_t> dict;  // row i takes slot dict[i]; empty: row i takes slot i
  std::string_view same_key;  // with `same`: the row whose cell is shared; dtype is the field's
  bool same = false;
  bool pending = false;  // the cells are not ready yet: KV.APPEND ... MORE
  // KV.APPEND: what the cell grows by; `source` and `chunk` are the grown value.
  const ColumnSource* appended = nullptr;
  bool retype = false;  // may change the field's dtype if no other row has a cell
};

// The new tag of a row: `fresh` if the row has no tag, else its tag merged with `patch`.
struct TagWrite {
  std::string_view patch;
  Text fresh;  // FreshTag(patch)
  // If merged in advance: `merged` is the new tag if `old` is still the row's tag.
  Text old = {};
  Text merged = {};
};

struct WriteResult;

// Keys of new rows (their indexes as text), made before the engine lock is acquired.
struct NumberedKeys {
  RowIndex first = 0;
  std::vector<Text> keys;  // of the rows with indexes from `first` on

  NumberedKeys() = default;
  // Errors: std::bad_alloc.
  NumberedKeys(RowIndex first, std::size_t count);
};

struct WriteRequest {
  std::string_view partition;
  RowSet rows;
  std::span<const TagWrite> tags;  // none, or one per row
  std::span<ColumnWrite> columns;  // chunks are moved from on success
  NumberedKeys* ahead = nullptr;   // kNew: matching keys are moved from; may be null
  // Optional parts of the result.
  bool return_fields = false;
  bool return_tags = false;
  // Called before the write is applied, with the fields and tags of the result, so that the caller
  // can reserve memory for its reply. An exception undoes the write.
  std::function<void(const WriteResult&)> before_apply = {};
};

struct WriteResult {
  std::int64_t new_rows = 0;
  std::vector<RowIndex> indexes;  // of each row, in the order of the request
  std::vector<Text> fields;       // with return_fields: the fields ready in all rows
  std::vector<Text> tags;         // with return_tags: one per row; null: never written
  Revision revision = 0;          // revision of this write
  std::int64_t incarnation = 0;   // of the partition
  // After kFull: the space that the write needed.
  struct Wants {
    std::int64_t alone = 0;   // bytes of values, whatever they replace
    std::int64_t rows = 0;    // new rows
    std::int64_t bytes = 0;   // bytes of values minus the bytes replaced
    bool never_fits = false;  // the write alone is larger than a limit
  } wants;
};

struct ReadRequest {
  std::string_view partition;
  RowSet rows;
  std::span<const std::string_view> fields;
  bool all_fields = false;  // instead of `fields`
  // True: missing rows and cells are errors, and all_fields means the fields ready in all rows.
  // False: they are null in the result, and all_fields means every field of the partition.
  bool strict = true;
  bool keys = false;  // also return the rows' keys. REQUIRES: strict
};

// The cell that KV.APPEND grows.
struct AppendRequest {
  std::string_view partition;
  std::string_view key;
  std::string_view field;
  DType dtype = DType::kBool;
};

struct GrowingCell {
  ChunkRef chunk;  // null if the cell does not exist
  std::uint32_t slot = 0;
  friend bool operator==(const GrowingCell& a, const GrowingCell& b) {
    return a.chunk.get() == b.chunk.get() && a.slot == b.slot;
  }
};

// One field of a partition, for KV.FIELDS.
struct FieldSummary {
  Text name;
  DType dtype = DType::kBool;
  std::optional<std::vector<std::int64_t>> dims;  // -1 where they differ; nullopt: ranks differ
  std::int64_t ready_rows = 0;
  std::size_t bytes = 0;  // as stored: a shared value counts once
};

// A snapshot of cells: stays valid when the rows change.
struct ReadResult {
  struct Cell {
    const Chunk* chunk = nullptr;  // null: not ready, or the row does not exist
    std::uint32_t slot = 0;
    // REQUIRES: not null.
    [[nodiscard]] Dims Shape() const { return chunk->DimsOf(slot); }
    [[nodiscard]] std::string_view Bytes() const { return chunk->BytesOf(slot); }
  };
  struct Column {
    Text name;
    DType dtype = DType::kBool;
  };
  std::vector<RowIndex> indexes;  // in request order; kNoRow: missing row (not strict)
  std::vector<Text> keys;         // of the rows, if requested
  std::vector<Column> columns;    // in request order; with all_fields in creation order
  std::vector<Cell> cells;        // cells[column * indexes.size() + row]
  std::vector<ChunkRef> pins;     // every chunk of `cells`, at least once

  void Reset();
  [[nodiscard]] const Cell* CellsOf(std::size_t column) const {
    return cells.data() + column * indexes.size();
  }
};

}  // namespace sluice::store
