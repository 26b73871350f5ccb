// Random bytes, and mutated sessions of real clients (tests/fuzz/corpus: each client's requests on
// connecting, and first commands). After any input the server answers another client's PING, and
// used memory is back. SLUICE_SEED=n: another seed.
#include <array>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include <catch2/catch.hpp>

#include "tests/wire/bad_input.h"

namespace sluice::tests {
namespace {

using std::string_literals::operator""s;
using Random = std::mt19937;

constexpr int kInProcess = 10000;
constexpr int kOverSockets = 400;
constexpr std::int64_t kHourUs = std::int64_t{3600} * 1000000;

Random Seeded() {
  const char* const given = std::getenv("SLUICE_SEED");
  const unsigned seed = given != nullptr ? static_cast<unsigned>(std::atoi(given)) : 1;
  std::printf("SLUICE_SEED=%u\n", seed);
  return Random(seed);
}

std::size_t Below(Random& random, std::size_t end) {
  return std::uniform_int_distribution<std::size_t>(0, end - 1)(random);
}

std::vector<std::string> Corpus() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry :
       std::filesystem::directory_iterator(SLUICE_SOURCE_DIR "/tests/fuzz/corpus")) {
    paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());  // the same sessions for the same seed
  std::vector<std::string> sessions;
  for (const auto& path : paths) {
    std::ifstream stream(path, std::ios::binary);
    sessions.emplace_back(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
  }
  return sessions;
}

// Replacements for a length, a number or a name.
const std::array kTokens = {
    "0"s,
    "-1"s,
    "1"s,
    "2147483648"s,
    "9223372036854775807"s,
    "-9223372036854775808"s,
    "16384"s,
    "\r\n"s,
    "*"s,
    "$"s,
    "\0"s,
    "\xff\xfe"s,
    "*1\r\n"s,
    "$0\r\n\r\n"s,
    "KV.PUT"s,
    "KV.MGET"s,
    "BLOB"s,
    "VALUES"s,
    "WHERE"s,
    "KEYS"s,
    "MULTI\r\n"s,
    "EXEC\r\n"s,
    "RESET\r\n"s,
    "HELLO 3\r\n"s,
    "\""s,
    "'"s,
    "nan"s,
    "{\"a\":[1e999]}"s,
    "*-1\r\n"s,
};

std::string RandomBytes(Random& random) {
  std::string bytes;
  for (std::size_t left = 1 + Below(random, 200); left > 0; --left) {
    switch (Below(random, 4)) {
      case 0:
        bytes += kTokens[Below(random, kTokens.size())];
        break;
      case 1:
        bytes += "*$\r\n0123456789 "[Below(random, 15)];
        break;
      default:
        bytes += static_cast<char>(Below(random, 256));
    }
  }
  return bytes;
}

// Replaces a number by another one.
void ReplaceNumber(std::string& session, Random& random) {
  const auto is_digit = [&](std::size_t at) {
    return std::isdigit(static_cast<unsigned char>(session[at])) != 0;
  };
  std::size_t begin = Below(random, session.size());
  while (begin < session.size() && !is_digit(begin)) {
    ++begin;
  }
  std::size_t end = begin;
  while (end < session.size() && is_digit(end)) {
    ++end;
  }
  session.replace(begin, end - begin, std::to_string(Below(random, Below(random, 2) ? 20 : 70000)));
}

void MutateOnce(std::string& session, const std::vector<std::string>& corpus, Random& random) {
  const std::size_t at = Below(random, session.size());
  const std::size_t count = std::min(session.size() - at, 1 + Below(random, 40));
  const std::string& token = kTokens[Below(random, kTokens.size())];
  const std::string& other = corpus[Below(random, corpus.size())];
  switch (Below(random, 8)) {
    case 0:
      session[at] = static_cast<char>(session[at] ^ (1 << Below(random, 8)));
      break;
    case 1:
      session.insert(at, token);
      break;
    case 2:
      session.replace(at, std::min(count, token.size()), token);
      break;
    case 3:
      session.erase(at, count);
      break;
    case 4:
      session.insert(at, session.substr(at, count));
      break;
    case 5:
      session = session.substr(0, at) + other.substr(Below(random, other.size()));
      break;
    case 6:
      session += other;
      break;
    default:
      ReplaceNumber(session, random);
  }
  if (session.empty()) {
    session = token;
  }
}

std::string Mutated(const std::vector<std::string>& corpus, Random& random) {
  std::string session = corpus[Below(random, corpus.size())];
  for (std::size_t left = Below(random, 8); left > 0; --left) {  // some are not changed
    MutateOnce(session, corpus, random);
  }
  return session;
}

// One connection, read in pieces of any size. A blocked command reaches its time-out, or its
// connection closes.
void Live(TestServer& server, std::string_view bytes, Random& random) {
  TestClient client(server);
  const std::size_t piece_max = std::size_t{1} << Below(random, 12);
  while (!bytes.empty() && !client.Closed() && !client.Get().Blocked()) {
    const auto space = client.Get().ReadSpace();
    const std::size_t piece =
        std::min({1 + Below(random, piece_max), bytes.size(), space[0].size() + space[1].size()});
    client.Feed(bytes.substr(0, piece));
    bytes.remove_prefix(piece);
    if (client.Get().Blocked()) {
      server.GetClock().Advance(kHourUs);
      client.Resume();
    }
  }
}

template <typename Next>
void TormentInProcess(const Next& next) {
  TestServer server;
  for (int i = 0; i < kInProcess; ++i) {
    const std::string bytes = next();
    Random cuts(static_cast<unsigned>(i));
    Live(server, bytes, cuts);
    bool whole = true;
    {
      TestClient second(server);
      whole = second.Feed(kPing) == kPong && second.Run({"FLUSHALL"}) == "+OK\r\n";
    }
    if (!whole || server.GetMemory().GetBudget().Used() != 0) {
      CAPTURE(i, bytes, whole);
      CHECK(whole);
      REQUIRE(server.GetMemory().GetBudget().Used() == 0);
    }
  }
}

template <typename Next>
void TormentOverSockets(const Next& next) {
  LiveServer server;
  Aftermath aftermath(server);
  for (int i = 0; i < kOverSockets; ++i) {
    const std::string bytes = next();
    CAPTURE(i, bytes);
    {
      SocketClient client = i % 2 == 0 ? server.Tcp() : server.Unix();
      client.Send(bytes);
      client.HalfClose();
      client.ReceiveUntilClosed();
    }
    aftermath.Check();
  }
}

TEST_CASE("random bytes do not harm other clients", "[hostile]") {
  Random random = Seeded();
  const auto next = [&] { return RandomBytes(random); };
  TormentInProcess(next);
  TormentOverSockets(next);
}

TEST_CASE("mutated sessions of real clients do not harm other clients", "[hostile]") {
  Random random = Seeded();
  const std::vector<std::string> corpus = Corpus();
  REQUIRE(corpus.size() > 30);
  const auto next = [&] { return Mutated(corpus, random); };
  TormentInProcess(next);
  TormentOverSockets(next);
}

}  // namespace
}  // namespace sluice::tests
