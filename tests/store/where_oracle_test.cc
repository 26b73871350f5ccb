// Random conditions on random tags, compared with a slow evaluator.
#include <algorithm>
#include <cstddef>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>

#include "store/tags/tag.h"
#include "store/tags/where.h"

namespace sluice::store {
namespace {

namespace json = boost::json;

// The slow, obvious reading of docs/protocol.md. A long double of x86 holds every int64, uint64 and
// double exactly.
static_assert(std::numeric_limits<long double>::digits >= 64);

long double NumberOf(const json::value& value) {
  if (value.is_int64()) {
    return static_cast<long double>(value.get_int64());
  }
  return value.is_uint64() ? static_cast<long double>(value.get_uint64()) : value.get_double();
}

template <typename T>
bool InOrder(const std::string& op, const T& a, const T& b) {
  return op == "=" ? a == b : op == "<" ? a < b : op == "<=" ? a <= b : op == ">" ? a > b : a >= b;
}

bool SameItem(const json::value& value, const json::value& item) {
  if (value.is_number() && item.is_number()) {
    return NumberOf(value) == NumberOf(item);
  }
  return !value.is_structured() && value.kind() == item.kind() && value == item;
}

bool Oracle(const json::object& tag, const std::string& name, const std::string& op,
            const std::string& argument) {
  if (op == "!=") {
    return !Oracle(tag, name, "=", argument);
  }
  const json::value* const value = tag.if_contains(name);
  if (value == nullptr) {
    return false;
  }
  if (op == "IN") {
    const json::value parsed = json::parse(argument);
    const json::array& items = parsed.get_array();
    return std::any_of(items.begin(), items.end(),
                       [&](const json::value& item) { return SameItem(*value, item); });
  }
  if (value->is_string()) {
    const std::string text(value->get_string());
    return op == "PREFIX" ? text.substr(0, argument.size()) == argument
                          : InOrder(op, text, argument);  // char_traits compare as unsigned
  }
  if (op == "PREFIX") {
    return false;
  }
  if (value->is_number()) {
    json::error_code error;
    const json::value parsed = json::parse(argument, error);
    const bool padded = !argument.empty() && (argument.front() == ' ' || argument.back() == ' ');
    return !error && parsed.is_number() && !padded &&
           InOrder(op, NumberOf(*value), NumberOf(parsed));
  }
  return op == "=" && (value->is_bool() || value->is_null()) && json::serialize(*value) == argument;
}

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  std::size_t Below(std::size_t bound) { return engine_() % bound; }
  template <typename T, std::size_t size>
  const T& Of(const T (&values)[size]) {  // NOLINT(modernize-avoid-c-arrays)
    return values[Below(size)];
  }

  std::string Name() {
    static const std::string kNames[] = {"a", "b", "q\"\\", "é"};
    return Of(kNames);
  }
  std::string String() {
    static const std::string kParts[] = {"a", "b", "\"", "\\", "\n", "\t",   "\x01",
                                         "é", "😀", "}",  ",",  "1",  "\x7f", "u0"};
    std::string text;
    for (std::size_t i = Below(4); i > 0; --i) {
      text += Of(kParts);
    }
    return text;
  }
  std::string Number() {  // doubles that Boost.JSON 1.81 reads exactly
    static const std::string kNumbers[] = {"0",
                                           "-0.0",
                                           "1",
                                           "1.0",
                                           "-1",
                                           "0.5",
                                           "-0.5",
                                           "1.5",
                                           "10",
                                           "9007199254740992",
                                           "9007199254740993",
                                           "9007199254740992.0",
                                           "-9007199254740993",
                                           "9223372036854775807",
                                           "9223372036854775808",
                                           "9.223372036854776e18",
                                           "-9223372036854775808",
                                           "18446744073709551615",
                                           "1e20",
                                           "-1e20",
                                           "1e300",
                                           "1e999",
                                           "-1e999"};
    return Below(4) == 0 ? std::to_string(static_cast<int>(Below(7)) - 3) : Of(kNumbers);
  }
  std::string Value(int depth) {  // a JSON text
    switch (Below(depth == 0 ? 5 : 8)) {
      case 0:
        return Below(2) == 0 ? "true" : "false";
      case 1:
      case 2:
        return Number();
      case 5:
        return "[" + Value(depth - 1) + "," + Value(depth - 1) + "]";
      case 6:
        return Below(2) == 0 ? "[]" : "null";
      case 7:
        return Object(depth - 1);
      default:
        return json::serialize(json::value(String()));
    }
  }
  std::string Object(int depth) {
    std::string text = "{";
    for (std::size_t i = Below(5); i > 0; --i) {
      text +=
          (text.size() > 1 ? "," : "") + json::serialize(json::value(Name())) + ":" + Value(depth);
    }
    return text + "}";
  }
  std::string Argument(const std::string& op) {
    if (op == "IN") {
      std::string text = "[";
      for (std::size_t i = Below(5); i > 0; --i) {
        text += (text.size() > 1 ? ", " : "") + Value(1);
      }
      return text + "]";
    }
    static const std::string kOthers[] = {"true", "null", "false", "01", " 1", "[]", "{}", "nan"};
    switch (Below(5)) {
      case 0:
        return Of(kOthers);
      case 1:
      case 2:
        return Number();
      default:
        return String();
    }
  }

 private:
  std::mt19937_64 engine_;
};

TEST_CASE("random conditions on random tags agree with a slow evaluator", "[where]") {
  static const std::string kOps[] = {"=", "!=", "<", "<=", ">", ">=", "PREFIX", "IN"};
  std::size_t matched = 0;
  for (unsigned seed = 0; seed < 20000; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    const auto tag = FreshTag(random.Object(3));
    REQUIRE(tag.ok());
    const json::value parsed = json::parse(tag->View());
    CAPTURE(tag->View());
    std::vector<std::string> texts;  // the conditions refer to these
    texts.reserve(9);
    std::vector<Where::Condition> conditions;
    bool expected = true;
    for (std::size_t i = 1 + random.Below(2); i > 0; --i) {
      const std::string& op = random.Of(kOps);
      texts.push_back(random.Name());
      texts.push_back(random.Argument(op));
      const std::string& name = texts[texts.size() - 2];
      expected = expected && Oracle(parsed.get_object(), name, op, texts.back());
      conditions.push_back({.tag = name, .op = op, .value = texts.back()});
      UNSCOPED_INFO(name << ' ' << op << ' ' << texts.back());
    }
    const auto where = Where::Make(conditions);
    REQUIRE(where.ok());
    REQUIRE(where->Matches(tag->View()) == expected);
    matched += expected ? 1 : 0;
  }
  CHECK(matched > 1000);
}

}  // namespace
}  // namespace sluice::store
