// Where: conditions on a row's tag, all of which must hold (docs/protocol.md, section 4). A
// condition names a top-level member of the tag. The member's JSON type selects the comparison:
//
//   number            with the argument if it is a JSON number: integers of any size and doubles,
//                     without rounding; 1 and 1.0 are equal
//   string            unescaped, with the argument, as unsigned bytes
//   true false null   by text; only with = != and IN
//
// Other comparisons are false, as is a condition on a missing name. != is always the negation of =.
// IN takes a JSON array and compares each item as = does: a number with a number, a string with a
// string, true, false and null with themselves; a nested array or object never matches.
//
// Matches() runs once per row, so it walks the text directly and allocates nothing; Make() prepares
// everything else.
//
// Thread safety: immutable after Make().
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/text.h"
#include "store/tags/json_number.h"

namespace sluice::store {

class Where {
 public:
  struct Condition {
    std::string_view tag;
    std::string_view op;  // = != < <= > >= PREFIX IN; words in any case
    std::string_view value;
  };

  // Copies the conditions. Without conditions, every tag matches.
  // Errors: kError: an unknown op; a name that CheckName rejects; IN without a JSON array.
  static Result<Where> Make(std::span<const Condition> conditions);

  // REQUIRES: `tag` is a tag's canonical text, as tag.h makes it ("" for {}).
  [[nodiscard]] bool Matches(std::string_view tag) const noexcept;

 private:
  enum class Op : std::uint8_t {
    kAmong,     // = and IN
    kNotAmong,  // !=
    kLess,
    kLessEqual,
    kGreater,
    kGreaterEqual,
    kPrefix,
  };
  struct OpName;
  struct Test {
    std::string name;  // as in the canonical text, with its quotes
    Op op = Op::kAmong;
    Text argument;  // `numbers` and `number` refer to its bytes; < <= > >= compare it with strings
    // kAmong, kNotAmong: sorted, as in the canonical text: "abc" with its quotes, true.
    std::vector<std::string> texts;
    std::vector<JsonNumber> numbers;  // kAmong, kNotAmong: sorted
    std::string prefix;  // kPrefix: the argument's spelling with only the opening quote
    std::optional<JsonNumber> number;  // < <= > >=: the argument, if it is a number
  };

  static Result<Test> MakeTest(const Condition& condition);
  static Status ReadItems(Test& test, std::string_view tag);
  static bool Holds(const Test& test, std::string_view value) noexcept;
  static bool IsAmong(const Test& test, std::string_view value) noexcept;
  static bool IsInOrder(const Test& test, std::string_view value) noexcept;

  std::vector<Test> tests_;
  std::size_t named_ = 0;  // number of tests that fail if their name is missing
};

}  // namespace sluice::store
