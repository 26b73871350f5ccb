// Numbers in tags: which text is stored, and how WHERE compares them.
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "store/tags/tag.h"
#include "store/tags/where.h"

namespace sluice::store {
namespace {

// Returns the text of a number after it was written, merged with another member, and written again
// as part of an array in an object.
std::string Stored(const std::string& number) {
  const auto first = FreshTag("{\"a\":" + number + "}");
  REQUIRE(first.ok());
  const auto merged = MergeTag(first->View(), "{\"b\":{\"c\":[" + number + "]}}");
  REQUIRE(merged.ok());
  const auto again = MergeTag(merged->View(), "{\"b\":{\"d\":null}}");
  REQUIRE(again.ok());
  const std::string_view value = first->View().substr(5, first->View().size() - 6);
  CHECK(again->View() ==
        "{\"a\":" + std::string(value) + ",\"b\":{\"c\":[" + std::string(value) + "]}}");
  return std::string(value);
}

// The power of ten, as an integer.
std::string PowerOfTen(std::size_t exponent) {
  return "1" + std::string(exponent, '0');
}

// `value` is copied: its own text is overwritten before the tag is read.
bool Matches(std::string_view tag, std::string_view op, std::string value) {
  const Where::Condition condition = {.tag = "a", .op = op, .value = value};
  const auto where = Where::Make({&condition, 1});
  REQUIRE(where.ok());
  value.assign(value.size(), 'x');
  return where->Matches(tag);
}

TEST_CASE("an integer of any size keeps its digits", "[tag]") {
  for (const std::string& integer : {
           std::string("0"),
           std::string("-1"),
           std::string("9223372036854775807"),
           std::string("9223372036854775808"),
           std::string("-9223372036854775808"),
           std::string("-9223372036854775809"),
           std::string("18446744073709551615"),
           std::string("18446744073709551616"),
           std::string("18446744073709551617"),
           std::string("-18446744073709551615"),
           std::string("-18446744073709551616"),
           std::string("99999999999999999999"),
           std::string("340282366920938463463374607431768211455"),
           std::string("340282366920938463463374607431768211456"),
           PowerOfTen(400),
           "-" + PowerOfTen(20000) + "1",
       }) {
    CAPTURE(integer);
    CHECK(Stored(integer) == integer);
  }
  CHECK(Stored("-0") == "0");
}

TEST_CASE("a float stays a float, and its text parses to the same value", "[tag]") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"1.0", "1.0"},
      {"-0.0", "-0.0"},
      {"1e2", "100.0"},
      {"0.1", "0.1"},
      {"0.30000000000000004", "0.30000000000000004"},
      {"18446744073709551616.0", "1.8446744073709552e+19"},
      {"18446744073709551617e0", "1.8446744073709552e+19"},
      {"1.7976931348623157e308", "1.7976931348623157e+308"},
      {PowerOfTen(400) + "e-400", "1.0"},
      {"0." + std::string(400, '0') + "1e401", "1.0"},
      {"5e-324", "5e-324"},
      // Outside the range of a double: infinite, or zero.
      {"1.7976931348623159e308", "1e999"},
      {"1e400", "1e999"},
      {"-1e400", "-1e999"},
      {PowerOfTen(400) + ".0", "1e999"},
      {"1e-400", "0.0"},
      {"-1e-400", "-0.0"},
      {"0e400", "0.0"},
  };
  for (const auto& [text, stored] : cases) {
    CAPTURE(text);
    CHECK(Stored(text) == stored);
  }
}

TEST_CASE("large integers are merged like other values", "[tag]") {
  const auto merged = [](std::string_view tag, std::string_view patch) {
    return std::string(MergeTag(tag, patch)->View());
  };
  const std::string tag = R"({"a":18446744073709551617})";
  CHECK(merged(tag, R"({"a":null})") == "{}");
  CHECK(merged(tag, R"({"a":18446744073709551618})") == R"({"a":18446744073709551618})");
  CHECK(merged(tag, R"({"a":{"b":1}})") == R"({"a":{"b":1}})");
  CHECK(merged(R"({"a":{"b":1}})", tag) == tag);
  CHECK(merged("", R"({"a":1,"a":18446744073709551617})") == tag);
  CHECK(merged("", R"({"a":18446744073709551617,"a":1})") == R"({"a":1})");
  CHECK(merged("", R"({"a":"18446744073709551617"})") == R"({"a":"18446744073709551617"})");
  CHECK(merged("", R"({"a":"ÿ1"})") == R"({"a":"ÿ1"})");
}

// Every number with every other one, as a tag and as the value of a condition.
TEST_CASE("numbers of any size are ordered by value", "[where]") {
  const std::vector<std::vector<std::string>> ascending = {
      {"-1e999", "-1e400", "-" + PowerOfTen(400) + ".0"},
      {"-" + PowerOfTen(400) + "1"},
      {"-" + PowerOfTen(400)},
      {"-340282366920938463463374607431768211457"},
      {"-340282366920938463463374607431768211456", "-340282366920938463463374607431768211456.0"},
      {"-340282366920938463463374607431768211455"},
      {"-18446744073709551617"},
      {"-18446744073709551616", "-18446744073709551616.0", "-1.8446744073709552e19"},
      {"-18446744073709551615"},
      {"-9223372036854775809"},
      {"-9223372036854775808", "-9223372036854775808.0"},
      {"-9007199254740993"},
      {"-9007199254740992", "-9007199254740992.0"},
      {"-1.5"},
      {"-1", "-1.0"},
      {"0", "-0", "0.0", "-0.0", "1e-400"},
      {"5e-324"},
      {"1", "1.0", "10e-1"},
      {"9007199254740991.0"},
      {"9007199254740992", "9007199254740992.0", "9007199254740993.0"},  // the nearest double
      {"9007199254740993"},
      {"9007199254740994", "9007199254740994.0"},
      {"9223372036854775807"},
      {"9223372036854775808", "9.223372036854775808e18"},
      {"18446744073709549568.0"},  // the double below 2^64
      {"18446744073709551615"},
      {"18446744073709551616", "18446744073709551616.0", "18446744073709551617.0"},
      {"18446744073709551617"},
      {"18446744073709555712.0", "18446744073709555712"},  // the double above 2^64
      {"99999999999999999999"},
      {"100000000000000000000", "1e20"},
      {"340282366920938463463374607431768211455"},
      {"340282366920938463463374607431768211456", "340282366920938463463374607431768211456.0"},
      {"340282366920938463463374607431768211457"},
      {"1.7976931348623157e308"},
      {PowerOfTen(309)},
      {PowerOfTen(400)},
      {PowerOfTen(400) + "1"},
      {"1e999", "1e400", PowerOfTen(400) + ".0"},
  };
  for (std::size_t a = 0; a < ascending.size(); ++a) {
    for (const std::string& number : ascending[a]) {
      const auto tag = FreshTag("{\"a\":" + number + "}");
      REQUIRE(tag.ok());
      for (std::size_t b = 0; b < ascending.size(); ++b) {
        for (const std::string& value : ascending[b]) {
          CAPTURE(number, value);
          CHECK(Matches(tag->View(), "=", value) == (a == b));
          CHECK(Matches(tag->View(), "!=", value) == (a != b));
          CHECK(Matches(tag->View(), "<", value) == (a < b));
          CHECK(Matches(tag->View(), "<=", value) == (a <= b));
          CHECK(Matches(tag->View(), ">", value) == (a > b));
          CHECK(Matches(tag->View(), ">=", value) == (a >= b));
          CHECK(Matches(tag->View(), "IN", "[ 7, " + value + " ]") == (a == b));
        }
      }
    }
  }
}

}  // namespace
}  // namespace sluice::store
