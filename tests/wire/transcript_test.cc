// Replays tests/wire/*.txt in-process, over TCP and over the Unix socket; files named redis_* also
// against a real redis-server. SLUICE_UPDATE_TRANSCRIPTS=1 writes the in-process replies into the
// files: compare the difference with docs/protocol.md before you keep it.
#include "tests/wire/transcript.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <sstream>

#include <catch2/catch.hpp>

#include "server/dispatch/command_table.h"
#include "server/dispatch/error_reply.h"
#include "tests/support/show.h"
#include "tests/wire/peers.h"

namespace sluice::tests {
namespace {

using MakePeer = std::function<std::unique_ptr<Peer>()>;

// One conversation with a peer; a directive may replace the peer.
class Conversation {
 public:
  explicit Conversation(MakePeer make_peer)
      : make_peer_(std::move(make_peer)), peer_(make_peer_()) {}

  void Obey(const std::string& directive) {
    if (directive == "!restart") {
      peer_ = make_peer_();
    } else {
      peer_->Ask({"HELLO", "3"});
    }
  }
  std::string Shown(const Exchange& exchange) {
    if (exchange.IsClosed()) {
      return peer_->Closes(exchange.words) ? exchange.reply : "(not closed)\n";
    }
    return Show(peer_->Ask(exchange.words));
  }

 private:
  MakePeer make_peer_;
  std::unique_ptr<Peer> peer_;
};

std::vector<Exchange> Exchanges(const std::string& name) {
  return ParseTranscript(ReadFile(SLUICE_WIRE_DIR "/" + name));
}

void Replay(const std::string& name, const MakePeer& make_peer) {
  CAPTURE(name);
  Conversation conversation(make_peer);
  for (const Exchange& exchange : Exchanges(name)) {
    if (exchange.IsDirective()) {
      conversation.Obey(exchange.command);
      continue;
    }
    const std::string shown = conversation.Shown(exchange);
    CAPTURE(exchange.line, exchange.command, exchange.reply, shown);
    CHECK(Matches(exchange, shown));
  }
}

// Keeps comments, directives and patterns unchanged.
void Update(const std::string& name) {
  const std::string path = SLUICE_WIRE_DIR "/" + name;
  const std::vector<Exchange> exchanges = Exchanges(name);
  std::istringstream lines(ReadFile(path));
  std::ostringstream out;
  Conversation conversation([] { return std::make_unique<InProcess>(); });
  std::size_t next = 0;
  for (std::string line; std::getline(lines, line);) {
    const bool command = line.starts_with("> ");
    const bool directive = line.starts_with("! ");
    if (line.empty() || line.starts_with("# ") || line.starts_with("~ ") || command || directive) {
      out << line << "\n";
    }
    if (directive) {
      conversation.Obey(exchanges.at(next++).command);
    }
    if (command) {
      const Exchange& exchange = exchanges.at(next++);
      const std::string shown = conversation.Shown(exchange);
      out << (exchange.regex ? "" : WithoutIncarnation(shown));
    }
  }
  std::ofstream(path) << out.str();
}

TEST_CASE("transcripts hold in-process", "[transcript]") {
  for (const std::string& name : TranscriptFiles(SLUICE_WIRE_DIR)) {
    if (std::getenv("SLUICE_UPDATE_TRANSCRIPTS") != nullptr) {
      Update(name);
    }
    Replay(name, [] { return std::make_unique<InProcess>(); });
  }
}

TEST_CASE("transcripts hold over TCP", "[transcript]") {
  for (const std::string& name : TranscriptFiles(SLUICE_WIRE_DIR)) {
    Replay(name, [] { return std::make_unique<OverSocket>(Transport::kTcp); });
  }
}

TEST_CASE("transcripts hold over a Unix socket", "[transcript]") {
  for (const std::string& name : TranscriptFiles(SLUICE_WIRE_DIR)) {
    Replay(name, [] { return std::make_unique<OverSocket>(Transport::kUnix); });
  }
}

TEST_CASE("transcripts of Redis commands hold against redis-server", "[transcript]") {
  int replayed = 0;
  for (const std::string& name : TranscriptFiles(SLUICE_WIRE_DIR)) {
    if (name.starts_with("redis_")) {
      Replay(name, [] { return std::make_unique<RealRedis>(); });
      ++replayed;
    }
  }
  CHECK(replayed > 0);
}

// The rows that a request names: a subcommand's row and its parent's.
std::vector<std::string> RowsOf(const std::vector<std::string>& words) {
  std::vector<std::string> rows;
  std::string name;
  for (std::size_t i = 0; i < std::min<std::size_t>(words.size(), 2); ++i) {
    name += (i == 0 ? "" : "|") + words[i];
    if (const server::Command* const row = server::FindCommand(name)) {
      rows.emplace_back(row->name);
    }
  }
  return rows;
}

bool HasInRedis(Peer& redis, std::string_view row) {
  return redis.Ask({"COMMAND", "INFO", std::string(row)}).items.at(0).items.size() > 1;
}

TEST_CASE("every command of Redis is replayed against redis-server", "[transcript]") {
  std::set<std::string> replayed;
  for (const std::string& name : TranscriptFiles(SLUICE_WIRE_DIR)) {
    for (const Exchange& exchange : Exchanges(name)) {
      const std::vector<std::string> rows = RowsOf(exchange.words);
      if (name.starts_with("redis_")) {
        replayed.insert(rows.begin(), rows.end());
      }
    }
  }
  RealRedis redis;
  for (const auto family : server::Families()) {
    for (const server::Command& row : family) {
      CAPTURE(row.name);
      CHECK((replayed.count(std::string(row.name)) == 1 || !HasInRedis(redis, row.name)));
    }
  }
}

void CollectTokens(std::span<const server::Arg> args, std::set<std::string>& tokens) {
  for (const server::Arg& arg : args) {
    if (!arg.token.empty()) {
      tokens.insert(std::string(arg.token));
    }
    CollectTokens(arg.args, tokens);
  }
}

std::string Upper(std::string word) {
  std::transform(word.begin(), word.end(), word.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return word;
}

// row -> the words, in upper case, of all its requests with a reply other than an error.
using Answered = std::map<std::string, std::set<std::string>>;

Answered AnsweredRequests(bool resp3) {
  Answered answered;
  for (const std::string& name : TranscriptFiles(SLUICE_WIRE_DIR)) {
    for (const Exchange& exchange : Exchanges(name)) {
      if (exchange.IsError() || exchange.resp3 != resp3) {
        continue;
      }
      for (const std::string& row : RowsOf(exchange.words)) {
        for (const std::string& word : exchange.words) {
          answered[row].insert(Upper(word));
        }
      }
    }
  }
  return answered;
}

TEST_CASE("every command is answered in a transcript, in RESP2 with each option, and in RESP3",
          "[transcript]") {
  const Answered resp2 = AnsweredRequests(false);
  const Answered resp3 = AnsweredRequests(true);
  for (const auto family : server::Families()) {
    for (const server::Command& row : family) {
      CAPTURE(row.name);
      // Refused; needs a file (tests/server/config/config_test.cc); needs a slow command
      // (tests/e2e/test_redis_orders.py).
      if (row.group == "cluster" || row.name == "config|rewrite" || row.name == "latency|graph") {
        continue;
      }
      CHECK(resp3.count(std::string(row.name)) == 1);
      REQUIRE(resp2.count(std::string(row.name)) == 1);
      std::set<std::string> tokens;
      CollectTokens(row.args, tokens);
      for (const std::string& token : tokens) {
        CAPTURE(token);
        CHECK(resp2.at(std::string(row.name)).count(token) == 1);
      }
    }
  }
}

TEST_CASE("every error code is in errors.txt", "[transcript]") {
  std::set<std::string> found;
  for (const Exchange& exchange : Exchanges("errors.txt")) {
    if (exchange.IsError()) {
      found.insert(exchange.reply.substr(8, exchange.reply.find(' ', 8) - 8));
    }
  }
  std::set<std::string> codes;
  for (const server::ErrorPrefix& prefix : server::ErrorPrefixes()) {
    if (prefix.code != Code::kDenied && prefix.code != Code::kUnblocked) {
      codes.insert(std::string(prefix.text));
    }
  }
  // DENIED depends on the peer's address: tests/server/connection/connection_test.cc. UNBLOCKED
  // takes two clients: tests/server/waiting/blocked_test.cc.
  CHECK(found == codes);
}

}  // namespace
}  // namespace sluice::tests
