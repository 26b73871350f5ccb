// Where: conditions on a row's tag, all of which must hold (docs/protocol.md, section 4). A
// condition names a member at the top level of the tag, and the member's JSON type decides what is
// compared:
//
//   number            with the argument where that is a JSON number; int64 and uint64 exactly
//   string            its bytes, unescaped, with the argument's, as unsigned
//   true false null   their text, by = != and IN alone
//
// Anything else is false, and so is a condition on a name that is not there. != is the negation
// of = in every case. IN takes a JSON array, whose items compare as =: a number with a number, a
// string with a string, true, false and null with themselves, a nested array or object never.
//
// Rows are many and a tag is looked at on each: Matches() walks the text as it lies and allocates
// nothing; what can be made ready beforehand, Make() makes.
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
#include "store/tags/json_number.h"

namespace sluice::store {

class Where {
 public:
  struct Condition {
    std::string_view tag;
    std::string_view op;  // = != < <= > >= PREFIX IN, the words in any case
    std::string_view value;
  };

  // Copies what it needs; no conditions: every tag matches.
  // Errors: kError: an unknown op; a name that CheckName refuses; IN without a JSON array.
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
    std::string name;  // as the canonical text spells it, with its quotes
    Op op = Op::kAmong;
    // kAmong, kNotAmong: sorted, spelled as in the canonical text: "abc" with its quotes, true.
    std::vector<std::string> texts;
    std::vector<JsonNumber> numbers;  // the same for numbers: sorted
    // < <= > >=: the argument; kPrefix: as it is spelled, with the opening quote alone.
    std::string text;
    std::optional<JsonNumber> number;  // < <= > >=: the argument, where it is one
  };

  static Result<Test> MakeTest(const Condition& condition);
  static Status ReadItems(const Condition& condition, Test& test);
  static bool Holds(const Test& test, std::string_view value) noexcept;
  static bool IsAmong(const Test& test, std::string_view value) noexcept;
  static bool IsInOrder(const Test& test, std::string_view value) noexcept;

  std::vector<Test> tests_;
  std::size_t named_ = 0;  // how many of them are false where their name is not there
};

}  // namespace sluice::store
