// TagMembers: the members at the top level of a tag's canonical text, one after another, as they
// are spelled there. Allocates nothing, and reads no further than the text, whatever it is.
//
//   for (TagMembers members(tag); members.Next();) { members.Name(), members.Value() ... }
//
// Thread safety: one caller at a time; the views are of the text.
#pragma once

#include <compare>
#include <cstddef>
#include <string_view>

namespace sluice::store {

class TagMembers {
 public:
  // `tag` as tag.h makes it; "" is {}.
  explicit TagMembers(std::string_view tag) noexcept : tag_(tag) {}

  // Goes to the next member, at first to the first; false: there are no more.
  [[nodiscard]] bool Next() noexcept;

  // REQUIRES: Next() was true. A name with its quotes and escapes (see AppendJsonString).
  [[nodiscard]] std::string_view Name() const noexcept { return name_; }
  // A number, true, false, null, a string with its quotes and escapes, or a whole [...] or {...}.
  [[nodiscard]] std::string_view Value() const noexcept { return value_; }

 private:
  std::string_view tag_;
  std::size_t at_ = 0;
  std::string_view name_;
  std::string_view value_;
};

// The string that a tag's text spells as `value` against `text`, by unsigned bytes.
// REQUIRES: `value` is of TagMembers, and begins with a quote.
std::strong_ordering CompareTagString(std::string_view value, std::string_view text) noexcept;

}  // namespace sluice::store
