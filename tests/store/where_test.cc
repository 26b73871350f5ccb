#include "store/tags/where.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch.hpp>

#include "store/tags/tag.h"

namespace sluice::store {
namespace {

bool Matches(std::string_view tag, std::string_view name, std::string_view op,
             std::string_view value) {
  const Where::Condition condition = {.tag = name, .op = op, .value = value};
  const auto where = Where::Make({&condition, 1});
  INFO(where.GetStatus().Message());
  REQUIRE(where.ok());
  const auto canonical = FreshTag(tag);
  REQUIRE(canonical.ok());
  return where->Matches(canonical->View());
}

Status MakeStatus(std::string_view name, std::string_view op, std::string_view value) {
  const Where::Condition condition = {.tag = name, .op = op, .value = value};
  return Where::Make({&condition, 1}).GetStatus();
}

TEST_CASE("numbers are compared as numbers, and only with numbers", "[where]") {
  const std::string tag = R"({"n":10,"f":0.5,"big":9007199254740993})";
  CHECK(Matches(tag, "n", "=", "10"));
  CHECK(Matches(tag, "n", "=", "10.0"));
  CHECK(Matches(tag, "n", "=", "1e1"));
  CHECK(Matches(tag, "n", ">", "9"));
  CHECK_FALSE(Matches(tag, "n", "<", "9"));  // as text it would match
  CHECK(Matches(tag, "n", "<=", "10"));
  CHECK(Matches(tag, "n", ">=", "10"));
  CHECK(Matches(tag, "f", "<", "1"));
  CHECK(Matches(tag, "f", ">", "-1e999"));
  CHECK_FALSE(Matches(tag, "big", "=", "9007199254740992"));
  CHECK(Matches(tag, "big", ">", "9007199254740992"));
  CHECK(Matches(tag, "big", ">", "9007199254740992.0"));
  for (const char* const no_number : {"ten", "", " 10", "10 ", "+10", "010", "10.", ".5", "nan"}) {
    CAPTURE(no_number);
    for (const char* const op : {"=", "<", "<=", ">", ">=", "PREFIX"}) {
      CHECK_FALSE(Matches(tag, "n", op, no_number));
    }
    CHECK(Matches(tag, "n", "!=", no_number));
  }
  CHECK_FALSE(Matches(tag, "n", "PREFIX", "1"));
}

TEST_CASE("both ends of the integers and of the doubles are distinguished", "[where]") {
  const std::string ends =
      R"({"u":18446744073709551615,"i":-9223372036854775808,"inf":1e999,"z":-0.0,"d":5e-324})";
  CHECK(Matches(ends, "u", "=", "18446744073709551615"));
  CHECK_FALSE(Matches(ends, "u", "=", "18446744073709551614"));
  CHECK(Matches(ends, "u", "<", "18446744073709551616"));
  CHECK(Matches(ends, "u", ">", "9223372036854775807"));
  CHECK(Matches(ends, "i", "=", "-9223372036854775808"));
  CHECK(Matches(ends, "i", "<", "-9223372036854775807"));
  CHECK(Matches(ends, "i", ">", "-9223372036854777856.0"));
  CHECK(Matches(ends, "inf", ">", "1e308"));
  CHECK(Matches(ends, "inf", "=", "1e99999999999999999999"));
  CHECK(Matches(ends, "z", "=", "0"));
  CHECK(Matches(ends, "z", "=", "-0"));
  CHECK(Matches(ends, "z", "=", "1e-99999999999999999999"));
  CHECK(Matches(ends, "d", ">", "0e99999999999999999999"));
  CHECK(Matches(ends, "d", ">", "0." + std::string(400, '0') + "1"));
  CHECK(Matches(ends, "inf", "=", "1" + std::string(400, '0') + ".0"));
  CHECK(Matches(ends, "d", "<", "1" + std::string(400, '0') + "e-400"));
  // Read exactly, whatever the tag parser makes of it.
  const Where::Condition exact = {.tag = "x", .op = "=", .value = "0.11935319286735585"};
  CHECK(Where::Make({&exact, 1})->Matches(R"({"x":0.11935319286735585})"));
  CHECK_FALSE(Where::Make({&exact, 1})->Matches(R"({"x":0.11935319286735584})"));
}

TEST_CASE("strings are compared by their bytes, unescaped and unsigned", "[where]") {
  const std::string tag = R"({"s":"a\"b\\c\n\u0001","u":"é漢😀","e":"","n":"5"})";
  CHECK(Matches(tag, "s", "=", "a\"b\\c\n\x01"));
  CHECK_FALSE(Matches(tag, "s", "=", R"(a\"b\\c\n\u0001)"));
  CHECK(Matches(tag, "s", "PREFIX", "a\"b\\"));
  CHECK(Matches(tag, "s", "prefix", ""));
  CHECK_FALSE(Matches(tag, "s", "PREFIX", "a\\"));
  CHECK(Matches(tag, "s", "<", "a\"b\\d"));
  CHECK(Matches(tag, "s", ">", "a\"b\\"));
  CHECK(Matches(tag, "s", "<=", "a\"b\\c\n\x01"));
  CHECK(Matches(tag, "s", ">", std::string_view("a\"b\\c\n\0", 7)));
  CHECK(Matches(tag, "u", "=", "é漢😀"));
  CHECK(Matches(tag, "u", ">", "z"));
  CHECK(Matches(tag, "u", "<", "\xff"));
  CHECK(Matches(tag, "u", "PREFIX", "\xc3"));
  CHECK(Matches(tag, "e", "=", ""));
  CHECK(Matches(tag, "e", "<", "a"));
  CHECK(Matches(tag, "n", "=", "5"));
  CHECK_FALSE(Matches(tag, "n", "=", "5.0"));
  CHECK(Matches(tag, "n", ">", "10"));  // as numbers it would not match
}

TEST_CASE("true, false and null match only their text", "[where]") {
  const std::string tag = R"({"t":true,"f":false,"s":"true"})";
  CHECK(Matches(tag, "t", "=", "true"));
  CHECK_FALSE(Matches(tag, "t", "=", "TRUE"));
  CHECK_FALSE(Matches(tag, "t", "=", "1"));
  CHECK(Matches(tag, "t", "!=", "false"));
  CHECK_FALSE(Matches(tag, "t", "<=", "true"));
  CHECK_FALSE(Matches(tag, "t", "PREFIX", "t"));
  CHECK(Matches(tag, "s", "=", "true"));
  CHECK_FALSE(Matches(tag, "s", "IN", "[true]"));
  CHECK(Matches(tag, "f", "IN", "[true, false]"));
  const Where::Condition null = {.tag = "n", .op = "=", .value = "null"};
  CHECK(Where::Make({&null, 1})->Matches(R"({"n":null})"));
}

TEST_CASE("IN takes the items of a JSON array, each compared as =", "[where]") {
  const std::string tag = R"({"n":3,"f":2.5,"s":"x\ny","t":true,"a":[1],"o":{"b":1}})";
  CHECK(Matches(tag, "n", "IN", "[1, 2, 3]"));
  CHECK(Matches(tag, "n", "in", R"([ "3" , 3.0 ])"));
  CHECK_FALSE(Matches(tag, "n", "IN", R"(["3"])"));
  CHECK_FALSE(Matches(tag, "n", "IN", "[[3]]"));
  CHECK_FALSE(Matches(tag, "n", "IN", R"([{"n":3}])"));
  CHECK_FALSE(Matches(tag, "n", "IN", "[]"));
  CHECK(Matches(tag, "f", "IN", "[3, 25e-1, 2]"));
  CHECK(Matches(tag, "s", "IN", R"(["b", "x\u000ay", "a"])"));
  CHECK_FALSE(Matches(tag, "a", "IN", "[[1],1]"));
  CHECK_FALSE(Matches(tag, "o", "IN", R"([{"b":1}])"));
  CHECK_FALSE(Matches(tag, "missing", "IN", "[null]"));
}

TEST_CASE("arrays, objects and missing names match only !=", "[where]") {
  const std::string tag = R"({"o":{"n":1,"deep":[{"n":"}"}]},"a":["\"],",1],"last":2})";
  for (const char* const name : {"o", "a", "n", "deep", "no"}) {
    CAPTURE(name);
    for (const char* const op : {"=", "<", "<=", ">", ">=", "PREFIX"}) {
      for (const char* const value : {"1", "", "{", "null", R"(["\"],",1])"}) {
        CHECK_FALSE(Matches(tag, name, op, value));
        CHECK(Matches(tag, name, "!=", value));
      }
    }
  }
  CHECK(Matches(tag, "last", "=", "2"));
  CHECK_FALSE(Matches("{}", "a", "=", "1"));
  const Where::Condition not_one = {.tag = "a", .op = "!=", .value = "1"};
  CHECK(Where::Make({&not_one, 1})->Matches(""));
}

TEST_CASE("names are found in every JSON spelling", "[where]") {
  const std::string tag = R"({"q\"":1,"back\\":2,"\u00e9 \u6f22":3,"a.b":4})";
  CHECK(Matches(tag, "q\"", "=", "1"));
  CHECK(Matches(tag, "back\\", "=", "2"));
  CHECK(Matches(tag, "é 漢", "=", "3"));
  CHECK(Matches(tag, "a.b", "=", "4"));
  CHECK_FALSE(Matches(tag, "q", "=", "1"));
}

TEST_CASE("all conditions must hold", "[where]") {
  const std::vector<Where::Condition> conditions = {
      {.tag = "n", .op = ">", .value = "1"},
      {.tag = "n", .op = "<", .value = "5"},
      {.tag = "s", .op = "!=", .value = "x"},
  };
  auto made = Where::Make(conditions);
  REQUIRE(made.ok());
  const Where where = *std::move(made);
  CHECK(where.Matches(R"({"n":3})"));
  CHECK(where.Matches(R"({"s":"y","n":3})"));
  CHECK_FALSE(where.Matches(R"({"s":"x","n":3})"));
  CHECK_FALSE(where.Matches(R"({"s":"y","n":5})"));
  CHECK_FALSE(where.Matches(R"({"s":"y"})"));
  CHECK_FALSE(where.Matches(""));
  CHECK(Where().Matches(""));
}

TEST_CASE("bad operators, names and IN arguments are refused", "[where]") {
  CHECK(MakeStatus("a", "==", "1").Message() ==
        "WHERE: unknown operator '==', expected = != < <= > >= PREFIX IN");
  CHECK(MakeStatus("a", "", "1").GetCode() == Code::kError);
  CHECK(MakeStatus("a\n", "=", "1").GetCode() == Code::kError);
  CHECK(MakeStatus("", "=", "1").Message() == "tag name is empty");
  for (const std::string& bad : {std::string(), std::string("1"), std::string("{\"a\":[1]}"),
                                 std::string("[1"), std::string("[1]x"), std::string("\"[1]\""),
                                 std::string("[\"\xff\"]"), std::string(1000, '[')}) {
    CAPTURE(bad);
    const Status status = MakeStatus("color", "IN", bad);
    CHECK(status.GetCode() == Code::kError);
    CHECK(status.Message().find("'color'") != std::string::npos);
  }
}

// A text that is not a tag must not be read past its end: the sanitizers check.
TEST_CASE("the parser stays inside the text, whatever the text is", "[where]") {
  const std::vector<Where::Condition> conditions = {
      {.tag = "z", .op = "!=", .value = "1"},
      {.tag = "a", .op = ">=", .value = "b"},
  };
  const auto where = Where::Make(conditions);
  const std::string tag = R"({"k\\":[{"x":"\u0001"}],"a":"c\u0002\n","z":-1.5e+20})";
  CHECK(where->Matches(tag));
  std::size_t matched = 0;
  for (std::size_t size = 0; size < tag.size(); ++size) {
    for (const char c : {'"', '\\', '{', ']', ',', 'u', '1'}) {
      std::vector<char> other(tag.begin(), tag.begin() + static_cast<std::ptrdiff_t>(size));
      matched += where->Matches({other.data(), other.size()}) ? 1 : 0;
      other.push_back(c);
      other.shrink_to_fit();  // no byte after the text, not even a terminator
      matched += where->Matches({other.data(), other.size()}) ? 1 : 0;
    }
  }
  CHECK(matched > 0);
}

}  // namespace
}  // namespace sluice::store
