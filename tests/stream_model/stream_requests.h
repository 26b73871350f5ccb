// Requests of the model test of the streaming API (stream_model_test.cc), as plain structs that
// produce their words.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sluice::tests {

using Index = std::int64_t;  // of a row
using Indexes = std::vector<Index>;
using Words = std::vector<std::string>;

// A packed int64 blob.
std::string Packed(const Indexes& indexes);
Indexes Unpacked(const std::string& blob);

struct Condition {
  std::string name = {};
  std::string op = {};
  std::string value = {};
};
using Where = std::vector<Condition>;

// The rows of a command: exactly one of the three is given.
struct RowList {
  std::optional<Words> keys = {};
  std::optional<Indexes> indexes = {};
  std::optional<Where> where = {};
};

struct CellWrite {
  std::string field = {};
  std::vector<std::int64_t> dims;  // for a byte string: its length
  std::string bytes = {};
};

struct RowWrite {
  std::string key;  // empty: made by the server
  std::optional<std::string> tag = {};
  std::vector<CellWrite> cells = {};
};

// KV.PUT of one row with a key, or else KV.MPUT NEW, whose rows have the same fields and dims.
struct WriteRequest {
  std::string partition = {};
  std::vector<RowWrite> rows = {};
  std::optional<std::int64_t> block_ms = {};

  [[nodiscard]] Words ToWords() const;
};

struct AppendRequest {
  std::string partition = {};
  std::string key = {};
  CellWrite cell = {};
  bool more = false;

  [[nodiscard]] Words ToWords() const;
};

struct SamplerSpec {
  std::string name = "sequential";
  std::size_t size = 1;  // group, balanced, budget
  std::string by = {};   // empty: adjacent
  std::size_t ranks = 1;
  std::string weight = {};  // empty: no weights
  std::optional<std::int64_t> seed = {};
  std::int64_t tokens = 0;  // budget
  bool underfill = false;

  [[nodiscard]] bool Grouped() const { return name == "group" || name == "balanced" || Fills(); }
  [[nodiscard]] bool Fills() const { return name == "budget"; }
  [[nodiscard]] bool NeedsStep() const { return name == "ranked" || ranks > 1; }
  [[nodiscard]] bool Random() const { return name == "random" || name == "priority"; }
  // Name and options: equal samplers have equal words.
  [[nodiscard]] Words ToWords() const;
};

struct StepId {
  std::int64_t rank = 0;
  std::int64_t step = 0;

  friend bool operator==(const StepId&, const StepId&) = default;
  friend bool operator<(const StepId& a, const StepId& b) {
    return a.rank != b.rank ? a.rank < b.rank : a.step < b.step;
  }
};

struct FetchRequest {
  std::string partition = {};
  std::string task = {};
  Words fields = {};
  std::size_t count = 1;
  std::optional<std::size_t> min = {};
  SamplerSpec sampler = {};
  Where where = {};
  std::optional<StepId> step = {};
  std::optional<std::int64_t> block_ms = {};  // 0: no limit
  std::optional<std::int64_t> lease_ms = {};
  bool bound = false;
  bool keep = false;
  std::string format = {};  // empty: no data

  [[nodiscard]] std::size_t Least() const { return min.value_or(count); }
  // Enough if no more rows can come.
  [[nodiscard]] std::size_t LeastAtEnd() const { return min.value_or(sampler.Fills() ? 1 : count); }
  // Returns whether it is an error in every state.
  [[nodiscard]] bool Wrong() const;
  // `command` is TASK.FETCH or TASK.EXPLAIN.
  [[nodiscard]] Words ToWords(const std::string& command = "TASK.FETCH") const;
};

struct ClaimRequest {
  std::string partition = {};
  std::string task = {};
  RowList rows = {};
  Words fields = {};
  std::optional<std::int64_t> lease_ms = {};
  bool bound = false;
  bool all = false;

  [[nodiscard]] Words ToWords() const;
};

struct FieldSchema {
  std::string name = {};
  std::string dtype = {};
  std::vector<std::int64_t> dims;  // -1: varies
};

// PARTITION.CREATE. A limit of 0 removes it.
struct CreateRequest {
  std::string partition = {};
  std::optional<std::int64_t> expect = {};
  std::optional<std::int64_t> maxrows = {};
  std::optional<std::int64_t> maxbytes = {};
  std::vector<FieldSchema> fields = {};
  Words tasks = {};
  bool strict = false;
  bool autoevict = false;

  [[nodiscard]] Words ToWords() const;
};

// The fields of these tests: `a` int32 of rank 1, `b` an int8 scalar, `c` utf8.
std::string DtypeOf(const std::string& field);

void AddWhere(Words& words, const Where& where);
void AddRows(Words& words, const RowList& rows);
void AddList(Words& words, const Words& items);

}  // namespace sluice::tests
