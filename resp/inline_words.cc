#include "resp/inline_words.h"

#include <cstddef>

namespace sluice::resp {
namespace {

bool IsSpace(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

// The value of a hex digit, or -1.
int HexValue(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

char Unescape(char c) {
  switch (c) {
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'b':
      return '\b';
    case 'a':
      return '\a';
    default:
      return c;
  }
}

}  // namespace

InlineWords::InlineWords(std::span<char> line)
    : next_(line.data()), end_(line.data() + line.size()) {}

InlineWords::Event InlineWords::Next(std::string_view& word) {
  while (next_ != end_ && IsSpace(*next_)) {
    ++next_;
  }
  if (next_ == end_) {
    return Event::kEnd;
  }
  const char* const begin = out_ = next_;
  // As in Redis, vertical tab and form feed separate words but do not end one.
  while (next_ != end_ && *next_ != ' ' && *next_ != '\t' && *next_ != '\r' && *next_ != '\n') {
    const char c = *next_++;
    if (c != '"' && c != '\'') {
      *out_++ = c;
      continue;
    }
    if (!ReadQuoted(c)) {
      return Event::kUnbalanced;
    }
    break;
  }
  word = {begin, static_cast<std::size_t>(out_ - begin)};
  return Event::kWord;
}

// Reads from after the opening quote to after the closing one. Returns false if unbalanced.
bool InlineWords::ReadQuoted(char quote) {
  while (next_ != end_) {
    const char c = *next_++;
    if (c == quote) {
      return next_ == end_ || IsSpace(*next_);
    }
    const bool escaped = c == '\\' && next_ != end_ && (quote == '"' || *next_ == '\'');
    *out_++ = escaped ? ReadEscape() : c;
  }
  return false;
}

// Reads an escape from after the backslash. REQUIRES: at least one more character.
char InlineWords::ReadEscape() {
  const char c = *next_++;
  if (c == 'x' && HexValue(Peek(0)) >= 0 && HexValue(Peek(1)) >= 0) {
    const int value = HexValue(Peek(0)) * 16 + HexValue(Peek(1));
    next_ += 2;
    return static_cast<char>(value);
  }
  return Unescape(c);
}

char InlineWords::Peek(std::size_t ahead) const {
  return static_cast<std::size_t>(end_ - next_) > ahead ? next_[ahead] : '\0';
}

}  // namespace sluice::resp
