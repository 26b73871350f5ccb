// Clients that do not read, or ask for large replies or long work.
// long.
#include <optional>

#include <catch2/catch.hpp>

#include "tests/wire/bad_input.h"
#include "tests/wire/pinger.h"

namespace sluice::tests {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMiB = std::size_t{1} << 20;

// "ECHO 0000000000000042" and its reply.
std::string Numbered(std::string_view head, int number) {
  const std::string digits = std::to_string(number);
  return std::string(head) + std::string(16 - digits.size(), '0') + digits + "\r\n";
}

// Checks the replies to ECHO 0, 1, 2 ..., however they are split.
class Answers {
 public:
  [[nodiscard]] int Count() const { return count_; }
  // Returns false at the first wrong byte.
  bool Take(std::string& received) {
    std::size_t used = 0;
    for (; received.size() - used >= kBytes; used += kBytes) {
      if (received.compare(used, kBytes, Numbered("$16\r\n", count_++)) != 0) {
        return false;
      }
    }
    received.erase(0, used);
    return true;
  }

 private:
  static constexpr std::size_t kBytes = 5 + 16 + 2;
  int count_ = 0;
};

TEST_CASE("of a million requests without a read most wait, and other clients do not",
          "[overload]") {
  constexpr int kCommands = 1000000;
  constexpr std::int64_t kHeldBytesMax = 23 * kCommands + 4 * kMiB;  // the bytes sent, and 4 MiB
  LiveServer server;
  Aftermath aftermath(server);
  {
    SocketClient other = server.Unix();
    SocketClient client = server.Tcp();
    client.SetOption(SOL_SOCKET, SO_RCVBUF, 65536);
    client.SetOption(SOL_SOCKET, SO_SNDBUF, 65536);
    CHECK(other.Ask("PING").text == "PONG");
    const std::int64_t before = server.UsedMemory();

    int next = 0;
    std::string request;
    const auto send = [&](milliseconds patience) {
      while (request.size() < 65536 && next < kCommands) {
        request += Numbered("ECHO ", next++);
      }
      const std::size_t sent = client.SendSome(request, patience);
      request.erase(0, sent);
      return sent > 0;
    };
    while (send(milliseconds(300))) {
    }
    CHECK(next == kCommands);
    CHECK(server.UsedMemory() - before < kHeldBytesMax);
    CHECK(other.Ask("PING").text == "PONG");

    Answers answers;
    std::string received;
    while (answers.Count() < kCommands) {
      const bool sent = send(milliseconds(0));
      REQUIRE((client.ReceiveSome(received, milliseconds(sent ? 0 : 10000)) || sent));
      REQUIRE(answers.Take(received));
    }
    CHECK(received.empty());
  }
  aftermath.Check();
}

// Any thread.
[[nodiscard]] bool PutBig(LiveServer& server, std::size_t bytes) {
  SocketClient writer = server.Unix();
  writer.Send(Encode({"KV.PUT", "p", "k", "FIELD", "x", "uint8", std::to_string(bytes), "BLOB",
                      std::string(bytes, 'b')}));
  return writer.Receive().type == ':';
}

TEST_CASE("readers that do not read are closed at the hard limit, and others are not affected",
          "[overload]") {
  constexpr int kReaders = 10;
  LiveServer server;
  Aftermath aftermath(server);
  server.Parts().Set("client-output-buffer-limit", "normal 16mb 0 0");
  REQUIRE(PutBig(server, kMiB));
  {
    Pinger first(server.Tcp());
    Pinger second(server.Tcp());
    std::vector<SocketClient> readers;
    for (int i = 0; i < kReaders; ++i) {
      readers.push_back(i % 2 == 0 ? server.Tcp() : server.Unix());
      readers.back().Send(Repeat("KV.MGET p KEYS 1 k\r\n", 500));
    }
    const server::Stats& stats = server.Parts().Get().stats;
    WaitUntil(
        [&] { return stats.Sum(&server::ThreadStats::output_limit_disconnections) == kReaders; });
    WaitUntil([&] { return server.Connections() == 2; });
    for (Pinger* const pinger : {&first, &second}) {
      pinger->Stop();
      CHECK(pinger->Failure().empty());
      CHECK((kSanitized || pinger->QuantileMs(0.99) < 100));
    }
  }
  aftermath.Check();
}

void PutManyRows(SocketClient& client, int count) {
  constexpr int kAtOnce = 50000;
  for (int first = 0; first < count; first += kAtOnce) {
    std::string keys;
    std::string tags;
    for (int i = first; i < first + kAtOnce; ++i) {
      keys += "row-" + std::to_string(i) + "\n";
      tags += "{\"n\":" + std::to_string(i) + "}\n";
    }
    client.Send(Encode({"KV.MPUT", "p", "KEYS", "LINES", keys, "TAGS", "LINES", tags, "COLUMN", "x",
                        "int8", "BLOB", std::string(kAtOnce, 'x')}));
    CHECK(client.Receive().type != '-');
  }
}

// A server that removed them in one piece would answer each other client at most once meanwhile.
TEST_CASE("other clients are answered often while very many rows are removed", "[overload]") {
  constexpr int kRows = 400000;
  const std::string command = GENERATE("KV.CLEAR p", "FLUSHALL");
  LiveServer server;
  Aftermath aftermath(server);
  {
    SocketClient client = server.Unix();
    PutManyRows(client, kRows);
    Pinger reader(server.Tcp(), "GET nosuch");
    Pinger writer(server.Tcp(), "SET s value");
    WaitUntil([&] { return reader.Count() > 0 && writer.Count() > 0; });
    const std::size_t before = std::min(reader.Count(), writer.Count());
    CHECK(client.Ask(command).type != '-');
    const std::size_t during = std::min(reader.Count(), writer.Count()) - before;
    CHECK(during > 8);
    for (Pinger* const pinger : {&reader, &writer}) {
      pinger->Stop();
      CHECK(pinger->Failure().empty());
      CHECK((kSanitized || pinger->QuantileMs(0.99) < 100));
    }
    CHECK(client.Ask("KV.FIELDS p").items.empty());
  }
  aftermath.Check();
}

TEST_CASE("other clients are answered often while 256 MB are read and written", "[overload]") {
  constexpr int kRounds = 8;
  // Over a Unix socket, with its large send buffer, as long as 64 MB over TCP, or longer.
  constexpr std::size_t kBig = 256 * kMiB;
  LiveServer server;
  Aftermath aftermath(server);
  REQUIRE(PutBig(server, kBig));
  {
    Pinger first(server.Tcp());
    Pinger second(server.Tcp());  // connections are assigned in turn: one per thread
    std::atomic<bool> stop{false};
    std::atomic<bool> written{true};
    std::thread writer([&] {
      while (!stop) {
        written = PutBig(server, kBig) && written;
      }
    });
    for (int i = 0; i < kRounds; ++i) {
      SocketClient client = i % 2 == 0 ? server.Tcp() : server.Unix();
      client.Send("KV.MGET p KEYS 1 k\r\nQUIT\r\n");
      std::size_t bytes = 0;
      std::size_t before[] = {0, 0};
      std::size_t after[] = {0, 0};
      for (std::string some; client.ReceiveSome(some, milliseconds(10000)); some.clear()) {
        auto& counts = bytes == 0 ? before : after;
        counts[0] = first.Count();
        counts[1] = second.Count();
        bytes += some.size();
      }
      CHECK(bytes > kBig);
      // From the first bytes to the last; if all were sent in one piece, one of the two would get
      // at most 1 reply.
      CHECK(std::min(after[0] - before[0], after[1] - before[1]) > 5);
    }
    stop = true;
    writer.join();
    CHECK(written);
    for (Pinger* const pinger : {&first, &second}) {
      pinger->Stop();
      CHECK(pinger->Failure().empty());
      CHECK((kSanitized || pinger->QuantileMs(0.99) < 100));
    }
  }
  aftermath.Check();
}

}  // namespace
}  // namespace sluice::tests
