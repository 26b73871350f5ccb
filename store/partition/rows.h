// What commands say of rows, and what they get back: the requests and results of Store.
//
// Requests borrow what they name: views and spans stay the caller's, and must outlive the call.
// Results own what they hold and are made to be reused: Reset() keeps their capacity.
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

// Which rows a command is about.
struct RowSet {
  enum class Kind : std::uint8_t {
    kKeys,     // these keys; in a write, rows that are missing are made
    kIndexes,  // these indexes; in a write, all must exist
    kNew,      // writes only: `count` new rows, keys made by the store: their decimal index
  };
  Kind kind = Kind::kKeys;
  std::span<const std::string_view> keys;
  std::span<const RowIndex> indexes;
  std::int64_t count = 0;

  [[nodiscard]] std::size_t size() const;
  // So many of them, from `begin` on. REQUIRES: not kNew.
  [[nodiscard]] RowSet Part(std::size_t begin, std::size_t rows) const;
};

// One field of a write. Values come as `chunk` (kSmallBytes or more), as `source` (less: copied to
// the field's open chunk), or are another row's cell of this field (`same_key`).
struct ColumnWrite {
  ColumnSource source;                 // field and dtype always
  ChunkRef chunk;                      // made of `source` before the lock was taken, or null
  std::span<const std::int64_t> dict;  // row i takes slot dict[i]; empty: row i takes slot i
  std::string_view same_key;  // with `same`: the row whose cell is taken; dtype is the field's
  bool same = false;
  bool pending = false;  // the cells are not ready yet: KV.APPEND ... MORE
  bool retype = false;   // the field may have another dtype where no other row holds it
};

// What a row's tag becomes: `fresh` where it has none, else its tag merged with `patch`.
struct TagWrite {
  std::string_view patch;
  Text fresh;  // FreshTag(patch)
  // Where somebody merged them before: what `old` becomes, if it still is the row's tag.
  Text old = {};
  Text merged = {};
};

struct WriteResult;

// Keys of rows to be made, which are the text of their indexes, made before the lock was taken.
struct NumberedKeys {
  RowIndex first = 0;
  std::vector<Text> keys;  // of the rows from `first` on

  NumberedKeys() = default;
  // Errors: std::bad_alloc.
  NumberedKeys(RowIndex first, std::size_t count);
};

struct WriteRequest {
  std::string_view partition;
  RowSet rows;
  std::span<const TagWrite> tags;  // none, or one a row
  std::span<ColumnWrite> columns;  // their chunks are moved from on success
  NumberedKeys* ahead = nullptr;   // kNew: those that fit are moved from; null: none were made
  // What the result is to say of the rows.
  bool return_fields = false;
  bool return_tags = false;
  // Called just before the write is applied, with the fields and tags of the result, so that the
  // caller can reserve what its answer needs. What it throws undoes the write.
  std::function<void(const WriteResult&)> before_apply = {};
};

struct WriteResult {
  std::int64_t new_rows = 0;
  std::vector<RowIndex> indexes;  // of each row, in the order of the request
  std::vector<Text> fields;       // with return_fields: those that are ready in all of the rows
  std::vector<Text> tags;         // with return_tags: of each row; null: none was ever written
  Revision revision = 0;          // of this write
  // Where it failed with kFull: what there was no room for.
  struct Wants {
    std::int64_t rows = 0;    // to be made
    std::int64_t bytes = 0;   // of values, beyond those that it replaces
    bool never_fits = false;  // the write alone is larger than a limit
  } wants;
};

struct ReadRequest {
  std::string_view partition;
  RowSet rows;
  std::span<const std::string_view> fields;
  bool all_fields = false;  // instead of `fields`
  // Strict: missing rows and cells are errors, and all_fields means the fields ready in all rows.
  // Otherwise they are null in the result, and all_fields means every field of the partition.
  bool strict = true;
  bool keys = false;  // the rows' keys, too. REQUIRES: strict
};

// The cell that KV.APPEND is to grow.
struct AppendRequest {
  std::string_view partition;
  std::string_view key;
  std::string_view field;
  DType dtype = DType::kBool;
};

struct GrowingCell {
  ChunkRef chunk;  // null: there is no such cell
  std::uint32_t slot = 0;
  friend bool operator==(const GrowingCell& a, const GrowingCell& b) {
    return a.chunk.get() == b.chunk.get() && a.slot == b.slot;
  }
};

// One field of a partition, for KV.FIELDS.
struct FieldSummary {
  Text name;
  DType dtype = DType::kBool;
  std::optional<std::vector<std::int64_t>> dims;  // -1 where they differ; nullopt: the ranks do
  std::int64_t ready_rows = 0;
  std::size_t bytes = 0;  // as stored: what rows share counts once
};

// A snapshot of cells: valid whatever happens to the rows afterwards.
struct ReadResult {
  struct Cell {
    const Chunk* chunk = nullptr;  // null: not ready, or no such row
    std::uint32_t slot = 0;
    // REQUIRES: not null.
    [[nodiscard]] Dims Shape() const { return chunk->DimsOf(slot); }
    [[nodiscard]] std::string_view Bytes() const { return chunk->BytesOf(slot); }
  };
  struct Column {
    Text name;
    DType dtype = DType::kBool;
  };
  std::vector<RowIndex> indexes;  // in the order asked; kNoRow: no such row (not strict)
  std::vector<Text> keys;         // of the rows, where asked for
  std::vector<Column> columns;    // in the order asked; with all_fields in the order they were made
  std::vector<Cell> cells;        // cells[column * indexes.size() + row]
  std::vector<ChunkRef> pins;     // every chunk of `cells`, at least once

  void Reset();
  [[nodiscard]] const Cell* CellsOf(std::size_t column) const {
    return cells.data() + column * indexes.size();
  }
};

}  // namespace sluice::store
