#include "store/tags/where.h"

#include <algorithm>
#include <array>
#include <compare>
#include <utility>

#include <boost/json/basic_parser_impl.hpp>
#include <fmt/format.h>

#include "base/ascii.h"
#include "base/ids.h"
#include "store/tags/json_text.h"
#include "store/tags/tag_members.h"

namespace sluice::store {
namespace {

namespace json = boost::json;

std::string Quoted(std::string_view text) {
  std::string quoted;
  AppendJsonString(text, quoted);
  return quoted;
}

// Collects the items of a JSON array: numbers by value, other items as canonical text. Ignores the
// contents of nested items. The numbers refer to the array's text, which is parsed as a whole: the
// parser then has each number in one piece.
class ArrayItems : public JsonVisitor {
 public:
  std::vector<std::string> texts;
  std::vector<JsonNumber> numbers;
  bool is_array = false;

  // NOLINTBEGIN(readability-identifier-naming): Boost.JSON's names
  bool on_array_begin(Error&) {
    is_array = is_array || depth_ == 0;
    ++depth_;
    return true;
  }
  bool on_array_end(std::size_t, Error&) {
    --depth_;
    return true;
  }
  bool on_object_begin(Error&) {
    ++depth_;
    return true;
  }
  bool on_object_end(std::size_t, Error&) {
    --depth_;
    return true;
  }
  bool on_string_part(View part, std::size_t, Error&) {
    text_.append(part.data(), part.size());
    return true;
  }
  bool on_string(View part, std::size_t, Error&) {
    text_.append(part.data(), part.size());
    AddText(Quoted(text_));
    text_.clear();
    return true;
  }
  bool on_int64(std::int64_t, View text, Error&) { return AddNumber(text); }
  bool on_uint64(std::uint64_t, View text, Error&) { return AddNumber(text); }
  bool on_double(double, View text, Error&) { return AddNumber(text); }  // `value` may be rounded
  bool on_bool(bool value, Error&) {
    AddText(value ? "true" : "false");
    return true;
  }
  bool on_null(Error&) {
    AddText("null");
    return true;
  }
  // NOLINTEND(readability-identifier-naming)

 private:
  void AddText(std::string text) {
    if (depth_ == 1) {
      texts.push_back(std::move(text));
    }
  }
  bool AddNumber(View text) {
    if (depth_ == 1) {
      numbers.push_back(ReadJsonNumber({text.data(), text.size()}));
    }
    return true;
  }

  std::size_t depth_ = 0;
  std::string text_;
};

bool IsNumber(std::string_view value) {
  return value.front() == '-' || (value.front() >= '0' && value.front() <= '9');
}

}  // namespace

struct Where::OpName {
  std::string_view name;
  Op op;
};

Status Where::ReadItems(Test& test, std::string_view tag) {
  json::basic_parser<ArrayItems> parser((json::parse_options()));
  json::error_code error;
  const std::string_view text = test.argument.View();
  const std::size_t end = parser.write_some(false, text.data(), text.size(), error);
  ArrayItems& items = parser.handler();
  if (error || end < text.size() || !items.is_array) {
    return Status(Code::kError, fmt::format("WHERE: IN on tag '{}' takes a JSON array, not '{}'",
                                            Printable(tag), Printable(text)));
  }
  test.texts = std::move(items.texts);
  test.numbers = std::move(items.numbers);
  std::sort(test.texts.begin(), test.texts.end());
  std::sort(test.numbers.begin(), test.numbers.end());
  return {};
}

Result<Where::Test> Where::MakeTest(const Condition& condition) {
  static constexpr std::array<OpName, 8> kOps = {{
      {"=", Op::kAmong},
      {"!=", Op::kNotAmong},
      {"<", Op::kLess},
      {"<=", Op::kLessEqual},
      {">", Op::kGreater},
      {">=", Op::kGreaterEqual},
      {"PREFIX", Op::kPrefix},
      {"IN", Op::kAmong},
  }};
  const auto* const found = std::find_if(kOps.begin(), kOps.end(), [&](const OpName& row) {
    return EqualsIgnoreCase(condition.op, row.name);
  });
  if (found == kOps.end()) {
    return Status(Code::kError,
                  fmt::format("WHERE: unknown operator '{}', expected = != < <= > >= PREFIX IN",
                              Printable(condition.op)));
  }
  TRY(CheckName("tag", condition.tag));
  Test test;
  test.name = Quoted(condition.tag);
  test.op = found->op;
  test.argument = Text(condition.value);
  const std::string_view value = test.argument.View();
  test.number = ParseJsonNumber(value);
  if (found->name == "IN") {
    TRY(ReadItems(test, condition.tag));
  } else if (found->op == Op::kPrefix) {
    test.prefix = Quoted(value);
    test.prefix.pop_back();
  } else if (found->op == Op::kAmong || found->op == Op::kNotAmong) {
    test.texts = {Quoted(value)};
    if (value == "true" || value == "false" || value == "null") {
      test.texts.emplace_back(value);  // stays sorted: a quote sorts before every letter
    }
    if (test.number) {
      test.numbers = {*test.number};
    }
  }
  return test;
}

Result<Where> Where::Make(std::span<const Condition> conditions) {
  Where where;
  for (const Condition& condition : conditions) {
    TRY_ASSIGN(Test test, MakeTest(condition));
    where.named_ += test.op == Op::kNotAmong ? 0 : 1;
    where.tests_.push_back(std::move(test));
  }
  return where;
}

bool Where::IsAmong(const Test& test, std::string_view value) noexcept {
  if (IsNumber(value)) {
    return !test.numbers.empty() &&
           std::binary_search(test.numbers.begin(), test.numbers.end(), ReadJsonNumber(value));
  }
  return std::binary_search(test.texts.begin(), test.texts.end(), value);
}

bool Where::IsInOrder(const Test& test, std::string_view value) noexcept {
  std::weak_ordering order = std::weak_ordering::equivalent;
  if (IsNumber(value) && test.number) {
    order = ReadJsonNumber(value) <=> *test.number;
  } else if (value.front() == '"') {
    order = CompareTagString(value, test.argument.View());
  } else {
    return false;
  }
  switch (test.op) {
    case Op::kLess:
      return std::is_lt(order);
    case Op::kLessEqual:
      return std::is_lteq(order);
    case Op::kGreater:
      return std::is_gt(order);
    default:
      return std::is_gteq(order);
  }
}

bool Where::Holds(const Test& test, std::string_view value) noexcept {
  if (value.empty()) {  // not in a canonical tag
    return test.op == Op::kNotAmong;
  }
  switch (test.op) {
    case Op::kAmong:
      return IsAmong(test, value);
    case Op::kNotAmong:
      return !IsAmong(test, value);
    case Op::kPrefix:
      return value.starts_with(test.prefix);
    default:
      return IsInOrder(test, value);
  }
}

bool Where::Matches(std::string_view tag) const noexcept {
  std::size_t seen = 0;
  std::size_t named = 0;
  TagMembers members(tag);
  while (seen < tests_.size() && members.Next()) {
    for (const Test& test : tests_) {
      if (test.name != members.Name()) {
        continue;
      }
      if (!Holds(test, members.Value())) {
        return false;
      }
      ++seen;
      named += test.op == Op::kNotAmong ? 0 : 1;
    }
  }
  return named == named_;
}

}  // namespace sluice::store
