#include "store/tags/tag_members.h"

namespace sluice::store {
namespace {

// Returns the end, after the closing quote, of the string that begins at `at`.
std::size_t StringEnd(std::string_view text, std::size_t at) {
  std::size_t quote = text.find('"', at + 1);
  while (quote != std::string_view::npos) {
    std::size_t first = quote;  // of the backslashes before it; in pairs they escape themselves
    while (text[first - 1] == '\\') {
      --first;
    }
    if ((quote - first) % 2 == 0) {
      return quote + 1;
    }
    quote = text.find('"', quote + 1);
  }
  return text.size();
}

std::size_t NestedEnd(std::string_view text, std::size_t at) {
  std::size_t depth = 0;
  while (at < text.size()) {
    const char c = text[at];
    if (c == '"') {
      at = StringEnd(text, at);
      continue;
    }
    ++at;
    depth += c == '[' || c == '{' ? 1 : 0;
    depth -= c == ']' || c == '}' ? 1 : 0;
    if (depth == 0) {
      break;
    }
  }
  return at;
}

std::size_t ValueEnd(std::string_view text, std::size_t at) {
  if (text[at] == '"') {
    return StringEnd(text, at);
  }
  if (text[at] == '[' || text[at] == '{') {
    return NestedEnd(text, at);
  }
  while (at < text.size() && text[at] != ',' && text[at] != '}') {
    ++at;
  }
  return at;
}

unsigned char HexDigit(char c) {
  return static_cast<unsigned char>(c <= '9' ? c - '0' : c - 'a' + 10);
}

// Removes the first character of `spelled` and returns its byte. REQUIRES: not empty.
unsigned char TakeByte(std::string_view& spelled) {
  const std::size_t size = spelled[0] != '\\' ? 1 : spelled.substr(1).starts_with('u') ? 6 : 2;
  const std::string_view front = spelled.substr(0, size);
  spelled.remove_prefix(front.size());
  if (front.size() == 6) {  // \u00XX
    return static_cast<unsigned char>(HexDigit(front[4]) * 16 + HexDigit(front[5]));
  }
  switch (const char c = front.back(); front.size() == 2 ? c : '\0') {
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      return static_cast<unsigned char>(c);
  }
}

}  // namespace

bool TagMembers::Next() noexcept {
  const std::size_t begin = at_ + 1;  // after { or ,
  if (begin >= tag_.size() || tag_[begin] != '"') {
    return false;
  }
  const std::size_t end = StringEnd(tag_, begin);
  if (end + 1 >= tag_.size()) {
    return false;
  }
  at_ = ValueEnd(tag_, end + 1);
  name_ = tag_.substr(begin, end - begin);
  value_ = tag_.substr(end + 1, at_ - end - 1);
  return true;
}

std::strong_ordering CompareTagString(std::string_view value, std::string_view text) noexcept {
  std::string_view spelled = value.substr(1, value.size() - 2);
  if (spelled.find('\\') == std::string_view::npos) {
    return spelled <=> text;
  }
  for (const char c : text) {
    if (spelled.empty()) {
      return std::strong_ordering::less;
    }
    if (const auto order = TakeByte(spelled) <=> static_cast<unsigned char>(c);
        std::is_neq(order)) {
      return order;
    }
  }
  return spelled.empty() ? std::strong_ordering::equal : std::strong_ordering::greater;
}

}  // namespace sluice::store
