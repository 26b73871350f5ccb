#include "store/compaction.h"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "store/store.h"

namespace sluice::store {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::size_t kValueBytes = 10000;

class NoClock final : public WallClock {
 public:
  [[nodiscard]] std::int64_t WallUs() const override { return 0; }
};

class CompactedStore {
 public:
  CompactedStore()
      : memory_(*Arena::Make({.reserve_bytes = 256 * kMiB}), 64 * kMiB),
        store_(memory_, clock_, {.hashing = 1, .visible = 1}),
        compaction_(store_, memory_) {}

  // One column of field `name` for rows "0", "1", ...: row i is this many bytes of 'a' + i % 26.
  void Write(const std::string& name, std::size_t rows) {
    std::string bytes;
    std::vector<std::string> keys;
    for (std::size_t i = 0; i < rows; ++i) {
      bytes += std::string(kValueBytes, ValueOf(i));
      keys.push_back(std::to_string(i));
    }
    const std::vector<std::string_view> views(keys.begin(), keys.end());
    const std::int64_t dims[] = {kValueBytes};
    ColumnWrite column;
    column.source = {.field = name,
                     .dtype = DType::kUint8,
                     .slots = rows,
                     .ragged = false,
                     .rank = 1,
                     .dims = dims,
                     .bytes = bytes,
                     .blob = {}};
    column.chunk = *Chunk::Make(memory_, column.source);
    WriteResult result;
    REQUIRE(store_
                .Write({.partition = "p",
                        .rows = {.kind = RowSet::Kind::kKeys, .keys = views, .indexes = {}},
                        .tags = {},
                        .columns = std::span(&column, 1)},
                       result)
                .ok());
  }
  void ClearAllBut(std::size_t rows, std::size_t kept) {
    for (std::size_t i = 0; i < rows; ++i) {
      const std::string key = std::to_string(i);
      const std::string_view view = key;
      if (i % kept != 0) {
        REQUIRE(*store_.ClearRows("p", {.keys = std::span(&view, 1), .indexes = {}}) == 1);
      }
    }
  }
  std::string Read(std::size_t row, const std::string& name) {
    const std::string key = std::to_string(row);
    const std::string_view key_view = key;
    const std::string_view name_view = name;
    ReadResult result;
    const Status status = store_.Read({.partition = "p",
                                       .rows = {.keys = std::span(&key_view, 1), .indexes = {}},
                                       .fields = std::span(&name_view, 1)},
                                      result);
    return status.ok() ? std::string(result.cells[0].chunk->BytesOf(result.cells[0].slot)) : "";
  }
  void Walk() {
    while (compaction_.Step()) {
    }
  }

  static char ValueOf(std::size_t row) { return static_cast<char>('a' + row % 26); }
  Store& GetStore() { return store_; }
  Compaction& GetCompaction() { return compaction_; }
  [[nodiscard]] std::size_t Used() { return memory_.GetArena().GetStats().used_bytes; }

 private:
  NoClock clock_;
  Memory memory_;
  Store store_;
  Compaction compaction_;
};

TEST_CASE("few values that keep a large blob alive are moved, and do not change", "[compaction]") {
  CompactedStore store;
  store.Write("x", 1000);
  store.Write("y", 1000);
  CHECK(store.Used() >= 2 * 1000 * kValueBytes);
  store.Walk();
  CHECK(store.GetCompaction().MovedValues() == 0);  // all of it is live
  store.ClearAllBut(1000, 100);
  CHECK(store.Used() >= 2 * 1000 * kValueBytes);
  store.Walk();
  CHECK(store.Used() < 3 * 10 * kValueBytes);
  CHECK(store.GetCompaction().MovedValues() == 20);
  for (std::size_t row = 0; row < 1000; row += 100) {
    CHECK(store.Read(row, "x") == std::string(kValueBytes, CompactedStore::ValueOf(row)));
    CHECK(store.Read(row, "y") == std::string(kValueBytes, CompactedStore::ValueOf(row)));
  }
  store.Walk();
  CHECK(store.GetCompaction().MovedValues() == 20);  // nothing is left to move
}

TEST_CASE("cells that share a value still share it after the move", "[compaction]") {
  CompactedStore store;
  store.Write("x", 100);
  ColumnWrite same;
  same.source.field = "x";
  same.same = true;
  same.same_key = "0";
  const std::vector<std::string_view> keys = {"s0", "s1", "s2"};
  WriteResult result;
  REQUIRE(store.GetStore()
              .Write({.partition = "p",
                      .rows = {.kind = RowSet::Kind::kKeys, .keys = keys, .indexes = {}},
                      .tags = {},
                      .columns = std::span(&same, 1)},
                     result)
              .ok());
  store.ClearAllBut(100, 100);
  store.Walk();
  CHECK(store.GetCompaction().MovedValues() == 4);
  std::vector<FieldSummary> fields;
  REQUIRE(store.GetStore().Summarize("p", fields).ok());
  CHECK(fields[0].bytes == kValueBytes);
  CHECK(fields[0].ready_rows == 4);
}

TEST_CASE("values written, cleared or pinned between the steps stay correct", "[compaction]") {
  for (int stop = 0; stop < 12; ++stop) {
    CAPTURE(stop);
    CompactedStore store;
    store.Write("x", 300);
    store.ClearAllBut(300, 50);
    Snapshot pinned;
    REQUIRE(store.GetStore().TakeSnapshot({.partition = "p"}, pinned).ok());
    for (int step = 0; step < stop && store.GetCompaction().Step(); ++step) {
    }
    switch (stop % 3) {
      case 0:
        store.Write("x", 1);  // row 0 has another value now, though an equal one
        break;
      case 1: {
        const std::string_view key = "0";
        REQUIRE(*store.GetStore().ClearRows("p", {.keys = std::span(&key, 1), .indexes = {}}) == 1);
        break;
      }
      default:
        REQUIRE(store.GetStore().RemovePartition("p")->rows == 6);
        store.Write("x", 300);  // another partition of the same name
    }
    store.Walk();
    store.Walk();
    for (std::size_t row = stop % 3 == 1 ? 50 : 0; row < 300; row += 50) {
      CHECK(store.Read(row, "x") == std::string(kValueBytes, CompactedStore::ValueOf(row)));
    }
    CHECK(pinned.Rows() == 6);
  }
}

}  // namespace
}  // namespace sluice::store
