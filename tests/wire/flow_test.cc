// Flow and memory: pipelines that are written whole before one reply is read, and the memory that a
// connection can make the server hold. A server that stops reading hangs together with its client:
// each wait has a deadline.
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/wire/bad_input.h"
#include "tests/wire/pinger.h"

namespace sluice::tests {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::int64_t kMiB = std::int64_t{1} << 20;
constexpr milliseconds kPatience{20000};

struct Pipeline {
  std::string name;
  std::vector<std::vector<std::string>> requests;  // in turn
  int count;
};

std::vector<Pipeline> Pipelines() {
  const int many = kSanitized ? 20000 : 100000;
  const std::vector<std::string> get = {"GET", "s"};
  const std::vector<std::string> fields = {"KV.FIELDS", "p", "KEYS", "1", "k"};
  const std::vector<std::string> mget = {"KV.MGET", "p", "KEYS", "1", "k"};
  const std::vector<std::string> status = {"TASK.STATUS", "p", "t"};
  const std::vector<std::string> large = {"GET", "large"};
  const std::vector<std::string> set = {"SET", "large",
                                        std::string(static_cast<std::size_t>(kMiB), 'v')};
  return {{"GET of 1 KiB", {get}, many},
          {"KV.FIELDS", {fields}, many * 3 / 5},
          {"KV.MGET", {mget}, many * 3 / 5},
          {"TASK.STATUS", {status}, many * 3 / 5},
          {"mixed", {get, fields, mget, status, {"PING"}, {"NOSUCH"}}, many},
          {"large values both ways", {large, set}, 200}};
}

void SendAll(SocketClient& client, std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t sent = client.SendSome(bytes, kPatience);
    REQUIRE(sent > 0);
    bytes.remove_prefix(sent);
  }
}

// The reply as bytes: everything before the reply to a following ECHO.
std::string Answer(SocketClient& client, const std::vector<std::string>& request) {
  SendAll(client, Encode(request) + "ECHO the-end\r\n");
  const std::string end = "$7\r\nthe-end\r\n";
  std::string received;
  while (!received.ends_with(end)) {
    REQUIRE(client.ReceiveSome(received, kPatience));
  }
  received.resize(received.size() - end.size());
  return received;
}

SocketClient Connect(LiveServer& server, bool tcp, bool resp3) {
  SocketClient client = tcp ? server.Tcp() : server.Unix();
  if (resp3) {
    client.Send("HELLO 3\r\n");
    client.Receive();
  }
  return client;
}

void Fill(LiveServer& server) {
  SocketClient client = server.Unix();
  const std::string kilobyte(1024, 's');
  CHECK(Answer(client, {"SET", "s", kilobyte}) == "+OK\r\n");
  CHECK(Answer(client, {"SET", "large", std::string(static_cast<std::size_t>(kMiB), 'v')}) ==
        "+OK\r\n");
  Answer(client, {"KV.PUT", "p", "k", "FIELD", "x", "uint8", "200", "BLOB", std::string(200, 'x')});
  Answer(client, {"TASK.FETCH", "p", "t", "FIELDS", "1", "x", "COUNT", "1"});
  Answer(client, {"TASK.STATUS", "p", "t"});  // the memory that it keeps exists from now on
}

TEST_CASE("a pipeline that is written whole before one reply is read gets all replies", "[flow]") {
  const bool tcp = GENERATE(false, true);
  const bool resp3 = GENERATE(false, true);
  LiveServer server;
  Fill(server);
  WaitUntil([&] { return server.Connections() == 0; });
  const std::int64_t before = server.UsedMemory();
  for (const Pipeline& pipeline : Pipelines()) {
    CAPTURE(pipeline.name, tcp, resp3);
    {
      SocketClient client = Connect(server, tcp, resp3);
      std::vector<std::string> requests;
      std::vector<std::string> answers;
      for (const std::vector<std::string>& request : pipeline.requests) {
        requests.push_back(Encode(request));
        answers.push_back(Answer(client, request));
      }
      std::string all;
      std::int64_t input = 0;
      for (int i = 0; i < pipeline.count; ++i) {
        const std::string& request = requests[static_cast<std::size_t>(i) % requests.size()];
        input += static_cast<std::int64_t>(request.size());
        all += request;
        if (all.size() > static_cast<std::size_t>(kMiB)) {
          SendAll(client, all);
          all.clear();
        }
      }
      SendAll(client, all);
      // All of it has arrived except the system's buffers; input and output are bounded.
      CHECK(server.UsedMemory() - before < input + input / 8 + 4 * kMiB);
      for (int i = 0; i < pipeline.count;) {
        std::string expected;
        for (; i < pipeline.count && expected.size() < static_cast<std::size_t>(kMiB); ++i) {
          expected += answers[static_cast<std::size_t>(i) % answers.size()];
        }
        std::string received;
        while (received.size() < expected.size()) {
          REQUIRE(client.ReceiveSome(received, kPatience));
          if (received.size() > expected.size()) {
            while (i < pipeline.count && expected.size() < received.size()) {
              expected += answers[static_cast<std::size_t>(i++) % answers.size()];
            }
          }
        }
        REQUIRE((received == expected));
      }
    }
    WaitUntil([&] { return server.UsedMemory() == before; });
  }
}

TEST_CASE("a client that exceeds client-query-buffer-limit and reads nothing is closed", "[flow]") {
  LiveServer server("client-query-buffer-limit", "4mb");
  Aftermath aftermath(server);
  {
    SocketClient client = server.Tcp();
    SendAll(client, Encode({"SET", "k", std::string(80 * kMiB, 'v')}) + "GET k\r\n");
    const std::string pings = Repeat("PING\r\n", 100000);
    for (int i = 0; i < 100 && client.SendSome(pings, kPatience) > 0; ++i) {
    }
    const server::Stats& stats = server.Parts().Get().stats;
    WaitUntil([&] { return stats.Sum(&server::ThreadStats::query_limit_disconnections) == 1; });
    WaitUntil([&] { return server.Connections() == 0; });
  }
  aftermath.Check();
}

TEST_CASE("a value larger than client-query-buffer-limit arrives while output waits", "[flow]") {
  LiveServer server("client-query-buffer-limit", "4mb");
  {
    SocketClient client = server.Unix();
    const std::string value(16 * kMiB, 'w');
    SendAll(client, Encode({"SET", "k", std::string(80 * kMiB, 'v')}));
    CHECK(client.Receive().text == "OK");
    SendAll(client, "GET k\r\n");
    SendAll(client, Encode({"SET", "w", value}) + Encode({"SET", "x", std::string(kMiB, 'x')}) +
                        "PING\r\n");
    CHECK(client.Receive().text.size() == 80 * kMiB);
    CHECK(client.Receive().text == "OK");
    CHECK(client.Receive().text == "OK");
    CHECK(client.Receive().text == "PONG");
    client.Send("GET w\r\n");
    CHECK((client.Receive().text == value));
  }
}

TEST_CASE("a half-closed client gets all of its replies", "[flow]") {
  const bool tcp = GENERATE(false, true);
  LiveServer server;
  Aftermath aftermath(server);
  Fill(server);
  {
    SocketClient client = tcp ? server.Tcp() : server.Unix();
    SendAll(client, Repeat("GET s\r\n", 20000));
    client.HalfClose();
    const std::string all = client.ReceiveUntilClosed();
    CHECK(all.size() == std::size_t{20000} * (7 + 1024 + 2));
  }
  aftermath.Check();
}

enum class Goes { kClose, kReset, kHalfClose, kCloseBehindMore };

TEST_CASE("a peer that disconnects while its command is blocked is noticed immediately", "[flow]") {
  const Goes goes = GENERATE(Goes::kClose, Goes::kReset, Goes::kHalfClose, Goes::kCloseBehindMore);
  const bool tcp = goes == Goes::kReset || GENERATE(false, true);
  CAPTURE(static_cast<int>(goes), tcp);
  constexpr int kTimes = 10;
  LiveServer server;
  Aftermath aftermath(server);
  const std::atomic<std::int64_t>& blocked = server.Parts().Get().blocked_clients;
  milliseconds noticed{0};
  for (int i = 0; i < kTimes; ++i) {
    SocketClient client = tcp ? server.Tcp() : server.Unix();
    client.Send("TASK.FETCH p t FIELDS 1 x COUNT 1 BLOCK 0\r\n");
    WaitUntil([&] { return blocked == 1; });
    if (goes == Goes::kCloseBehindMore) {
      client.Send(Repeat("PING\r\n", 5000));
    }
    const auto gone = steady_clock::now();
    if (goes == Goes::kReset) {
      client.Reset();
    } else if (goes == Goes::kHalfClose) {
      client.HalfClose();
    } else {
      client.Close();
    }
    WaitUntil([&] { return blocked == 0 && server.Connections() == 0; });
    noticed += std::chrono::duration_cast<milliseconds>(steady_clock::now() - gone);
  }
  CHECK(noticed < milliseconds(40) * kTimes);  // a poll every 250 ms would take 125 ms on average
  aftermath.Check();
}

TEST_CASE("a blocked command ends with its peer's input, though output waits", "[flow]") {
  constexpr int kReads = 32;
  const bool upload = GENERATE(false, true);  // its argument is not read: nor is the end of input
  CAPTURE(upload);
  LiveServer server;
  Aftermath aftermath(server);
  Fill(server);
  server.Parts().Set("maxmemory", "2mb");
  const std::atomic<std::int64_t>& blocked = server.Parts().Get().blocked_clients;
  {
    SocketClient client = server.Unix();
    const std::string bytes(static_cast<std::size_t>(kMiB), 'u');
    const std::string put = Encode({"KV.PUT", "p", "n", "BLOCK", "0", "FIELD", "u", "uint8",
                                    std::to_string(kMiB), "BLOB", bytes});
    client.Send(Repeat("GET large\r\n", kReads) +
                (upload ? put.substr(0, std::size_t{64} << 10)  // the part that the system buffers
                        : "TASK.FETCH p t FIELDS 1 x COUNT 1 BLOCK 0\r\n"));
    WaitUntil([&] { return blocked == 1; });
    client.HalfClose();
    WaitUntil([&] { return blocked == 0; });
    const std::string all = client.ReceiveUntilClosed();
    CHECK(all.size() == kReads * (10 + static_cast<std::size_t>(kMiB) + 2));
  }
  aftermath.Check();
}

TEST_CASE("padded replies that are not read use almost no memory", "[flow]") {
  constexpr int kRows = 200;
  constexpr int kFields = 6;
  constexpr int kLongest = kSanitized ? 10000 : 50000;  // elements; 200 * 6 of them in all
  LiveServer server("maxmemory", "100mb");
  Aftermath aftermath(server);
  {
    SocketClient client = server.Unix();
    for (int row = 0; row < kRows; ++row) {
      const int length = row == 0 ? kLongest : 10 + row;
      std::vector<std::string> put = {"KV.PUT", "p", "k" + std::to_string(row)};
      for (int field = 0; field < kFields; ++field) {
        put.insert(put.end(),
                   {"FIELD", "f" + std::to_string(field), "float32", std::to_string(length), "BLOB",
                    std::string(static_cast<std::size_t>(length) * 4, 'x')});
      }
      client.Send(Encode(put));
      REQUIRE(client.Receive().type != '-');
    }
    std::vector<std::string> mget = {"KV.MGET", "p", "KEYS", std::to_string(kRows)};
    for (int row = 0; row < kRows; ++row) {
      mget.push_back("k" + std::to_string(row));
    }
    mget.insert(mget.end(), {"PAD", "right", "0"});
    std::vector<SocketClient> readers;
    const std::int64_t before = server.UsedMemory();
    for (int i = 0; i < 3; ++i) {
      readers.push_back(i == 0 ? server.Tcp() : server.Unix());
      readers.back().Send(Encode(mget));
      std::string first;
      REQUIRE(readers.back().ReceiveSome(first, kPatience));
      CHECK(first.front() == '*');
    }
    CHECK(server.Tcp().Ask("PING").text == "PONG");
    CHECK(server.UsedMemory() - before < 8 * kMiB);
    CHECK(server.Parts().GetMemory().GetBudget().Peak() < 100 * kMiB);
    // One of them is read to its end: complete and correct.
    SocketClient reader = server.Unix();
    Value reply;
    REQUIRE(Decode(Answer(reader, mget), reply));
    REQUIRE(reply.items.size() == kFields);
    for (const Value& column : reply.items) {
      const std::string& data = column.items[4].text;
      REQUIRE(data.size() == std::size_t{kRows} * kLongest * 4);
      CHECK(data.substr(0, kLongest * 4) == std::string(kLongest * 4, 'x'));
      const std::size_t second = std::size_t{kLongest} * 4;
      CHECK(data.substr(second, 11 * 4) == std::string(11 * 4, 'x'));
      CHECK(data.substr(second + 11 * 4, 1000) == std::string(1000, '\0'));
    }
    CHECK(server.UsedMemory() - before < 8 * kMiB);
    client.Send("FLUSHALL\r\n");
    client.Receive();
  }
  aftermath.Check();
}

// Returns CLIENT LIST's entry of the client.
std::int64_t TotalOf(SocketClient& asking, std::int64_t id) {
  asking.Send("CLIENT LIST ID " + std::to_string(id) + "\r\n");
  const std::string line = asking.Receive().text;
  const std::size_t at = line.find(" tot-mem=");
  REQUIRE(at != std::string::npos);
  return std::stoll(line.substr(at + 9));
}

TEST_CASE("tot-mem is the memory that a client makes the server hold, and is bounded", "[flow]") {
  LiveServer server("client-query-buffer-limit", "8mb");
  server.Parts().Set("client-output-buffer-limit", "pubsub 32mb 8mb 60");
  const std::int64_t bound = server::Connection::HeldBytesMax(server.Parts().GetConfig());
  Aftermath aftermath(server);
  Fill(server);
  {
    SocketClient asking = server.Unix();
    asking.Ask("PING");
    SocketClient client = server.Unix();
    const std::int64_t id = std::stoll(client.Ask("CLIENT ID").text);
    const std::int64_t before = server.UsedMemory();
    CHECK(TotalOf(asking, id) < kMiB / 8);

    // Scratch output, then input that does not run.
    SendAll(client, Repeat("GET s\r\n", 200000));
    WaitUntil([&] { return TotalOf(asking, id) > kMiB * 3 / 2; });
    const std::int64_t total = TotalOf(asking, id);
    CHECK(std::abs(total - (server.UsedMemory() - before)) < kMiB / 4);
    CHECK(total < 4 * kMiB);
    CHECK(total < bound);

    // A queued transaction.
    SocketClient queueing = server.Tcp();
    const std::int64_t second = std::stoll(queueing.Ask("CLIENT ID").text);
    queueing.Ask("MULTI");
    const std::string value(10000, 'q');
    for (int i = 0; i < 100; ++i) {
      queueing.Send(Encode({"SET", "q", value}));
      CHECK(queueing.Receive().text == "QUEUED");
    }
    CHECK(TotalOf(asking, second) > kMiB - kMiB / 8);

    // Payload that a reply keeps alive.
    SocketClient reading = server.Unix();
    const std::int64_t third = std::stoll(reading.Ask("CLIENT ID").text);
    reading.Send(Repeat("GET large\r\n", 32));
    WaitUntil([&] { return TotalOf(asking, third) > 24 * kMiB; });
  }
  aftermath.Check();
}

}  // namespace
}  // namespace sluice::tests
