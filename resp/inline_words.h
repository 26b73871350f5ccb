// InlineWords: splits one inline request ("SET key 'a value'") into words by Redis's rules.
//
//   bare words   end at space, tab, CR or LF
//   "..."        escapes \xHH \n \r \t \b \a; a backslash before another character is dropped
//   '...'        escape \' only
//
// A quote may open inside a word. The word must end after the closing quote.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace sluice::resp {

class InlineWords {
 public:
  enum class Event : std::uint8_t { kWord, kEnd, kUnbalanced };

  // Decodes words in place: borrows and modifies `line`; the words are views into it.
  explicit InlineWords(std::span<char> line);

  // kWord: sets `word`. kUnbalanced: a quote is not closed, or a character follows a closing quote.
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
