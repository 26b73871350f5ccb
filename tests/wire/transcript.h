// Transcripts: the output of redis-cli as data. Each file of tests/wire/*.txt is one conversation:
//
//   # a comment              may also stand between a command and its reply
//   ! resp3                  from here on the connection uses RESP3
//   ! restart                a new, empty server
//   > SET a "\x00" 'b c'     a command, quoted as in redis-cli
//   > SET a @bytes(700,xy)   the word has this many bytes of the pattern
//   (integer) 1              the reply, as redis-cli shows it on a terminal, or
//   ~ REGEX                  a regex for the whole reply, its white space folded to blanks, or
//                            (of "incarnation" the number is shown as N: it is never the same)
//   (closed)                 no reply: the server closes the connection
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sluice::tests {

struct Exchange {
  int line = 0;
  std::string command;             // as written, or a directive: "!restart", "!resp3"
  std::vector<std::string> words;  // of the command
  std::string reply;               // lines, each ending in a newline
  bool regex = false;
  bool resp3 = false;

  [[nodiscard]] bool IsDirective() const { return command.starts_with('!'); }
  [[nodiscard]] bool IsClosed() const { return reply == "(closed)\n"; }
  [[nodiscard]] bool IsError() const {
    return reply.starts_with("(error) ") || reply.starts_with("\\(error\\) ");
  }
};

// Throws std::runtime_error, naming the line, if the text is not a transcript.
std::vector<Exchange> ParseTranscript(std::string_view text);

// Returns the names of all files of a folder that end in .txt, sorted.
std::vector<std::string> TranscriptFiles(const std::string& folder);
std::string ReadFile(const std::string& path);

// Replaces the number that follows "incarnation" in a reply printed by Show() by N.
std::string WithoutIncarnation(const std::string& shown);

// Returns whether `shown`, a reply printed by Show(), matches the exchange.
bool Matches(const Exchange& exchange, const std::string& shown);

}  // namespace sluice::tests
