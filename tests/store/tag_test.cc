#include "store/tags/tag.h"

#include <string>

#include <catch2/catch.hpp>

namespace sluice::store {
namespace {

std::string Merged(std::string_view tag, std::string_view patch) {
  const auto merged = MergeTag(tag, patch);
  return merged.ok() ? std::string(merged->View()) : "error";
}

TEST_CASE("RFC 7396's examples hold", "[tag]") {
  CHECK(Merged(R"({"a":"b"})", R"({"a":"c"})") == R"({"a":"c"})");
  CHECK(Merged(R"({"a":"b"})", R"({"b":"c"})") == R"({"a":"b","b":"c"})");
  CHECK(Merged(R"({"a":"b"})", R"({"a":null})") == "{}");
  CHECK(Merged(R"({"a":"b","b":"c"})", R"({"a":null})") == R"({"b":"c"})");
  CHECK(Merged(R"({"a":["b"]})", R"({"a":"c"})") == R"({"a":"c"})");
  CHECK(Merged(R"({"a":"c"})", R"({"a":["b"]})") == R"({"a":["b"]})");
  CHECK(Merged(R"({"a":{"b":"c"}})", R"({"a":{"b":"d","c":null}})") == R"({"a":{"b":"d"}})");
  CHECK(Merged(R"({"a":[{"b":"c"}]})", R"({"a":[1]})") == R"({"a":[1]})");
  CHECK(Merged(R"({"e":null})", R"({"a":1})") == R"({"e":null,"a":1})");
  CHECK(Merged("{}", R"({"a":{"bb":{"ccc":null}}})") == R"({"a":{"bb":{}}})");
}

TEST_CASE("the text is compact, in insertion order, and keeps numbers", "[tag]") {
  CHECK(FreshTag(R"( { "b" : 1 , "a" : [ true , null ] } )")->View() ==
        R"({"b":1,"a":[true,null]})");
  CHECK(Merged(R"({"a":1,"b":2,"c":3})", R"({"a":null,"d":4})") == R"({"b":2,"c":3,"d":4})");
  CHECK(Merged("", R"({"x":1.0,"y":0.5,"z":1e20,"n":-3,"u":18446744073709551615})") ==
        R"({"x":1.0,"y":0.5,"z":1e+20,"n":-3,"u":18446744073709551615})");
  CHECK(Merged("", R"({"s":"é\u00e9\n\"\\\u0001"})") == R"({"s":"éé\n\"\\\u0001"})");
  CHECK(Merged("", R"({"big":1e999})") == R"({"big":1e999})");
}

TEST_CASE("a text that is not a JSON object within the limits is refused", "[tag]") {
  for (const std::string& bad :
       {std::string(), std::string("1"), std::string("[]"), std::string("{"), std::string("{}x"),
        std::string("{'a':1}"), std::string("{\"a\":\"\xff\"}"), std::string("{\"a\":nan}"),
        std::string("{\"a\":1e2147483648}"), "{\"a\":\"" + std::string(65536, 'x') + "\"}"}) {
    CAPTURE(bad.substr(0, 40));
    CHECK(FreshTag(bad).GetStatus().GetCode() == Code::kBadTag);
  }
  const auto nested = [](int depth) {
    std::string text;
    for (int i = 1; i < depth; ++i) {
      text += "{\"a\":";
    }
    text += "{\"a\":1}";
    return text.append(static_cast<std::size_t>(depth - 1), '}');
  };
  CHECK(FreshTag(nested(32)).ok());
  CHECK(FreshTag(nested(33)).GetStatus().GetCode() == Code::kBadTag);
}

TEST_CASE("a merge that exceeds the limit is refused", "[tag]") {
  const std::string half = std::string(40000, 'x');
  const auto first = FreshTag("{\"a\":\"" + half + "\"}");
  REQUIRE(first.ok());
  CHECK(MergeTag(first->View(), "{\"b\":\"" + half + "\"}").GetStatus().GetCode() == Code::kBadTag);
  CHECK(MergeTag(first->View(), "{\"a\":\"" + half + "\"}").ok());
}

}  // namespace
}  // namespace sluice::store
