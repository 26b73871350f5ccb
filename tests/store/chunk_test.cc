// Columns: checks, storage, reading, and cost.
#include "store/tensor/chunk.h"

#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "base/text.h"

namespace sluice::store {
namespace {

using Numbers = std::vector<std::int64_t>;

constexpr std::size_t kMiB = std::size_t{1} << 20;

Memory MakeMemory() {
  return {*Arena::Make({.reserve_bytes = 16 * kMiB}), 8 * kMiB};
}

ColumnSource Dense(DType dtype, std::size_t slots, const Numbers& dims, std::string_view bytes) {
  return {.field = "x",
          .dtype = dtype,
          .slots = slots,
          .ragged = false,
          .rank = dims.size(),
          .dims = dims,
          .bytes = bytes,
          .blob = {}};
}

ColumnSource Ragged(DType dtype, std::size_t rank, const Numbers& dims, std::string_view bytes) {
  ColumnSource source = Dense(dtype, rank == 0 ? 1 : dims.size() / rank, dims, bytes);
  source.ragged = true;
  source.rank = rank;
  return source;
}

}  // namespace

TEST_CASE("a column whose bytes do not match is refused with the numbers", "[chunk]") {
  const auto message = [](const ColumnSource& source) {
    const Status status = CheckColumn(source);
    CHECK((status.ok() || status.GetCode() == Code::kShape));
    return status.Message();
  };
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  const std::string bytes(64, 'b');
  CHECK(message(Dense(DType::kInt64, 1, {2}, "abc")) ==
        "field 'x': int64 [2] needs 16 bytes, got 3");
  CHECK(message(Dense(DType::kInt64, 4, {2}, "abc")) ==
        "field 'x': 4 rows of int64 [2] need 64 bytes, got 3");
  CHECK(message(Dense(DType::kInt64, 4, {2}, bytes)).empty());
  CHECK(message(Dense(DType::kUtf8, 1, {64}, bytes)).empty());
  CHECK(message(Dense(DType::kUtf8, 1, {}, "a")) ==
        "field 'x': utf8 has rank 1 (its length), not 0");
  CHECK(message(Dense(DType::kUint8, 1, {-1, 2}, "")) == "field 'x': a dim is negative: [-1, 2]");
  CHECK(message(Dense(DType::kUint8, 1, {0, kMax, 2}, "")) ==
        "field 'x': shape [0, 9223372036854775807, 2] is too large");
  CHECK(message(Dense(DType::kUint8, 2, {kMax}, "")) ==
        "field 'x': 2 rows of uint8 [9223372036854775807] are too large");
  CHECK(message(Dense(DType::kUint8, 1, Numbers(33, 1), "a")) ==
        "field 'x': rank 33 is more than 32");

  CHECK(message(Ragged(DType::kInt64, 1, {3, 0, 5}, bytes)).empty());
  CHECK(message(Ragged(DType::kInt64, 1, {3, 5}, "abc")) ==
        "field 'x': the shapes need 64 bytes, got 3");
  CHECK(message(Ragged(DType::kUint8, 1, {kMax, 1}, "")) ==
        "field 'x': the shapes together are too large");
  CHECK(message(Ragged(DType::kUint8, 33, Numbers(33, 1), "a")) ==
        "field 'x': rank 33 is more than 32");
  const Numbers two_shapes = {1, 1, 1, 1};
  ColumnSource short_shapes = Ragged(DType::kUint8, 2, two_shapes, "ab");
  short_shapes.slots = 3;
  CHECK(message(short_shapes) == "field 'x': 3 shapes of rank 2 are 6 numbers, got 4");
}

TEST_CASE("a chunk refers to the blob that the bytes came in, or copies them", "[chunk]") {
  Memory memory = MakeMemory();
  const Numbers dims = {3};
  ColumnSource source = Dense(DType::kUint8, 2, dims, "abcdef");
  {
    const auto copied = Chunk::Make(memory, source);
    REQUIRE(copied.ok());
    CHECK((*copied)->BytesOf(1) == "def");
    CHECK((*copied)->BytesOf(1).data() != source.bytes.data() + 3);
    CHECK((*copied)->DimsOf(1)[0] == 3);
  }
  CHECK(memory.GetBudget().Used() == 0);

  source.blob = memory.Allocate(8);
  std::memcpy(source.blob.data(), "..abcdef", 8);
  source.bytes = source.blob.View().substr(2);
  const char* const begin = source.bytes.data();
  auto made = Chunk::Make(memory, source);
  REQUIRE(made.ok());
  source.blob = Blob();  // the chunk holds it
  ChunkRef chunk = *std::move(made);
  const ChunkRef copy = chunk;
  chunk = ChunkRef();
  CHECK(copy->BytesOf(0).data() == begin);
  CHECK(copy->BytesOf(1) == "def");
}

TEST_CASE("a value with its own blob costs at most 128 bytes more", "[chunk]") {
  Memory memory = MakeMemory();
  const std::string bytes(kMiB, 'b');
  const auto chunk = Chunk::Make(memory, Dense(DType::kUint8, 1, {kMiB}, bytes));
  REQUIRE(chunk.ok());
  const auto used = static_cast<std::size_t>(memory.GetBudget().Used());
  CHECK(used >= kMiB);
  CHECK(used <= kMiB + 128);
  // Ragged: an offset and a dim per slot; and a bit for whether the slot is live.
  const Numbers lengths(1000, 1);
  const auto ragged = Chunk::Make(memory, Ragged(DType::kUint8, 1, lengths, bytes.substr(0, 1000)));
  REQUIRE(ragged.ok());
  CHECK(static_cast<std::size_t>(memory.GetBudget().Used()) - used <=
        1000 * 16 + 1000 / 8 + 4096 + 128);
}

TEST_CASE("if memory is too short for a chunk, nothing stays charged", "[chunk]") {
  Memory memory = MakeMemory();
  const std::string bytes(kMiB, 'b');
  const Numbers dims = {kMiB};
  const ColumnSource source = Dense(DType::kUint8, 1, dims, bytes);
  for (const std::int64_t limit : {std::int64_t{10}, std::int64_t{1000}, std::int64_t{kMiB}}) {
    memory.GetBudget().SetLimit(limit);
    CHECK(Chunk::Make(memory, source).GetStatus().GetCode() == Code::kOom);
    CHECK(memory.GetBudget().Used() == 0);
  }
  memory.GetBudget().SetLimit(Budget::kNoLimit);
  const std::string larger(17 * kMiB, 'b');  // larger than the arena
  CHECK_FALSE(Chunk::Make(memory, Dense(DType::kUint8, 1, {17 * kMiB}, larger)).ok());
  CHECK(memory.GetBudget().Used() == 0);
  CHECK(Chunk::Make(memory, source).ok());
}

TEST_CASE("an open ragged chunk takes each shape of its rank", "[chunk]") {
  Memory memory = MakeMemory();
  const auto made = Chunk::MakeOpen(
      memory, {.dtype = DType::kUint8, .ragged = true, .dims = {}, .rank = 1, .bytes = 64});
  REQUIRE(made.ok());
  Chunk& chunk = *made->get();
  CHECK(chunk.Append(Numbers{3}, "abc"));
  CHECK(chunk.Append(Numbers{0}, ""));
  CHECK(chunk.Append(Numbers{2}, "de"));
  CHECK_FALSE(chunk.Append(Numbers{1, 1}, "f"));
  CHECK_FALSE(chunk.Append(Numbers{60}, std::string(60, 'x')));
  CHECK(chunk.Slots() == 3);
  CHECK(chunk.BytesOf(0) == "abc");
  CHECK(chunk.BytesOf(2) == "de");
  CHECK(chunk.Append(Numbers{59}, std::string(59, 'x')));
  CHECK_FALSE(chunk.Append(Numbers{1}, "y"));
  int empty = 0;
  while (chunk.Append(Numbers{0}, "")) {
    ++empty;
  }
  CHECK(empty == 16 - 4);  // limited, though a slot needs no byte
}

TEST_CASE("a chunk knows its live slots, however many cells share one", "[chunk]") {
  Memory memory = MakeMemory();
  const std::string bytes(std::size_t{100} * 100, 'v');
  const Numbers dims = {100};
  auto made = Chunk::Make(memory, Dense(DType::kUint8, 100, dims, bytes));
  REQUIRE(made.ok());
  Chunk& chunk = *made->get();
  CHECK_FALSE(chunk.IsLive(70));
  CHECK(chunk.PointAt(70) == 100);
  CHECK(chunk.PointAt(70) == 0);
  CHECK(chunk.PointAt(71) == 100);
  CHECK(chunk.GetBlob().LiveBytes() == 200);
  CHECK(chunk.UnpointAt(70) == 0);
  CHECK(chunk.IsLive(70));
  CHECK(chunk.UnpointAt(70) == 100);
  CHECK_FALSE(chunk.IsLive(70));
  CHECK(chunk.IsLive(71));
  CHECK(chunk.GetBlob().LiveBytes() == 100);
}

TEST_CASE("an open chunk of empty values is limited and costs no payload", "[chunk]") {
  Memory memory = MakeMemory();
  const Numbers dims = {0};
  const auto open =
      Chunk::MakeOpen(memory, {.dtype = DType::kInt64, .dims = dims, .rank = 1, .bytes = 4096});
  REQUIRE(open.ok());
  CHECK(memory.GetBudget().Used() < 4096);
  while ((*open)->Append(dims, "")) {
  }
  CHECK((*open)->Slots() == 4096);
}

TEST_CASE("existing slots are read while others are appended", "[chunk]") {
  Memory memory = MakeMemory();
  const auto open = Chunk::MakeOpen(
      memory, {.dtype = DType::kUint8, .ragged = true, .dims = {}, .rank = 1, .bytes = 64 * 1024});
  REQUIRE(open.ok());
  ChunkRef chunk = *open;
  REQUIRE(chunk->Append(Numbers{5}, "first"));
  std::thread reader([pinned = chunk] {
    for (int i = 0; i < 10000; ++i) {
      if (pinned->BytesOf(0) != "first" || pinned->DimsOf(0)[0] != 5) {
        std::abort();
      }
    }
  });
  while (chunk->Append(Numbers{7}, "another")) {
  }
  reader.join();
  CHECK(chunk->Slots() == 1024);
}

TEST_CASE("charged bytes are no longer announced", "[blob]") {
  Memory memory = MakeMemory();  // 8 MiB may be announced
  Blob first = memory.Reserve(8 * kMiB);
  REQUIRE_FALSE(first.IsNull());
  CHECK(memory.Reserve(1).IsNull());
  CHECK(first.ChargeUpTo(8 * kMiB, 0));
  CHECK_FALSE(memory.Reserve(8 * kMiB).IsNull());
  first = Blob();
  CHECK_FALSE(memory.Reserve(8 * kMiB).IsNull());
}

TEST_CASE("a text is shared by count, and null is empty", "[text]") {
  CHECK(Text().IsNull());
  CHECK(Text().View().empty());
  CHECK_FALSE(Text("").IsNull());
  Text text("key");
  const Text copy = text;
  CHECK(copy.View().data() == text.View().data());
  text = Text("other");
  CHECK(copy.View() == "key");
  CHECK(text.View() == "other");
  const Text moved = std::move(text);
  CHECK(moved.View() == "other");
}

TEST_CASE("a budget refuses a charge beyond its limit, and remembers its peak", "[budget]") {
  Budget budget;
  budget.SetLimit(100);
  CHECK(budget.TryCharge(100));
  CHECK_FALSE(budget.TryCharge(1));
  CHECK(budget.TryCharge(5, 5));
  CHECK_FALSE(budget.TryCharge(1, 5));
  CHECK(budget.TryCharge(0));
  CHECK_FALSE(budget.TryCharge(Budget::kNoLimit, Budget::kNoLimit));  // no overflow
  budget.Charge(50);
  budget.Release(155);
  CHECK(budget.Used() == 0);
  CHECK(budget.Peak() == 155);
}

}  // namespace sluice::store
