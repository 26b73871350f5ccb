#include "store/safetensors/safetensors_name.h"

#include <set>

#include <catch2/catch.hpp>

#include "base/ids.h"
#include "store/safetensors/safetensors.h"

namespace sluice::store {
namespace {

// Every sequence of up to four of the parts that have a meaning in a file.
std::vector<std::string> HostileNames() {
  std::vector<std::string> names = {""};
  for (std::size_t at = 0; at < names.size(); ++at) {
    for (const char* const part : {"_", "__", "%", ".values", ".shapes", "a"}) {
      if (std::string name = names[at] + part; at < 1 + 6 + 36 + 216) {
        names.push_back(std::move(name));
      }
    }
  }
  std::set<std::string> distinct(names.begin() + 1, names.end());
  distinct.insert({"__metadata__", "__partition__", "__keys__", std::string(512, '%')});
  return {distinct.begin(), distinct.end()};
}

// A file in which each of `fields` is a column of two rows: ragged utf8, or dense uint8.
struct Columns {
  std::vector<SafetensorsTensor> tensors;
  std::vector<std::pair<std::string, std::string>> metadata;
  std::string bytes;

  void Add(const std::string& field, bool ragged) {
    const std::string name = SafetensorsName(field);
    if (!ragged) {
      tensors.push_back({.name = name, .dtype = DType::kUint8, .shape = {2}, .bytes = 2});
      bytes += "ab";
      return;
    }
    tensors.push_back(
        {.name = name + ".shapes", .dtype = DType::kInt64, .shape = {2, 1}, .bytes = 16});
    tensors.push_back({.name = name + ".values", .dtype = DType::kUtf8, .shape = {2}, .bytes = 2});
    metadata.emplace_back(name, "utf8");
    bytes += std::string("\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0", 16) + "cd";
  }
  [[nodiscard]] std::string File() const { return SafetensorsHeader(tensors, metadata) + bytes; }
};

TEST_CASE("a field has one name in a file, no other field has it, and it cannot be misread",
          "[safetensors]") {
  std::set<std::string> seen;
  for (const std::string& field : HostileNames()) {
    CAPTURE(field);
    const std::string name = SafetensorsName(field);
    CHECK(seen.insert(name).second);
    CHECK_FALSE(name.starts_with("__"));
    CHECK_FALSE(name.ends_with(".values"));
    CHECK_FALSE(name.ends_with(".shapes"));
    const auto read = FieldOfSafetensorsName(name);
    REQUIRE(read.ok());
    CHECK(*read == field);
  }
  CHECK(SafetensorsName("a") == "a");
  CHECK(SafetensorsName("_a.values.x") == "_a.values.x");
  CHECK(SafetensorsName("__a") == "%__a");
  CHECK(SafetensorsName("a.values") == "a.values%");
  CHECK(SafetensorsName("%") == "%%%");
  CHECK(SafetensorsName("%%") == "%%%%");
}

TEST_CASE("a tensor whose name is that of no field is an error that shows the right name",
          "[safetensors]") {
  for (const std::string& name : HostileNames()) {
    CAPTURE(name);
    const auto field = FieldOfSafetensorsName(name);
    if (field.ok()) {
      CHECK(SafetensorsName(*field) == name);
    } else {
      CHECK(field.GetStatus().GetCode() == Code::kError);
      CHECK(field.GetStatus().Message().find(Printable(SafetensorsName(name))) !=
            std::string::npos);
    }
  }
  CHECK(FieldOfSafetensorsName("__x").GetStatus().Message() ==
        "tensor '__x': a field '__x' is named '%__x' in a file");
  CHECK(FieldOfSafetensorsName("a.values").GetStatus().Message() ==
        "tensor 'a.values': a field 'a.values' is named 'a.values%' in a file; a ragged field has "
        "both .values and .shapes");
  CHECK_FALSE(FieldOfSafetensorsName("").ok());
  CHECK_FALSE(FieldOfSafetensorsName(std::string(513, 'n')).ok());
}

TEST_CASE("fields of hostile names are read back, dense and ragged side by side", "[safetensors]") {
  const std::vector<std::string> fields = HostileNames();
  for (const std::size_t ragged : {0U, 1U}) {
    Columns columns;
    for (std::size_t i = 0; i < fields.size(); ++i) {
      columns.Add(fields[i], i % 2 == ragged);
    }
    const std::string file = columns.File();
    const auto read = ReadSafetensors(file, 2);
    INFO(read.GetStatus().Message());
    REQUIRE(read.ok());
    REQUIRE(read->size() == fields.size());
    for (std::size_t i = 0; i < fields.size(); ++i) {
      const SafetensorsColumn& column = (*read)[i];
      CAPTURE(fields[i]);
      CHECK(column.field == fields[i]);
      CHECK(column.ragged == (i % 2 == ragged));
      CHECK(column.dtype == (column.ragged ? DType::kUtf8 : DType::kUint8));
      CHECK(column.bytes == (column.ragged ? "cd" : "ab"));
    }
  }
}

TEST_CASE("NAME.shapes beside a dense field of a hostile name is ignored", "[safetensors]") {
  for (const std::string field : {"a.values", "a.shapes", "__a", "%", "__metadata__"}) {
    CAPTURE(field);
    Columns columns;
    columns.Add(field, false);
    columns.tensors.push_back({.name = SafetensorsName(field) + ".shapes",
                               .dtype = DType::kInt64,
                               .shape = {2, 1},
                               .bytes = 16});
    columns.bytes += std::string(16, '\0');
    const std::string file = columns.File();
    const auto read = ReadSafetensors(file, 2);
    REQUIRE(read.ok());
    REQUIRE(read->size() == 1);
    CHECK(read->front().field == field);
  }
}

}  // namespace
}  // namespace sluice::store
