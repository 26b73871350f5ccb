// TagMembers: iterates over the top-level members of a tag's canonical text, with names and values
// as spelled there. Allocates nothing and never reads beyond the text, even if it is malformed.
//
//   for (TagMembers members(tag); members.Next();) { members.Name(), members.Value() ... }
//
// Thread safety: one caller at a time. Names and values are views of the text.
#pragma once

#include <compare>
#include <cstddef>
#include <string_view>

namespace sluice::store {

class TagMembers {
 public:
  // `tag`: canonical text, as tag.h makes it; "" is {}.
  explicit TagMembers(std::string_view tag) noexcept : tag_(tag) {}

  // Moves to the next member (initially the first). Returns false if there are no more.
  [[nodiscard]] bool Next() noexcept;

  // The name with its quotes and escapes (see AppendJsonString). REQUIRES: Next() returned true.
  [[nodiscard]] std::string_view Name() const noexcept { return name_; }
  // A number, true, false, null, a string with its quotes and escapes, or a whole [...] or {...}.
  [[nodiscard]] std::string_view Value() const noexcept { return value_; }

 private:
  std::string_view tag_;
  std::size_t at_ = 0;
  std::string_view name_;
  std::string_view value_;
};

// Compares the string that `value` spells with `text`, as unsigned bytes.
// REQUIRES: `value` is from TagMembers and begins with a quote.
std::strong_ordering CompareTagString(std::string_view value, std::string_view text) noexcept;

}  // namespace sluice::store
