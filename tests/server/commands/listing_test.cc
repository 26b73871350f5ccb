// Replies that list rows: they show the state of one moment, however long they take, and release
// what they hold when they end.
#include <map>

#include <catch2/catch.hpp>

#include "tests/support/resp_decoder.h"
#include "tests/support/test_server.h"

namespace sluice::server {
namespace {

using Words = std::vector<std::string>;
constexpr int kRows = 50000;

void Fill(tests::TestClient& client) {
  Words words = {"KV.MPUT",
                 "p",
                 "NEW",
                 std::to_string(kRows),
                 "COLUMN",
                 "x",
                 "int8",
                 "BLOB",
                 std::string(kRows, 'x'),
                 "TAGS",
                 std::to_string(kRows)};
  for (int i = 0; i < kRows; ++i) {
    words.push_back(R"({"n":)" + std::to_string(i) + "}");
  }
  client.Run(words);
}

// Runs a long command in steps, and `meanwhile` after each step.
template <typename Meanwhile>
tests::Value RunInPieces(tests::TestClient& client, const Words& words,
                         const Meanwhile& meanwhile) {
  std::string output;
  std::string request = tests::Encode(words);
  const auto space = client.Get().ReadSpace();
  std::copy(request.begin(), request.end(), space[1].begin());
  client.Get().Received(request.size());
  int pieces = 0;
  do {
    client.Get().Run();
    output += client.TakeOutput();
    meanwhile(pieces++);
  } while (client.Get().HasMore());
  CHECK(pieces > 5);
  const auto values = tests::DecodeAll(output);
  REQUIRE(values.size() == 1);
  return values[0];
}

TEST_CASE("KV.LIST shows the state of one moment while others write", "[listing]") {
  tests::TestServer server;
  tests::TestClient reader(server);
  tests::TestClient writer(server);
  Fill(writer);
  const auto listed = RunInPieces(reader, {"KV.LIST", "p"}, [&writer](int piece) {
    const std::string key = std::to_string(kRows - 1 - piece);
    writer.Run({"KV.PUT", "p", key, "TAG", R"({"n":"changed"})"});
    writer.Run({"KV.CLEAR", "p", "KEYS", "2", std::to_string(piece * 100), "49000"});
    writer.Run({"KV.MPUT", "p", "NEW", "10"});
    writer.Run({"KV.CLEAR", "p", "KEYS", "1", std::to_string(piece + 1), "FIELDS", "1", "x"});
  });
  REQUIRE(listed.items.size() == std::size_t{2} * kRows);
  for (std::size_t i = 0; i < kRows; ++i) {
    REQUIRE(listed.items[2 * i].text == std::to_string(i));
    REQUIRE(listed.items[2 * i + 1].text == R"({"n":)" + std::to_string(i) + "}");
  }
  // A later list shows the concurrent writes.
  const auto now = tests::DecodeAll(reader.Run({"KV.TAGS", "p", "KEYS", "2", "49999", "49000"}));
  CHECK(now[0].items[0].text == R"({"n":"changed"})");
  CHECK(now[0].items[1].type == '_');
}

TEST_CASE("KV.LIST survives the removal of its partition, and of its client", "[listing]") {
  tests::TestServer server;
  tests::TestClient writer(server);
  Fill(writer);
  {
    tests::TestClient reader(server);
    const auto listed =
        RunInPieces(reader, {"KV.LIST", "p", "WHERE", "1", "n", "<", "20000", "FORMAT", "lines"},
                    [&writer](int piece) {
                      if (piece == 2) {
                        CHECK(writer.Run({"KV.CLEAR", "p"}) == ":50000\r\n");
                      }
                    });
    CHECK(std::count(listed.text.begin(), listed.text.end(), '\n') == 19999);
    Fill(writer);
    const std::string request = tests::Encode({"KV.LIST", "p"});
    const auto space = reader.Get().ReadSpace();
    std::copy(request.begin(), request.end(), space[1].begin());
    reader.Get().Received(request.size());
    reader.Get().Run();
    CHECK(reader.Get().HasMore());  // and the client disconnects in the middle
    writer.Run({"FLUSHALL"});
  }
  writer.Run({"PING"});
  CHECK(server.GetMemory().GetArena().GetStats().used_bytes == 0);
  CHECK(server.GetMemory().GetBudget().Used() < 65536);
}

TEST_CASE("KV.CHANGES in steps lists the changes made before it began", "[listing]") {
  tests::TestServer server;
  tests::TestClient reader(server);
  tests::TestClient writer(server);
  Fill(writer);
  const auto before = tests::DecodeAll(reader.Run({"KV.CHANGES", "p", "0"}))[0].items[0].text;
  Words words = {"KV.CLEAR", "p", "KEYS", "20000"};
  for (int i = 0; i < 20000; ++i) {
    words.push_back(std::to_string(i));
  }
  CHECK(writer.Run(words) == ":20000\r\n");
  words = {"KV.MPUT", "p", "KEYS", "20000"};
  for (int i = 10000; i < 30000; ++i) {
    words.push_back(std::to_string(i));
  }
  writer.Run(words);
  const auto changes = RunInPieces(reader, {"KV.CHANGES", "p", before}, [&writer](int piece) {
    writer.Run({"KV.CLEAR", "p", "KEYS", "1", std::to_string(40000 + piece)});
    writer.Run({"KV.PUT", "p", std::to_string(piece), "TAG", "{}"});
  });
  CHECK(changes.items[1].items.size() == std::size_t{2} * 20000);
  CHECK(changes.items[2].items.size() == 10000);  // the other rows were made again
  CHECK(changes.items[2].items[0].text == "0");
}

TEST_CASE("clearing a large partition replies once its memory is free, and blocks no other client",
          "[listing]") {
  tests::TestServer server;
  tests::TestClient client(server);
  tests::TestClient other(server);
  const std::int64_t empty = server.GetMemory().GetBudget().Used();
  Fill(client);
  const auto cleared = RunInPieces(client, {"KV.CLEAR", "p"}, [&other](int piece) {
    if (piece == 0) {  // the name is free immediately
      CHECK(other.Run({"DBSIZE"}) == ":0\r\n");
      other.Run({"SET", "p", "x"});
    }
  });
  CHECK(cleared.text == "50000");
  other.Run({"FLUSHALL"});
  CHECK(server.GetMemory().GetBudget().Used() < empty + 65536);
}

}  // namespace
}  // namespace sluice::server
