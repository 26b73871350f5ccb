// Several connections: publish and subscribe, WATCH, and effects of CLIENT on other connections.
#include <algorithm>

#include <catch2/catch.hpp>

#include "tests/support/test_server.h"

namespace sluice::server {
namespace {

using tests::Encode;
using tests::TestClient;
using tests::TestServer;

TEST_CASE("a message reaches all subscribers, in both protocols", "[pubsub]") {
  TestServer server;
  TestClient publisher(server);
  TestClient old(server);
  TestClient modern(server);
  modern.Run({"HELLO", "3"});
  CHECK(old.Run({"SUBSCRIBE", "news", "other"}) ==
        "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"
        "*3\r\n$9\r\nsubscribe\r\n$5\r\nother\r\n:2\r\n");
  CHECK(modern.Run({"PSUBSCRIBE", "n*", "n?ws"}) ==
        ">3\r\n$10\r\npsubscribe\r\n$2\r\nn*\r\n:1\r\n"
        ">3\r\n$10\r\npsubscribe\r\n$4\r\nn?ws\r\n:2\r\n");
  CHECK(publisher.Run({"PUBLISH", "news", "hi"}) == ":3\r\n");
  CHECK(old.Resume() == "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n");
  CHECK(modern.Resume() ==
        ">4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$2\r\nhi\r\n"
        ">4\r\n$8\r\npmessage\r\n$4\r\nn?ws\r\n$4\r\nnews\r\n$2\r\nhi\r\n");
  modern.Run({"SSUBSCRIBE", "news"});
  CHECK(publisher.Run({"SPUBLISH", "news", "shard"}) == ":1\r\n");
  CHECK(modern.Resume() == ">3\r\n$8\r\nsmessage\r\n$4\r\nnews\r\n$5\r\nshard\r\n");
  CHECK(old.Run({"UNSUBSCRIBE"}) ==
        "*3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:1\r\n"
        "*3\r\n$11\r\nunsubscribe\r\n$5\r\nother\r\n:0\r\n");
  CHECK(publisher.Run({"PUBLISH", "other", "hi"}) == ":0\r\n");
}

TEST_CASE("a large message is shared, and sent whole", "[pubsub]") {
  TestServer server;
  const std::string payload(100000, 'p');
  const auto before = server.GetMemory().GetBudget().Used();
  {
    TestClient publisher(server);
    TestClient one(server);
    TestClient two(server);
    one.Run({"SUBSCRIBE", "c"});
    two.Run({"SUBSCRIBE", "c"});
    CHECK(publisher.Run({"PUBLISH", "c", payload}) == ":2\r\n");
    const std::string message = "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$100000\r\n" + payload + "\r\n";
    CHECK(one.Resume() == message);
    CHECK(two.Resume() == message);
  }
  CHECK(server.GetMemory().GetBudget().Used() == before);
}

TEST_CASE("a client that publishes to itself gets the reply first", "[pubsub]") {
  TestServer server;
  TestClient client(server);
  client.Run({"HELLO", "3"});
  client.Run({"SUBSCRIBE", "c"});
  CHECK(client.Run({"PUBLISH", "c", "x"}) == ":1\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n");
}

TEST_CASE("a push is never inserted into a reply that is written in steps", "[pubsub]") {
  TestServer server;
  TestClient client(server);
  TestClient publisher(server);
  client.Run({"HELLO", "3"});
  client.Run({"SUBSCRIBE", "c"});
  publisher.Run({"KV.MPUT", "p", "NEW", "100000"});
  client.FeedOnly("");
  const std::string request = Encode({"KV.LIST", "p"});
  auto space = client.Get().ReadSpace();
  std::copy(request.begin(), request.end(), space[1].begin());
  client.Get().Received(request.size());
  client.Get().Run();
  REQUIRE(client.Get().HasMore());  // half of it is written
  publisher.Run({"PUBLISH", "c", "inside?"});
  client.Get().TakeMail();
  std::string output = client.TakeOutput();
  CHECK(output.find("inside?") == std::string::npos);
  while (client.Get().HasMore()) {
    client.Get().Run();
    output += client.TakeOutput();
  }
  CHECK(output.starts_with("%100000\r\n"));
  CHECK(output.ends_with("$2\r\n{}\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$7\r\ninside?\r\n"));
}

TEST_CASE("a subscriber that does not read is closed; its publisher gets no error", "[pubsub]") {
  TestServer server;
  server.Set("client-output-buffer-limit", "pubsub 1mb 0 0");
  TestClient publisher(server);
  TestClient stuck(server);
  TestClient well(server);
  stuck.Run({"SUBSCRIBE", "c"});
  well.Run({"SUBSCRIBE", "c"});
  const std::string payload(10000, 'p');
  for (int i = 0; i < 200; ++i) {
    REQUIRE(publisher.Run({"PUBLISH", "c", payload}) == ":2\r\n");
    REQUIRE(well.Resume().size() > payload.size());
  }
  stuck.Get().TakeMail();
  CHECK(stuck.Get().DropOutput());
  CHECK(server.GetStats().output_limit_disconnections.Get() == 1);
}

TEST_CASE("changes by others make a watching transaction fail", "[transactions]") {
  TestServer server;
  TestClient watcher(server);
  TestClient other(server);
  other.Run({"KV.PUT", "p", "k", "TAG", "{}"});
  const auto exec = [&](const std::vector<std::string>& change) {
    watcher.Run({"WATCH", "p", "s"});
    other.Run(change);
    watcher.Run({"MULTI"});
    watcher.Run({"PING"});
    return watcher.Run({"EXEC"});
  };
  CHECK(exec({"KV.PUT", "p", "k", "TAG", "{\"a\":1}"}) == "*-1\r\n");
  CHECK(exec({"KV.PUT", "q", "k", "TAG", "{\"a\":1}"}) == "*1\r\n+PONG\r\n");
  CHECK(exec({"SET", "s", "1"}) == "*-1\r\n");
  CHECK(exec({"KV.CLEAR", "p", "KEYS", "1", "nosuch"}) == "*1\r\n+PONG\r\n");
  CHECK(exec({"KV.CLEAR", "p", "KEYS", "1", "k"}) == "*-1\r\n");
  CHECK(exec({"KV.CLEAR", "p"}) == "*-1\r\n");
  CHECK(exec({"FLUSHALL"}) == "*-1\r\n");
}

TEST_CASE("a transaction is atomic to others, and its commands do not block", "[transactions]") {
  TestServer server;
  TestClient client(server);
  client.Run({"MULTI"});
  client.Run({"KV.MPUT", "p", "NEW", "50000"});
  client.Run({"KV.LIST", "p"});  // written in steps outside of a transaction
  client.Run({"KV.WAIT", "p", "KEYS", "1", "nosuch", "FIELDS", "1", "x", "TIMEOUT", "0"});
  client.Run({"KV.CLEAR", "p"});
  const std::string reply = client.Run({"EXEC"});
  CHECK(reply.starts_with("*4\r\n*2\r\n:50000\r\n"));
  CHECK(reply.ends_with("$2\r\n{}\r\n:0\r\n:50000\r\n"));
}

TEST_CASE("a connection whose transaction has too many bytes is closed, and its memory freed",
          "[transactions]") {
  TestServer server;
  server.Set("client-query-buffer-limit", "1mb");
  const auto before = server.GetMemory().GetBudget().Used();
  {
    TestClient client(server);
    client.Run({"MULTI"});
    int queued = 0;
    while (!client.Closed() && queued < 100000) {
      client.Run({"PING", std::string(1000, 'x')});
      ++queued;
    }
    CHECK(client.Get().DropOutput());
    CHECK(queued < 1000);
    CHECK(queued > 500);
  }
  CHECK(server.GetMemory().GetBudget().Used() == before);
}

TEST_CASE("watched and subscribed names count as the client's memory", "[clients]") {
  TestServer server;
  server.Set("client-query-buffer-limit", "1mb");
  const auto before = server.GetMemory().GetBudget().Used();
  for (const char* const command : {"WATCH", "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"}) {
    CAPTURE(command);
    {
      TestClient client(server);
      client.Run({"HELLO", "3"});
      int named = 0;
      for (; named < 10000 && !client.Closed(); ++named) {
        client.Run({command, "name-" + std::to_string(named)});
      }
      CHECK(client.Get().DropOutput());
      CHECK(named < 5000);
    }
    CHECK(server.GetMemory().GetBudget().Used() == before);
  }
  TestClient client(server);
  client.Run({"WATCH", "a", "b", "a"});
  client.Run({"UNWATCH"});
  client.Run({"SUBSCRIBE", "a", "b"});
  client.Run({"UNSUBSCRIBE"});
  CHECK(client.Get().GetInfo().transaction.bytes == 0);
  CHECK(client.Get().GetInfo().subscriptions.bytes == 0);
}

TEST_CASE("CLIENT REPLY suppresses replies", "[clients]") {
  TestServer server;
  TestClient client(server);
  CHECK(client.Run({"CLIENT", "REPLY", "SKIP"}).empty());
  CHECK(client.Run({"PING"}).empty());
  CHECK(client.Run({"PING"}) == "+PONG\r\n");
  CHECK(client.Run({"CLIENT", "REPLY", "OFF"}).empty());
  CHECK(client.Run({"KV.MPUT", "p", "NEW", "50000"}).empty());
  CHECK(client.Run({"KV.LIST", "p"}).empty());
  CHECK(client.Run({"NOSUCH"}).empty());
  CHECK(client.Run({"CLIENT", "REPLY", "SKIP"}).empty());
  CHECK(client.Run({"PING"}).empty());
  CHECK(client.Run({"CLIENT", "REPLY", "ON"}) == "+OK\r\n");
  CHECK(client.Run({"PING"}) == "+PONG\r\n");
}

TEST_CASE("CLIENT UNBLOCK ends a blocked command", "[clients]") {
  TestServer server;
  TestClient waiter(server);
  TestClient other(server);
  const std::string id = std::to_string(waiter.Get().GetInfo().id);
  const std::vector<std::string> wait = {"KV.WAIT", "p", "KEYS", "1",       "k",
                                         "FIELDS",  "1", "x",    "TIMEOUT", "0"};
  CHECK(other.Run({"CLIENT", "UNBLOCK", id}) == ":0\r\n");
  waiter.Run(wait);
  REQUIRE(waiter.Get().Blocked());
  CHECK(other.Run({"CLIENT", "UNBLOCK", id}) == ":1\r\n");
  CHECK(waiter.Resume() == ":0\r\n");
  waiter.Run(wait);
  CHECK(other.Run({"CLIENT", "UNBLOCK", id, "ERROR"}) == ":1\r\n");
  CHECK(waiter.Resume() == "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
  CHECK(waiter.Run({"PING"}) == "+PONG\r\n");
}

TEST_CASE("CLIENT PAUSE delays commands", "[clients]") {
  TestServer server;
  TestClient client(server);
  TestClient other(server);
  other.Run({"CLIENT", "PAUSE", "1000", "WRITE"});
  CHECK(client.Run({"GET", "a"}) == "$-1\r\n");
  CHECK(client.Run({"SET", "a", "1"}).empty());
  REQUIRE(client.Get().Blocked());
  server.GetClock().Advance(1000001);
  CHECK(client.Resume() == "+OK\r\n");
  other.Run({"CLIENT", "PAUSE", "1000"});
  CHECK(client.Feed(Encode({"PING"}) + Encode({"GET", "a"})).empty());
  CHECK(other.Run({"CLIENT", "UNPAUSE"}) == "+OK\r\n");
  CHECK(client.Resume() == "+PONG\r\n$1\r\n1\r\n");
}

TEST_CASE("CLIENT KILL closes others immediately, and itself after the reply", "[clients]") {
  TestServer server;
  TestClient client(server);
  TestClient other(server);
  const std::string id = std::to_string(other.Get().GetInfo().id);
  CHECK(client.Run({"CLIENT", "KILL", "ID", id}) == ":1\r\n");
  CHECK(client.Run({"CLIENT", "KILL", "ID", id}) == ":0\r\n");  // it already counts as closed
  other.Get().TakeMail();
  CHECK(other.Get().DropOutput());
  CHECK(client.Run({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no"}) == ":1\r\n");
  CHECK(client.Closed());
  CHECK_FALSE(client.Get().DropOutput());
}

TEST_CASE("MONITOR shows commands, but no passwords and no tensors", "[clients]") {
  TestServer server;
  TestClient monitor(server);
  TestClient client(server);
  CHECK(monitor.Run({"MONITOR"}) == "+OK\r\n");
  CHECK(monitor.Run({"MONITOR"}) == "+OK\r\n");
  client.Run({"SET", "k", "a\"b\n"});
  const std::string shown = monitor.Resume();
  CHECK(std::count(shown.begin(), shown.end(), '\n') == 1);
  CHECK_THAT(shown, Catch::EndsWith("[0 ] \"SET\" \"k\" \"a\\\"b\\n\"\r\n"));
  client.Run({"AUTH", "default", "secret"});
  CHECK_THAT(monitor.Resume(), Catch::EndsWith("[0 ] \"AUTH\" \"(redacted)\"\r\n"));
  client.Run({"SET", "k", std::string(5000, 'x')});
  CHECK(monitor.Resume().size() < 1200);
  client.Run({"MULTI"});
  monitor.Resume();
  client.Run({"PING"});
  CHECK(monitor.Resume().empty());
  client.Run({"EXEC"});
  CHECK_THAT(monitor.Resume(), Catch::Contains("\"PING\"") && Catch::EndsWith("\"EXEC\"\r\n"));
  CHECK(monitor.Run({"RESET"}).find("RESET") != std::string::npos);
  client.Run({"PING"});
  CHECK(monitor.Resume().empty());
}

TEST_CASE("SLOWLOG and LATENCY record slow commands", "[clients]") {
  TestServer server;
  server.Set("slowlog-log-slower-than", "0");
  server.Set("slowlog-max-len", "2");
  TestClient client(server);
  client.Run({"AUTH", "default", "secret"});
  CHECK(client.Run({"SLOWLOG", "GET"}).find("(redacted)") != std::string::npos);
  client.Run({"SET", "k", std::string(200, 'x')});
  const std::string log = client.Run({"SLOWLOG", "GET", "1"});
  CHECK(log.find("... (72 more bytes)") != std::string::npos);
  CHECK(client.Run({"SLOWLOG", "LEN"}) == ":2\r\n");
  std::vector<std::string> many(40, "k");
  many[0] = "WATCH";
  client.Run(many);
  CHECK(client.Run({"SLOWLOG", "GET", "1"}).find("... (9 more arguments)") != std::string::npos);
}

TEST_CASE("before login a client can make the server hold almost no memory", "[clients]") {
  TestServer server;
  server.Set("requirepass", "secret");
  CHECK(TestClient(server).Feed("*11\r\n") ==
        "-ERR Protocol error: unauthenticated multibulk length\r\n");
  CHECK(TestClient(server).Feed("*2\r\n$3\r\nGET\r\n$16385\r\n") ==
        "-ERR Protocol error: unauthenticated bulk length\r\n");
  TestClient client(server);
  CHECK(client.Feed(Encode({"NOSUCH"}) + Encode({"AUTH", "secret"}) + "*11\r\n") ==
        "-NOAUTH Authentication required.\r\n+OK\r\n");
  CHECK_FALSE(client.Closed());
  TestClient guesser(server);
  std::string guesses;
  for (int i = 0; i < 2000; ++i) {
    guesses += Encode({"AUTH", "wrong"});
  }
  guesser.FeedOnly(guesses);
  CHECK(guesser.Get().DropOutput());
}

}  // namespace
}  // namespace sluice::server
