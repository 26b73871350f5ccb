// Transcripts: what redis-cli shows, as data. Each file of tests/wire/*.txt is one conversation:
//
//   # a comment                       also between a command and its reply
//   ! resp3                           from here on the connection speaks RESP3
//   > KV.PUT train "a\x00" 'b c'      a command, quoted as redis-cli does; @bytes(70000,ab) is so
//   many bytes (integer) 1                       its reply, as redis-cli shows it on a terminal ~
//   REGEX                           instead: the whole reply, its white space folded to blanks,
//   matches ! restart a new, empty server
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::tests {

struct Exchange {
  int line = 0;
  std::string command;  // as written, or a directive: "!restart", "!resp3"
  std::vector<std::string> words;
  std::string reply;  // lines, each ending in a newline
  bool regex = false;
};

// Throws std::runtime_error, naming the line, where the text is no transcript.
std::vector<Exchange> ParseTranscript(std::string_view text);

// The names of all files of a folder that end in .txt, sorted.
std::vector<std::string> TranscriptFiles(const std::string& folder);
std::string ReadFile(const std::string& path);

// Whether `shown`, a reply printed by Show(), is what the exchange expects.
bool Matches(const Exchange& exchange, const std::string& shown);

}  // namespace sluice::tests
