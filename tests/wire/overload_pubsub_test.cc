// Publishers among subscribers that are slow, hang, die or are killed; and pushes, which are never
// inserted into a reply.
#include <catch2/catch.hpp>

#include "tests/wire/bad_input.h"
#include "tests/wire/pinger.h"

namespace sluice::tests {
namespace {

constexpr std::int64_t kMiB = std::int64_t{1} << 20;

SocketClient Subscribed(LiveServer& server, bool tcp, const std::string& words = "SUBSCRIBE c") {
  SocketClient client = tcp ? server.Tcp() : server.Unix();
  CHECK(client.Ask(words).items.size() == 3);
  return client;
}

std::int64_t OutputCuts(LiveServer& server) {
  return server.Parts().Get().stats.Sum(&server::ThreadStats::output_limit_disconnections);
}

TEST_CASE("a subscriber that does not read is closed at 32 MB, and costs no more", "[overload]") {
  constexpr std::int64_t kHardBytes = 32 * kMiB;  // the default
  const std::size_t message_bytes = GENERATE(std::size_t{1} << 20, std::size_t{1000});
  const bool tcp = GENERATE(true, false);
  const bool by_pattern = GENERATE(true, false);
  CAPTURE(message_bytes, tcp, by_pattern);
  LiveServer server;
  Aftermath aftermath(server);
  {
    SocketClient publisher = server.Tcp();
    CHECK(publisher.Ask("PING").text == "PONG");
    const std::int64_t before = server.UsedMemory();
    const SocketClient slow = Subscribed(server, tcp, by_pattern ? "PSUBSCRIBE c*" : "SUBSCRIBE c");
    const std::string publish = Encode({"PUBLISH", "c", std::string(message_bytes, 'm')});
    const auto at_once = static_cast<int>(std::size_t{1 << 20} / message_bytes);
    std::int64_t published = 0;
    bool heard = true;
    while (heard) {
      publisher.Send(Repeat(publish, at_once));
      for (int i = 0; i < at_once; ++i) {
        const Value reply = publisher.Receive();
        REQUIRE((reply.text == "1" || reply.text == "0"));
        heard = reply.text == "1";
      }
      published += at_once * static_cast<std::int64_t>(message_bytes);
      REQUIRE(published < 4 * kHardBytes);
      CHECK(server.UsedMemory() - before < 2 * kHardBytes);
    }
    CHECK(published > kHardBytes * 9 / 10);  // the frame of each message counts, too
    CHECK(OutputCuts(server) == 1);
    CHECK(publisher.Ask("PING").text == "PONG");
  }
  aftermath.Check();
}

TEST_CASE("a subscriber that reads nothing for long is closed at the soft limit", "[overload]") {
  LiveServer server;
  server.Parts().Set("client-output-buffer-limit", "pubsub 32mb 1mb 1");
  Aftermath aftermath(server);
  {
    SocketClient publisher = server.Unix();
    const SocketClient slow = Subscribed(server, true);
    SocketClient reading = Subscribed(server, false);
    for (int i = 0; i < 10; ++i) {
      publisher.Send(Encode({"PUBLISH", "c", std::string(kMiB, 'm')}));
      CHECK(publisher.Receive().text == "2");
      CHECK(reading.Receive().items.at(2).text.size() == kMiB);
    }
    WaitUntil([&] { return OutputCuts(server) == 1; });
    WaitUntil([&] { return publisher.Ask("PUBSUB NUMSUB c").items.at(1).text == "1"; });
    CHECK(publisher.Ask("PUBLISH c x").text == "1");
    CHECK(reading.Receive().items.at(2).text == "x");
  }
  aftermath.Check();
}

TEST_CASE("subscribers that die or are killed never harm the publisher", "[overload]") {
  constexpr int kDeaths = 150;  // of each kind
  LiveServer server;
  Aftermath aftermath(server);
  {
    Pinger publisher(server.Tcp(), "PUBLISH c message");
    Pinger transaction(server.Unix(), "SPUBLISH c message");
    Pinger killer(server.Unix(), "CLIENT KILL TYPE pubsub");
    const auto die = [&server](bool tcp, const std::string& words, bool reset) {
      for (int i = 0; i < kDeaths; ++i) {
        try {
          SocketClient client = tcp ? server.Tcp() : server.Unix();
          client.Send(words);
          client.Receive();
          client.Receive();
          reset ? client.Reset() : client.Close();
        } catch (const std::runtime_error&) {  // it was killed before
        }
      }
    };
    std::thread first(die, true, "SUBSCRIBE c\r\nPSUBSCRIBE *\r\n", true);
    std::thread second(die, false, "HELLO 3\r\nSUBSCRIBE c c2\r\nPSUBSCRIBE c*\r\n", false);
    std::thread third(die, true, "HELLO 3\r\nSSUBSCRIBE c\r\nSUBSCRIBE c\r\nGET k\r\n", true);
    first.join();
    second.join();
    third.join();
    for (Pinger* const pinger : {&publisher, &transaction, &killer}) {
      pinger->Stop();
      CHECK(pinger->Failure().empty());
      CHECK(pinger->Count() > 0);
    }
  }
  aftermath.Check();
}

TEST_CASE("a subscriber that reads gets every message, whole and in order", "[overload]") {
  constexpr int kMessages = 20000;
  const bool resp3 = GENERATE(false, true);
  LiveServer server;
  Aftermath aftermath(server);
  {
    SocketClient reader = server.Tcp();
    if (resp3) {
      reader.Ask("HELLO 3");
    }
    CHECK(reader.Ask("SUBSCRIBE c").items.size() == 3);
    std::thread publishing([&server] {
      SocketClient publisher = server.Unix();
      for (int i = 0; i < kMessages; ++i) {
        publisher.Send(Encode({"PUBLISH", "c", std::to_string(i)}));
      }
      for (int i = 0; i < kMessages; ++i) {
        publisher.Receive();
      }
    });
    int wrong = 0;
    for (int i = 0; i < kMessages; ++i) {
      const Value message = reader.Receive();
      const Value expected = {.type = resp3 ? '>' : '*',
                              .text = "",
                              .items = {{.type = '$', .text = "message", .items = {}},
                                        {.type = '$', .text = "c", .items = {}},
                                        {.type = '$', .text = std::to_string(i), .items = {}}}};
      wrong += message == expected ? 0 : 1;
    }
    publishing.join();
    CHECK(wrong == 0);
  }
  aftermath.Check();
}

// Long replies, large replies, and many in one: all that are written in steps, or while others run.
struct Asked {
  std::string request;
  Value reply;  // its value before any message was published
};

std::vector<Asked> AskAll(SocketClient& client) {
  constexpr int kRows = 40000;
  std::string keys;
  for (int i = 0; i < kRows; ++i) {
    keys += "row-" + std::to_string(i) + "\n";
  }
  const std::string large(3 * kMiB, 'v');
  client.Send(Encode({"KV.MPUT", "p", "KEYS", "LINES", keys, "COLUMN", "x", "int8", "BLOB",
                      std::string(kRows, 'x')}) +
              Encode({"SET", "large", large}) +
              Encode({"KV.PUT", "q", "k", "FIELD", "x", "uint8", std::to_string(large.size()),
                      "BLOB", large}));
  for (int i = 0; i < 3; ++i) {
    CHECK(client.Receive().type != '-');
  }
  std::vector<Asked> all;
  for (const std::string request :
       {"KV.LIST p", "KV.LIST p FORMAT lines", "KV.CHANGES p 0", "KV.MGET q KEYS 1 k", "GET large",
        "COMMAND DOCS", "ECHO x", "KV.SCAN p 0 COUNT 20000"}) {
    all.push_back({request + "\r\n", client.Ask(request)});
    CHECK(all.back().reply.type != '-');
  }
  const Value ok = {.type = '+', .text = "OK", .items = {}};
  const Value queued = {.type = '+', .text = "QUEUED", .items = {}};
  const Value both = {.type = '*', .text = "", .items = {all[0].reply, all[4].reply}};
  all.push_back({"MULTI\r\n", ok});
  all.push_back({all[0].request, queued});
  all.push_back({all[4].request, queued});
  all.push_back({"EXEC\r\n", both});
  return all;
}

// All values up to the reply to "ECHO the-end". (Decoding each as it arrives would take minutes.)
std::vector<Value> ReceiveToTheEnd(SocketClient& client) {
  const std::string end = "$7\r\nthe-end\r\n";
  std::string bytes;
  std::size_t found = std::string::npos;
  while (found == std::string::npos) {
    const std::size_t old = std::max(bytes.size(), end.size()) - end.size();
    if (!client.ReceiveSome(bytes, std::chrono::milliseconds(20000))) {
      throw std::runtime_error("nothing more comes");
    }
    found = bytes.find(end, old);
  }
  return DecodeAll(std::string_view(bytes).substr(0, found));
}

TEST_CASE("pushes are never inserted into replies", "[overload]") {
  LiveServer server;
  Aftermath aftermath(server);
  {
    SocketClient client = server.Tcp();
    CHECK(client.Ask("HELLO 3").type == '%');
    const std::vector<Asked> all = AskAll(client);
    CHECK(client.Ask("SUBSCRIBE c").type == '>');
    CHECK(client.Ask("PSUBSCRIBE d*").type == '>');
    Pinger first(server.Unix(), "PUBLISH c message");
    Pinger second(server.Tcp(), "PUBLISH d2 message");
    WaitUntil([&] { return first.Count() > 0 && second.Count() > 0; });
    std::string pipeline;
    for (const Asked& asked : all) {
      pipeline += asked.request;
    }
    int pushes = 0;
    int wrong = 0;
    for (int round = 0; round < 100 && pushes < 10; ++round) {
      client.Send(pipeline + pipeline + "ECHO the-end\r\n");
      std::size_t replies = 0;
      for (const Value& value : ReceiveToTheEnd(client)) {
        if (value.type == '>') {
          ++pushes;
          wrong += value.items.size() >= 3 && value.items.back().text == "message" ? 0 : 1;
        } else {
          CAPTURE(replies);
          REQUIRE(replies < 2 * all.size());
          REQUIRE(value == all[replies++ % all.size()].reply);
        }
      }
      REQUIRE(replies == 2 * all.size());
    }
    CHECK(pushes >= 10);
    CHECK(wrong == 0);
    for (Pinger* const pinger : {&first, &second}) {
      pinger->Stop();
      CHECK(pinger->Failure().empty());
    }
  }
  aftermath.Check();
}

}  // namespace
}  // namespace sluice::tests
