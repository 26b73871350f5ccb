// InlineWords: cuts one inline request ("SET key 'a value'") into words, by Redis's rules.
//
//   bare words   end at space, tab, CR or LF
//   "..."        knows \xHH \n \r \t \b \a; a backslash before anything else means that character
//   '...'        knows \' only
//
// A quote may open inside a word; after the closing one the word must end.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace sluice::resp {

class InlineWords {
 public:
  enum class Event : std::uint8_t { kWord, kEnd, kUnbalanced };

  // Words are decoded in place: `line` is borrowed and written to, the words are views into it.
  explicit InlineWords(std::span<char> line);

  // kWord: sets `word`. kUnbalanced: a quote never closes, or something follows the closing one.
  Event Next(std::string_view& word);

 private:
  bool ReadQuoted(char quote);
  char ReadEscape();
  [[nodiscard]] char Peek(std::size_t ahead) const;

  char* next_;
  char* end_;
  char* out_ = nullptr;  // end of the word being decoded; never ahead of next_
};

}  // namespace sluice::resp
