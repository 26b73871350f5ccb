#include "store/safetensors/safetensors.h"

#include <cstring>
#include <initializer_list>

#include <catch2/catch.hpp>

#include "store/tensor/shape.h"

namespace sluice::store {
namespace {

using Metadata = std::vector<std::pair<std::string, std::string>>;

std::string File(std::string_view header, std::string_view payload) {
  const std::uint64_t length = header.size();
  std::string file(sizeof(length), '\0');
  std::memcpy(file.data(), &length, sizeof(length));
  return file.append(header).append(payload);
}

std::string Int64s(std::initializer_list<std::int64_t> values) {
  std::string bytes;
  for (const std::int64_t value : values) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  return bytes;
}

// A file of tensors whose payloads are `bytes`, one after another.
std::string Written(const std::vector<SafetensorsTensor>& tensors, std::string_view bytes,
                    const Metadata& metadata = {}) {
  return SafetensorsHeader(tensors, metadata).append(bytes);
}

SafetensorsTensor U8(std::string name, std::vector<std::int64_t> shape, std::size_t bytes) {
  return {
      .name = std::move(name), .dtype = DType::kUint8, .shape = std::move(shape), .bytes = bytes};
}
SafetensorsTensor I64(std::string name, std::vector<std::int64_t> shape, std::size_t bytes) {
  return {
      .name = std::move(name), .dtype = DType::kInt64, .shape = std::move(shape), .bytes = bytes};
}

Status StatusOf(std::string_view file, std::size_t rows = 2) {
  return ReadSafetensors(file, rows).GetStatus();
}

// The status of a file of one header, followed by this many zeros.
Status HeaderStatus(std::string_view header, std::size_t payload_bytes = 0) {
  return StatusOf(File(header, std::string(payload_bytes, '\0')));
}

void CheckFails(const Status& status, Code code, std::string_view culprit) {
  INFO(status.Message());
  CHECK(status.GetCode() == code);
  CHECK(status.Message().find(culprit) != std::string::npos);
}

// Two rows: a dense float32 [3], a ragged int16 of rank 2, a utf8, a scalar bool.
std::string Sample() {
  std::vector<SafetensorsTensor> tensors = {
      {.name = "x", .dtype = DType::kFloat32, .shape = {2, 3}, .bytes = 24},
      {.name = "r.values", .dtype = DType::kInt16, .shape = {5}, .bytes = 10},
      I64("r.shapes", {2, 2}, 32),
      {.name = "s.values", .dtype = DType::kUtf8, .shape = {3}, .bytes = 3},
      I64("s.shapes", {2, 1}, 16),
      {.name = "ok", .dtype = DType::kBool, .shape = {2}, .bytes = 2},
  };
  const std::string bytes = std::string(24, 'f') + std::string(10, 'v') + Int64s({2, 2, 1, 1}) +
                            "abc" + Int64s({0, 3}) + std::string("\1\0", 2);
  return Written(tensors, bytes, {{"s", "utf8"}, {"__keys__", "[\"1\",\"2\"]"}});
}

TEST_CASE("the header writer's output is parsed again, payloads in place", "[safetensors]") {
  const std::string file = Sample();
  const auto columns = ReadSafetensors(file, 2);
  INFO(columns.GetStatus().Message());
  REQUIRE(columns.ok());
  REQUIRE(columns->size() == 4);
  const SafetensorsColumn& x = (*columns)[0];
  CHECK(x.field == "x");
  CHECK(x.dtype == DType::kFloat32);
  CHECK_FALSE(x.ragged);
  CHECK(x.rank == 1);
  CHECK(x.dims == std::vector<std::int64_t>{3});
  CHECK(x.bytes == std::string(24, 'f'));
  CHECK(x.bytes.data() > file.data());
  CHECK(x.bytes.data() < file.data() + file.size());
  const SafetensorsColumn& r = (*columns)[1];
  CHECK(r.field == "r");
  CHECK(r.dtype == DType::kInt16);
  CHECK(r.ragged);
  CHECK(r.rank == 2);
  CHECK(r.dims == std::vector<std::int64_t>{2, 2, 1, 1});
  CHECK(r.bytes == std::string(10, 'v'));
  const SafetensorsColumn& s = (*columns)[2];
  CHECK(s.field == "s");
  CHECK(s.dtype == DType::kUtf8);
  CHECK(s.dims == std::vector<std::int64_t>{0, 3});
  CHECK(s.bytes == "abc");
  const SafetensorsColumn& ok = (*columns)[3];
  CHECK(ok.rank == 0);
  CHECK(ok.dims.empty());
}

TEST_CASE("the written header is padded, ordered, and escaped", "[safetensors]") {
  const std::string header = SafetensorsHeader(
      std::vector{U8("q\"\\é", {2}, 2), I64("b", {2, 0}, 0)}, Metadata{{"q", "a\n\x01"}});
  CHECK(header.size() % 8 == 0);
  const std::string text = R"({"__metadata__":{"q":"a\n\u0001"},)"
                           R"("q\"\\é":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                           R"("b":{"dtype":"I64","shape":[2,0],"data_offsets":[2,2]}})";
  CHECK(header.substr(8, text.size()) == text);
  CHECK(header.find_first_not_of(' ', 8 + text.size()) == std::string::npos);
  CHECK(Int64s({static_cast<std::int64_t>(header.size()) - 8}) == header.substr(0, 8));
  CHECK(SafetensorsHeader({}, {}) == File("{}      ", ""));
  CHECK(ReadSafetensors(SafetensorsHeader({}, {}), 7)->empty());
}

TEST_CASE("every dtype has its token, and is read back", "[safetensors]") {
  const std::vector<std::string> tokens = {"BOOL",    "U8",      "I8",   "I16", "I32",
                                           "I64",     "F16",     "BF16", "F32", "F64",
                                           "F8_E4M3", "F8_E5M2", "U8",   "U8",  "U8"};
  for (std::size_t i = 0; i < kDTypes; ++i) {
    const auto dtype = static_cast<DType>(i);
    const std::size_t bytes = 2 * SizeOf(dtype);
    const std::vector<SafetensorsTensor> tensors = {
        {.name = "f", .dtype = dtype, .shape = {2}, .bytes = bytes}};
    const std::string file = Written(tensors, std::string(bytes, '\0'));
    CHECK(file.find("\"dtype\":\"" + tokens[i] + "\"") != std::string::npos);
    CHECK((*ReadSafetensors(file, 2))[0].dtype == (IsByteString(dtype) ? DType::kUint8 : dtype));
  }
  for (const char* const lacking :
       {"U16", "U32", "U64", "F4", "F6_E2M3", "F8_E8M0", "C64", "f32", "float32", ""}) {
    const std::string header =
        R"({"t":{"dtype":")" + std::string(lacking) + R"(","shape":[2],"data_offsets":[0,4]}})";
    CheckFails(HeaderStatus(header, 4), Code::kDType, "'t'");
    CheckFails(HeaderStatus(header, 4), Code::kDType, "'" + std::string(lacking) + "'");
  }
}

TEST_CASE("__metadata__ marks byte strings, and only for ragged U8", "[safetensors]") {
  const std::string shapes = Int64s({1, 1});
  const auto dtype_of = [&](DType dtype, const Metadata& metadata) {
    const std::size_t bytes = 2 * SizeOf(dtype);
    const auto columns =
        ReadSafetensors(Written({{.name = "s.values", .dtype = dtype, .shape = {2}, .bytes = bytes},
                                 I64("s.shapes", {2, 1}, 16)},
                                std::string(bytes, 'x') + shapes, metadata),
                        2);
    REQUIRE(columns.ok());
    return (*columns)[0].dtype;
  };
  CHECK(dtype_of(DType::kUint8, {{"s", "utf8"}}) == DType::kUtf8);
  CHECK(dtype_of(DType::kUint8, {{"a", "utf8"}, {"s", "json"}}) == DType::kJson);
  CHECK(dtype_of(DType::kUint8, {{"s", "bytes"}}) == DType::kBytes);
  CHECK(dtype_of(DType::kUint8, {}) == DType::kUint8);
  CHECK(dtype_of(DType::kUint8, {{"s", "float32"}}) == DType::kUint8);
  CHECK(dtype_of(DType::kUint8, {{"s.values", "utf8"}, {"t", "utf8"}}) == DType::kUint8);
  CHECK(dtype_of(DType::kInt8, {{"s", "utf8"}}) == DType::kInt8);
  const std::string dense = Written({U8("s", {2, 1}, 2)}, "ab", {{"s", "utf8"}});
  CHECK((*ReadSafetensors(dense, 2))[0].dtype == DType::kUint8);
  CheckFails(StatusOf(Written({U8("s.values", {2}, 2), I64("s.shapes", {2, 2}, 32)},
                              "ab" + Int64s({1, 1, 1, 1}), {{"s", "utf8"}})),
             Code::kShape, "'s.shapes'");
  const std::string header = R"({"__metadata__":{"a":1,"b":{"c":["d"]},"e":null},)"
                             R"("t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})";
  CHECK(HeaderStatus(header, 2).ok());
}

TEST_CASE("a pair is a field, half a pair is not", "[safetensors]") {
  const std::string two = Int64s({1, 1});
  const SafetensorsTensor values = U8("a.values", {2}, 2);
  const SafetensorsTensor shapes = I64("a.shapes", {2, 1}, 16);
  const SafetensorsTensor dense = U8("a", {2}, 2);
  CHECK(StatusOf(Written({shapes, values}, two + "xy")).ok());
  CheckFails(StatusOf(Written({values}, "xy")), Code::kError, "a.values");
  CheckFails(StatusOf(Written({shapes}, two)), Code::kError, "a.shapes");
  CheckFails(StatusOf(Written({dense, values}, "xyxy")), Code::kError, "a.values");
  CheckFails(StatusOf(Written({dense, values, shapes}, "xyxy" + two)), Code::kError, "'a'");
  const auto padded =
      ReadSafetensors(Written({I64("a.shapes", {9}, 72), dense}, std::string(72, '\0') + "xy"), 2);
  REQUIRE(padded.ok());
  REQUIRE(padded->size() == 1);
  CHECK_FALSE((*padded)[0].ragged);
  CheckFails(StatusOf(Written({values, shapes, U8("a.values.shapes", {2}, 2)}, "xy" + two + "xy")),
             Code::kError, "a.values.shapes");
  for (const char* const name : {"", ".values", "__x", "a\n", "__metadata", "%x", "x%", "%"}) {
    CHECK(StatusOf(Written({U8(name, {2}, 2)}, "xy")).GetCode() == Code::kError);
  }
  CheckFails(StatusOf(Written({U8(".values", {2}, 2), I64(".shapes", {2, 1}, 16)}, "xy" + two)),
             Code::kError, "empty");
}

TEST_CASE("a bad header is an error that names the reason", "[safetensors]") {
  CheckFails(StatusOf(""), Code::kError, "too short");
  CheckFails(StatusOf("1234567"), Code::kError, "too short");
  CheckFails(StatusOf(Int64s({3}) + "{}"), Code::kError, "truncated");
  CheckFails(StatusOf(Int64s({-1}) + "{}"), Code::kError, "over 100000000");
  CheckFails(StatusOf(Int64s({100'000'001}) + "{}"), Code::kError, "over 100000000");
  for (const char* const bad : {"", "{", "{}x", "{'a':1}", "{\"a\":}", "\xff", "{\"\xff\":{}}"}) {
    CheckFails(HeaderStatus(bad), Code::kError, "not JSON");
  }
  CheckFails(HeaderStatus(R"({"a":{"o":)" + std::string(99, '[') + "]"), Code::kError, "not JSON");
  for (const char* const bad : {"[]", "1", "null", "\"{}\"", "true", "1.5"}) {
    CheckFails(HeaderStatus(bad), Code::kError, "not a JSON object");
  }
  CheckFails(HeaderStatus(R"({"__metadata__":1})"), Code::kError, "'__metadata__'");
  CheckFails(HeaderStatus(R"({"__metadata__":{},"__metadata__":{}})"), Code::kError, "duplicate");
  CheckFails(HeaderStatus(R"({"__metadata__":{"s":"utf8","s":"json"}})"), Code::kError, "'s'");
  const std::string good = R"({"dtype":"U8","shape":[2],"data_offsets":[0,2]})";
  CHECK(HeaderStatus("{\"t\":" + good + "}  ", 2).ok());
  CHECK(HeaderStatus(R"({"t":{"note":[{"dtype":[1.5]}],)" + good.substr(1) + "}", 2).ok());
  CheckFails(HeaderStatus("{\"t\":" + good + ",\"t\":" + good + "}", 2), Code::kError, "duplicate");
  CheckFails(HeaderStatus(R"({"t":)" + good + R"(,"\u0074":)" + good + "}", 2), Code::kError,
             "'t'");
}

TEST_CASE("a tensor's members are unique and well-typed", "[safetensors]") {
  for (const char* const bad : {
           "[]",
           "1",
           "null",
           "{}",
           R"({"shape":[2],"data_offsets":[0,2]})",
           R"({"dtype":"U8","data_offsets":[0,2]})",
           R"({"dtype":"U8","shape":[2]})",
           R"({"dtype":1,"shape":[2],"data_offsets":[0,2]})",
           R"({"dtype":["U8"],"shape":[2],"data_offsets":[0,2]})",
           R"({"dtype":"U8","shape":2,"data_offsets":[0,2]})",
           R"({"dtype":"U8","shape":[[2]],"data_offsets":[0,2]})",
           R"({"dtype":"U8","shape":["2"],"data_offsets":[0,2]})",
           R"({"dtype":"U8","shape":[2.0],"data_offsets":[0,2]})",
           R"({"dtype":"U8","shape":[null],"data_offsets":[0,2]})",
           R"({"dtype":"U8","shape":{"a":2},"data_offsets":[0,2]})",
           R"({"dtype":"U8","shape":[2],"data_offsets":[0]})",
           R"({"dtype":"U8","shape":[2],"data_offsets":[]})",
           R"({"dtype":"U8","shape":[2],"data_offsets":[0,1,2]})",
           R"({"dtype":"U8","shape":[2],"data_offsets":"0,2"})",
           R"({"dtype":"U8","shape":[2],"data_offsets":[0,true]})",
           R"({"dtype":"U8","shape":[2],"shape":[2],"data_offsets":[0,2]})",
           R"({"dtype":"U8","dtype":"U8","shape":[2],"data_offsets":[0,2]})",
           R"({"dtype":"U8","shape":[2],"data_offsets":[0,2],"data_offsets":[0,2]})",
       }) {
    CAPTURE(bad);
    CheckFails(HeaderStatus(R"({"t":)" + std::string(bad) + "}", 2), Code::kError, "'t'");
  }
}

TEST_CASE("offsets, byte counts and rows must match", "[safetensors]") {
  struct Case {
    const char* shape;
    const char* offsets;
  };
  for (const Case& bad : {
           Case{"[2]", "[2,0]"},
           {"[2]", "[0,3]"},
           {"[2]", "[-2,0]"},
           {"[2]", "[0,-2]"},
           {"[2]", "[0,18446744073709551615]"},
           {"[2]", "[0,9223372036854775807]"},
           {"[2]", "[0,1e30]"},
           {"[2]", "[1,2]"},
           {"[2]", "[0,1]"},
           {"[1]", "[0,1]"},
           {"[1,2]", "[0,2]"},
           {"[]", "[0,1]"},
           {"[-1,-2]", "[0,2]"},
           {"[2,-1]", "[0,2]"},
           {"[2,0]", "[0,2]"},
           {"[2,0]", "[0,0]"},
           {"[2,2]", "[0,2]"},
           {"[2,9223372036854775807]", "[0,2]"},
           {"[2,0,9223372036854775807,2]", "[0,0]"},
           {"[18446744073709551616]", "[0,2]"},
           {"[-9223372036854775809]", "[0,2]"},
       }) {
    CAPTURE(bad.shape, bad.offsets);
    const std::string header = R"({"t":{"dtype":"U8","shape":)" + std::string(bad.shape) +
                               R"(,"data_offsets":)" + bad.offsets + "}}";
    const Status status = HeaderStatus(header, 2);
    CAPTURE(status.Message());
    CHECK(status.GetCode() == Code::kShape);
  }
  CHECK(StatusOf(Written({U8("t", {2, 0}, 0)}, "")).ok());
  CHECK(StatusOf(Written({U8("t", {0, 3}, 0)}, ""), 0).ok());
  std::vector<std::int64_t> deep(kRankMax + 1, 1);
  deep[0] = 2;
  CHECK(StatusOf(Written({U8("t", deep, 2)}, "xy")).ok());
  deep.push_back(1);
  CheckFails(StatusOf(Written({U8("t", deep, 2)}, "xy")), Code::kShape, "'t'");
}

TEST_CASE("tensors cover the payload, each byte once, in any order", "[safetensors]") {
  const auto two = [](const char* first, const char* second) {
    return R"({"a":{"dtype":"U8","shape":[2],"data_offsets":)" + std::string(first) +
           R"(},"b":{"dtype":"U8","shape":[2],"data_offsets":)" + second + "}}";
  };
  CHECK(HeaderStatus(two("[0,2]", "[2,4]"), 4).ok());
  CHECK(HeaderStatus(two("[2,4]", "[0,2]"), 4).ok());
  CheckFails(HeaderStatus(two("[0,2]", "[0,2]"), 4), Code::kShape, "overlap");
  CheckFails(HeaderStatus(two("[0,2]", "[1,3]"), 3), Code::kShape, "'b'");
  CheckFails(HeaderStatus(two("[0,2]", "[3,5]"), 5), Code::kShape, "gap");
  CheckFails(HeaderStatus(two("[1,3]", "[3,5]"), 5), Code::kShape, "'a'");
  CheckFails(HeaderStatus(two("[0,2]", "[2,4]"), 5), Code::kShape, "5 bytes");
  CheckFails(HeaderStatus("{}", 1), Code::kShape, "1 bytes");
  const std::string empty = R"({"a":{"dtype":"U8","shape":[2,0],"data_offsets":[2,2]},)"
                            R"("b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]},)"
                            R"("c":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})";
  CHECK(HeaderStatus(empty, 4).ok());
}

TEST_CASE(".values and .shapes must match each other and the rows", "[safetensors]") {
  const auto status = [](const SafetensorsTensor& values, const SafetensorsTensor& shapes,
                         const std::string& dims) {
    return StatusOf(Written({values, shapes}, std::string(values.bytes, 'x') + dims));
  };
  const SafetensorsTensor four = U8("a.values", {4}, 4);
  CHECK(status(four, I64("a.shapes", {2, 1}, 16), Int64s({1, 3})).ok());
  CHECK(status(four, I64("a.shapes", {2, 2}, 32), Int64s({1, 3, 1, 1})).ok());
  CHECK(status(U8("a.values", {2}, 2), I64("a.shapes", {2, 0}, 0), "").ok());
  const auto fails = [&](const SafetensorsTensor& values, const SafetensorsTensor& shapes,
                         const std::string& dims, std::string_view culprit) {
    CheckFails(status(values, shapes, dims), Code::kShape, culprit);
  };
  fails(four, I64("a.shapes", {2, 0}, 0), "", "'a.values'");
  fails(four, I64("a.shapes", {2, 1}, 16), Int64s({1, 2}), "'a.values'");
  fails(four, I64("a.shapes", {2, 1}, 16), Int64s({5, -1}), "'a.shapes'");
  fails(four, I64("a.shapes", {2, 2}, 32), Int64s({1, 4, INT64_MAX, 2}), "'a.shapes'");
  fails(four, I64("a.shapes", {2, 2}, 32), Int64s({0, 4, INT64_MAX, 1}), "'a.values'");
  fails(four, I64("a.shapes", {2, 1}, 16), Int64s({INT64_MAX, 5}), "'a.values'");
  fails(four, I64("a.shapes", {1, 1}, 8), Int64s({4}), "'a.shapes'");
  fails(four, I64("a.shapes", {2}, 16), Int64s({1, 3}), "'a.shapes'");
  fails(four, I64("a.shapes", {2, 33}, 528), std::string(528, '\0'), "rank 33");
  fails(four, {.name = "a.shapes", .dtype = DType::kInt32, .shape = {2, 1}, .bytes = 8},
        std::string(8, '\0'), "'a.shapes'");
  fails(U8("a.values", {2, 2}, 4), I64("a.shapes", {2, 1}, 16), Int64s({1, 3}), "'a.values'");
  fails(U8("a.values", {}, 1), I64("a.shapes", {2, 1}, 16), Int64s({0, 1}), "'a.values'");
}

// For the sanitizers: each copy is in a block of its own size.
TEST_CASE("no truncation and no changed byte of a file is harmful", "[safetensors]") {
  const std::string file = Sample();
  std::size_t good = 0;
  for (std::size_t size = 0; size <= file.size(); ++size) {
    const std::vector<char> part(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
    good += ReadSafetensors({part.data(), part.size()}, 2).ok() ? 1 : 0;
  }
  CHECK(good == 1);
  std::vector<char> changed(file.begin(), file.end());
  for (char& byte : changed) {
    const char before = byte;
    for (int value = 0; value < 256; ++value) {
      byte = static_cast<char>(value);
      const auto columns = ReadSafetensors({changed.data(), changed.size()}, 2);
      good += columns.ok() ? 1 : 0;
      for (std::size_t i = 0; columns.ok() && i < columns->size(); ++i) {
        const std::string_view bytes = (*columns)[i].bytes;
        REQUIRE(bytes.data() >= changed.data());
        REQUIRE(bytes.data() + bytes.size() <= changed.data() + changed.size());
      }
    }
    byte = before;
  }
  CHECK(good > file.size());
}

}  // namespace
}  // namespace sluice::store
