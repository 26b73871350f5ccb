// Names, dtypes, shapes, values as text, blobs, incarnations.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <set>

#include <catch2/catch.hpp>

#include "base/ids.h"
#include "store/memory/blob.h"
#include "store/partition/partition.h"
#include "store/store.h"
#include "store/tensor/shape.h"
#include "store/tensor/torch/loader.h"
#include "store/tensor/values.h"

namespace sluice::store {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

TEST_CASE("names are UTF-8 without control characters, 1 to 512 bytes", "[ids]") {
  for (const std::string& name :
       {std::string("a"), std::string(512, 'n'), std::string("é 漢 😀"), std::string("a.b/c")}) {
    CAPTURE(name);
    CHECK(CheckName("key", name).ok());
  }
  for (const std::string& name :
       {std::string(), std::string(513, 'n'), std::string("a\nb"), std::string(1, '\0'),
        std::string("\x7f"), std::string("\xc2\x80"), std::string("\xc2\x9f"), std::string("\xff"),
        std::string("\xc3"), std::string("\xed\xa0\x80"), std::string("\xc0\x80"),
        std::string("\xf5\x80\x80\x80")}) {
    CAPTURE(Printable(name));
    const Status status = CheckName("key", name);
    CHECK(status.GetCode() == Code::kError);
    CHECK(status.Message().find("key") != std::string::npos);
  }
}

TEST_CASE("every dtype is found by its name in any case", "[dtype]") {
  for (std::size_t i = 0; i < kDTypes; ++i) {
    const auto dtype = static_cast<DType>(i);
    std::string upper(NameOf(dtype));
    for (char& c : upper) {
      c = static_cast<char>(std::toupper(c));
    }
    CAPTURE(upper);
    CHECK(*ParseDType(NameOf(dtype)) == dtype);
    CHECK(*ParseDType(upper) == dtype);
  }
  CHECK(*ParseDType("FLOAT") == DType::kFloat32);
  CHECK(*ParseDType("double") == DType::kFloat64);
  CHECK(*ParseDType("STRING") == DType::kUtf8);
  CHECK(ParseDType("float128").GetStatus().GetCode() == Code::kDType);
}

TEST_CASE("shape arithmetic is checked", "[shape]") {
  const auto bytes = [](std::vector<std::int64_t> dims) {
    return TensorBytes("x", DType::kInt64, dims);
  };
  CHECK(*bytes({}) == 8);
  CHECK(*bytes({2, 3}) == 48);
  CHECK(*bytes({0, 5}) == 0);
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  for (const auto& dims :
       std::vector<std::vector<std::int64_t>>{{-1},
                                              {kMax},
                                              {kMax, 2},
                                              {0, kMax, kMax},
                                              {1LL << 32, 1LL << 31},
                                              std::vector<std::int64_t>(33, 1)}) {
    CAPTURE(ShapeText(dims));
    CHECK(bytes(dims).GetStatus().GetCode() == Code::kShape);
  }
  CHECK(*bytes(std::vector<std::int64_t>(32, 1)) == 8);
  CHECK(ShapeText(std::vector<std::int64_t>{2, 3}) == "[2, 3]");
}

std::string RoundTrip(DType dtype, const std::string& text, const SluiceTorchApi* torch = nullptr) {
  char bytes[8] = {};
  const std::string_view texts[] = {text};
  const Status status = ParseValues("x", dtype, texts, torch, bytes);
  if (!status.ok()) {
    return "error";
  }
  std::string out;
  FormatValue(dtype, bytes, torch, out);
  return out;
}

TEST_CASE("values are read and written as in Python", "[values]") {
  CHECK(RoundTrip(DType::kInt64, "-9223372036854775808") == "-9223372036854775808");
  CHECK(RoundTrip(DType::kUint8, "255") == "255");
  CHECK(RoundTrip(DType::kInt8, "-128") == "-128");
  CHECK(RoundTrip(DType::kBool, "True") == "1");
  CHECK(RoundTrip(DType::kBool, "0") == "0");
  CHECK(RoundTrip(DType::kFloat32, "0.1") == "0.1");
  CHECK(RoundTrip(DType::kFloat32, "3") == "3");
  CHECK(RoundTrip(DType::kFloat64, "1e20") == "1e+20");
  CHECK(RoundTrip(DType::kFloat64, "-0.0") == "-0");
  CHECK(RoundTrip(DType::kFloat64, "-inf") == "-inf");
  CHECK(RoundTrip(DType::kFloat64, "Infinity") == "inf");
  CHECK(RoundTrip(DType::kFloat32, "NaN") == "nan");
  CHECK(RoundTrip(DType::kFloat32, "1e99") == "inf");
  CHECK(RoundTrip(DType::kFloat32, "1e-99") == "0");
  CHECK(RoundTrip(DType::kFloat64, "5e-324") == "5e-324");
  for (const char* const bad : {"", " 1", "1 ", "0x10", "abc", "1_000", "--1", "+-1", "nan(1)"}) {
    CAPTURE(bad);
    CHECK(RoundTrip(DType::kFloat64, bad) == "error");
    CHECK(RoundTrip(DType::kInt32, bad) == "error");
  }
  for (const char* const bad : {"256", "-1", "1.0", "99999999999999999999"}) {
    CAPTURE(bad);
    CHECK(RoundTrip(DType::kUint8, bad) == "error");
  }
  CHECK(RoundTrip(DType::kBool, "2") == "error");
}

TEST_CASE("random floats keep their bits through text", "[values]") {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    const std::uint64_t bits = random();
    for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
      char value[8];
      std::memcpy(value, &bits, 8);
      std::string text;
      FormatValue(dtype, value, nullptr, text);
      if (text == "nan") {
        continue;
      }
      char back[8] = {};
      const std::string_view texts[] = {text};
      REQUIRE(ParseValues("x", dtype, texts, nullptr, back).ok());
      REQUIRE(std::memcmp(value, back, SizeOf(dtype)) == 0);
    }
  }
}

#ifdef SLUICE_TORCH_MODULE
TEST_CASE("every half-precision and 8-bit float keeps its bits through text", "[values][torch]") {
  TorchLoader loader({SLUICE_TORCH_MODULE});
  std::string why_not;
  const SluiceTorchApi* const torch = loader.Get(&why_not);
  CAPTURE(why_not);
  REQUIRE(torch != nullptr);
  for (const DType dtype :
       {DType::kFloat8E4M3FN, DType::kFloat8E5M2, DType::kFloat16, DType::kBFloat16}) {
    CAPTURE(NameOf(dtype));
    const unsigned count = SizeOf(dtype) == 1 ? 256 : 65536;
    for (unsigned bits = 0; bits < count; bits += SizeOf(dtype) == 1 ? 1 : 7) {
      std::string text;
      char value[2] = {static_cast<char>(bits), static_cast<char>(bits >> 8)};
      FormatValue(dtype, value, torch, text);
      char back[2] = {};
      const std::string_view texts[] = {text};
      REQUIRE(ParseValues("x", dtype, texts, torch, back).ok());
      if (text != "nan") {
        CAPTURE(text, bits);
        REQUIRE(std::memcmp(value, back, SizeOf(dtype)) == 0);
      }
    }
  }
  CHECK(RoundTrip(DType::kFloat16, "0.1", torch) == "0.1");
  CHECK(RoundTrip(DType::kFloat16, "1e9", torch) == "inf");
  CHECK(RoundTrip(DType::kFloat8E4M3FN, "448", torch) == "448");
  CHECK(torch->to_float32(static_cast<SluiceDType>(DType::kInt8), "", 0, nullptr) == -1);
}
#endif

Memory MakeMemory() {
  return {*Arena::Make({.reserve_bytes = 64 * kMiB}), 32 * kMiB};
}

TEST_CASE("a blob is charged until its last holder releases it", "[blob]") {
  Memory memory = MakeMemory();
  Budget& budget = memory.GetBudget();
  Blob blob = memory.Allocate(5000);
  const std::int64_t charged = budget.Used();
  CHECK(charged >= 8192);
  Blob copy = blob;
  blob = Blob();
  CHECK(budget.Used() == charged);
  copy = Blob();
  CHECK(budget.Used() == 0);

  budget.SetLimit(10000);
  CHECK(memory.Allocate(20000).IsNull());
  CHECK_FALSE(memory.Allocate(20000, 20000).IsNull());  // with an overdraft
  CHECK(budget.Used() == 0);
}

TEST_CASE("announced bytes are charged as they arrive", "[blob]") {
  Memory memory = MakeMemory();
  Budget& budget = memory.GetBudget();
  Blob blob = memory.Reserve(16 * kMiB);
  REQUIRE_FALSE(blob.IsNull());
  CHECK(budget.Used() < 4096);
  CHECK(blob.ChargeUpTo(1, 0));
  CHECK(budget.Used() < 2 * static_cast<std::int64_t>(kMiB));
  CHECK(memory.Reserve(24 * kMiB).IsNull());  // the sum of announced bytes is limited
  budget.SetLimit(4 * kMiB);
  CHECK(blob.ChargeUpTo(2 * kMiB, 0));
  CHECK_FALSE(blob.ChargeUpTo(8 * kMiB, 0));
  CHECK(memory.Reserve(5 * kMiB).IsNull());  // can never fit
  blob = Blob();
  CHECK(budget.Used() == 0);
  budget.SetLimit(Budget::kNoLimit);
  CHECK_FALSE(memory.Reserve(24 * kMiB).IsNull());
}

class StoppedClock final : public WallClock {
 public:
  [[nodiscard]] std::int64_t WallUs() const override { return 1700000000000000; }
};

// The first incarnation of a server that starts with these seeds.
std::int64_t FirstIncarnation(Seeds seeds) {
  Memory memory(*Arena::Make({.reserve_bytes = 16 * kMiB}), 4 * kMiB);
  const StoppedClock clock;
  Store store(memory, clock, seeds);
  REQUIRE(store.SetTerms("p", {}).ok());
  return (*store.FindPartition("p"))->Incarnation();
}

TEST_CASE("an incarnation is not used again after a restart, even if the clock was set back",
          "[incarnation]") {
  std::set<std::int64_t> seen;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const std::int64_t incarnation = FirstIncarnation({.hashing = 1, .visible = seed});
    CHECK(incarnation > 0);
    CHECK(incarnation < std::int64_t{1} << 53);
    seen.insert(incarnation);
  }
  CHECK(seen.size() == 100);
}

TEST_CASE("an incarnation tells nothing of the seed that hashes keys", "[incarnation]") {
  CHECK(FirstIncarnation({.hashing = 1, .visible = 7}) ==
        FirstIncarnation({.hashing = 2, .visible = 7}));
}

}  // namespace
}  // namespace sluice::store
