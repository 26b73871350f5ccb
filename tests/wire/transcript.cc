#include "tests/wire/transcript.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <sstream>
#include <stdexcept>

#include <regex.h>

namespace sluice::tests {
namespace {

// @bytes(count,pattern)
std::string Expand(const std::string& word) {
  const std::string_view head = "@bytes(";
  if (!word.starts_with(head)) {
    return word;
  }
  const std::size_t comma = word.find(',');
  const auto count = static_cast<std::size_t>(std::stoul(word.substr(head.size())));
  const std::string pattern = word.substr(comma + 1, word.size() - comma - 2);
  std::string out;
  while (out.size() < count) {
    out += pattern;
  }
  out.resize(count);
  return out;
}

class WordReader {
 public:
  explicit WordReader(std::string_view line) : rest_(line) {}

  // Returns false at the end.
  bool Next(std::string& word) {
    const std::size_t begin = rest_.find_first_not_of(' ');
    if (begin == std::string_view::npos) {
      return false;
    }
    rest_.remove_prefix(begin);
    word.clear();
    const char quote = rest_[0];
    if (quote != '"' && quote != '\'') {
      const std::size_t end = std::min(rest_.find(' '), rest_.size());
      word = Expand(std::string(rest_.substr(0, end)));
      rest_.remove_prefix(end);
      return true;
    }
    std::size_t at = 1;
    for (; rest_.at(at) != quote; ++at) {
      if (rest_[at] == '\\') {
        at = quote == '"' ? Escape(at, word) : Apostrophe(at, word);
      } else {
        word += rest_[at];
      }
    }
    rest_.remove_prefix(at + 1);
    return true;
  }

 private:
  // Both return the position of the last byte that they used.
  std::size_t Escape(std::size_t at, std::string& word) {
    const char c = rest_.at(at + 1);
    if (c == 'x') {
      word += static_cast<char>(std::stoi(std::string(rest_.substr(at + 2, 2)), nullptr, 16));
      return at + 3;
    }
    const std::string_view names = "nrtba";
    const std::string_view bytes = "\n\r\t\b\a";
    const std::size_t found = names.find(c);
    word += found == std::string_view::npos ? c : bytes[found];
    return at + 1;
  }
  std::size_t Apostrophe(std::size_t at, std::string& word) {
    if (rest_.at(at + 1) == '\'') {
      word += '\'';
      return at + 1;
    }
    word += '\\';
    return at;
  }

  std::string_view rest_;
};

// POSIX's matcher: that of the C++ library recurses once per character, and replies are long.
bool MatchesPattern(const std::string& pattern, const std::string& text) {
  regex_t compiled;
  if (regcomp(&compiled, ("^(" + pattern + ")$").c_str(), REG_EXTENDED | REG_NOSUB) != 0) {
    throw std::runtime_error("not a regular expression: " + pattern);
  }
  const bool matches = regexec(&compiled, text.c_str(), 0, nullptr, 0) == 0;
  regfree(&compiled);
  return matches;
}

// Replaces each run of white space by one blank, and removes it at the end.
std::string Folded(const std::string& text) {
  std::string folded;
  for (const char c : text) {
    if (c != '\r' && c != '\n' && c != ' ') {
      folded += c;
    } else if (!folded.empty() && folded.back() != ' ') {
      folded += ' ';
    }
  }
  if (folded.ends_with(' ')) {
    folded.pop_back();
  }
  return folded;
}

}  // namespace

std::vector<Exchange> ParseTranscript(std::string_view text) {
  std::vector<Exchange> exchanges;
  std::istringstream lines{std::string(text)};
  int number = 0;
  bool resp3 = false;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.empty() || line.starts_with("# ")) {
      continue;
    }
    if (line == "! resp3" || line == "! restart") {
      resp3 = line == "! resp3";
      exchanges.push_back(
          {.line = number, .command = "!" + line.substr(2), .words = {}, .reply = {}});
    } else if (line.starts_with("> ")) {
      Exchange& exchange = exchanges.emplace_back(Exchange{
          .line = number, .command = line.substr(2), .words = {}, .reply = {}, .resp3 = resp3});
      WordReader reader(exchange.command);
      for (std::string word; reader.Next(word);) {
        exchange.words.push_back(word);
      }
    } else if (exchanges.empty() || exchanges.back().IsDirective()) {
      throw std::runtime_error("line " + std::to_string(number) + ": a reply without a command");
    } else if (line.starts_with("~ ")) {
      exchanges.back().regex = true;
      exchanges.back().reply = line.substr(2);
    } else {
      exchanges.back().reply += line + "\n";
    }
  }
  return exchanges;
}

std::vector<std::string> TranscriptFiles(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".txt") {
      names.push_back(entry.path().filename());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string ReadFile(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

std::string WithoutIncarnation(const std::string& shown) {
  static const std::regex kNumber(
      "(\"incarnation\"(\\s+[0-9]+\\)| =>) \\(integer\\) |its incarnation is )[0-9]+");
  return std::regex_replace(shown, kNumber, "$1N");
}

bool Matches(const Exchange& exchange, const std::string& shown) {
  return exchange.regex ? MatchesPattern(exchange.reply, Folded(WithoutIncarnation(shown)))
                        : WithoutIncarnation(shown) == exchange.reply;
}

}  // namespace sluice::tests
