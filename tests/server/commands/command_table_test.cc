#include "server/dispatch/command_table.h"

#include <set>

#include <catch2/catch.hpp>

#include "tests/support/resp_decoder.h"
#include "tests/support/test_server.h"

namespace sluice::server {
namespace {

using tests::DecodeAll;
using tests::Value;

template <typename Function>
void ForEachRow(const Function& function) {
  for (const auto family : Families()) {
    for (const Command& row : family) {
      CAPTURE(row.name);
      function(row);
    }
  }
}

std::vector<std::string> Words(std::string_view name) {
  const std::size_t bar = name.find('|');
  if (bar == std::string_view::npos) {
    return {std::string(name)};
  }
  return {std::string(name.substr(0, bar)), std::string(name.substr(bar + 1))};
}

int Depth(const Value& value) {
  int deepest = 0;
  for (const Value& item : value.items) {
    deepest = std::max(deepest, Depth(item));
  }
  return deepest + (value.items.empty() ? 0 : 1);
}

// The text of `name` in a map, which RESP2 sends as a flat array.
std::string Entry(const Value& map, std::string_view name) {
  for (std::size_t i = 0; i + 1 < map.items.size(); i += 2) {
    if (map.items[i].text == name) {
      return map.items[i + 1].text;
    }
  }
  return "";
}

TEST_CASE("every command has one name, found in any case", "[commands]") {
  std::set<std::string_view> names;
  ForEachRow([&names](const Command& row) {
    CHECK(names.insert(row.name).second);
    std::string upper(row.name);
    for (char& c : upper) {
      c = static_cast<char>(std::toupper(c));
    }
    CHECK(FindCommand(upper) == &row);
  });
  CHECK(names.size() == CommandCount());
  CHECK(FindCommand("no.such") == nullptr);
  CHECK(FindCommand(std::string(1000, 'x')) == nullptr);
  CHECK(FindCommand("") == nullptr);
}

TEST_CASE("every command refuses a wrong number of arguments with Redis's text", "[commands]") {
  tests::TestServer server;
  ForEachRow([&server](const Command& row) {
    std::vector<std::string> words = Words(row.name);
    const auto least = static_cast<std::size_t>(row.arity < 0 ? -row.arity : row.arity);
    const std::string expected =
        "-ERR wrong number of arguments for '" + std::string(row.name) + "' command\r\n";
    if (words.size() < least) {
      tests::TestClient client(server);
      words.resize(least - 1, "x");
      if ((row.flags & kContainer) == 0 || words.size() > 1) {
        CHECK(client.Run(words) == expected);
      } else {
        CHECK(client.Run({words[0]}) == expected);
      }
    }
    if (row.arity > 0) {
      tests::TestClient client(server);
      words.resize(least + 1, "x");
      CHECK(client.Run(words) == expected);
    }
  });
}

TEST_CASE("COMMAND and its subcommands describe the table", "[commands]") {
  tests::TestServer server;
  tests::TestClient client(server);
  std::set<std::string> top;
  std::set<std::string> rows;
  ForEachRow([&](const Command& row) {
    rows.insert(std::string(row.name));
    if (!IsSubcommand(row)) {
      top.insert(std::string(row.name));
    }
  });
  CHECK(client.Run({"COMMAND", "COUNT"}) == ":" + std::to_string(top.size()) + "\r\n");
  for (const bool resp3 : {false, true}) {
    if (resp3) {
      client.Run({"HELLO", "3"});
    }
    std::set<std::string> listed;
    const Value names = DecodeAll(client.Run({"COMMAND", "LIST"}))[0];
    for (const Value& name : names.items) {
      listed.insert(name.text);
    }
    CHECK(listed == rows);
    const Value all = DecodeAll(client.Run({"COMMAND"}))[0];
    CHECK(all.items.size() == top.size());
    for (const Value& entry : all.items) {
      CAPTURE(entry.items[0].text);
      REQUIRE(entry.items.size() == 10);
      const Command* const row = FindCommand(entry.items[0].text);
      REQUIRE(row != nullptr);
      CHECK(entry.items[1].text == std::to_string(row->arity));
      CHECK(entry.items[3].text == std::to_string(row->keys.first));
    }
    const Value docs = DecodeAll(client.Run({"COMMAND", "DOCS"}))[0];
    CHECK(docs.type == (resp3 ? '%' : '*'));
    REQUIRE(docs.items.size() == 2 * top.size());
    for (std::size_t i = 0; i < docs.items.size(); i += 2) {
      CAPTURE(docs.items[i].text);
      CHECK(Entry(docs.items[i + 1], "summary") == FindCommand(docs.items[i].text)->summary);
    }
    CHECK(Depth(docs) <= 7);  // the depth limit of Debian's hiredis
    CHECK(Depth(all) <= 7);
  }
  ForEachRow([&client](const Command& row) {
    const Value info = DecodeAll(client.Run({"COMMAND", "INFO", std::string(row.name)}))[0];
    REQUIRE(info.items.size() == 1);
    REQUIRE(info.items[0].items.size() == 10);
    CHECK(info.items[0].items[0].text == row.name);
    CHECK(info.items[0].items[1].text == std::to_string(row.arity));
    if (!IsSubcommand(row)) {
      const Value docs = DecodeAll(client.Run({"COMMAND", "DOCS", std::string(row.name)}))[0];
      REQUIRE(docs.items.size() == 2);
      CHECK(Entry(docs.items[1], "group") == row.group);
      CHECK(Entry(docs.items[1], "since") == row.since);
      CHECK(Entry(docs.items[1], "complexity") == row.complexity);
    }
  });
  const Value some = DecodeAll(client.Run({"COMMAND", "INFO", "GET", "nosuch", "config|get"}))[0];
  CHECK(some.items[0].items[0].text == "get");
  CHECK(some.items[1].type == '_');
  CHECK(some.items[2].items[0].text == "config|get");
  CHECK(DecodeAll(client.Run({"COMMAND", "DOCS", "nosuch", "ping"}))[0].items.size() == 2);
}

TEST_CASE("COMMAND reports keys where cluster clients look for them", "[commands]") {
  tests::TestServer server;
  tests::TestClient client(server);
  ForEachRow([](const Command& row) {
    CHECK((row.group == "kv") == row.name.starts_with("kv."));
    if (row.group == "kv") {
      CHECK(row.keys.first == 1);
      CHECK(row.keys.last == 1);
      CHECK(row.keys.step == 1);
    }
  });
  CHECK(client.Run({"COMMAND", "GETKEYS", "KV.PUT", "p", "k", "TAG", "{}"}) == "*1\r\n$1\r\np\r\n");
  CHECK(client.Run({"COMMAND", "GETKEYS", "SET", "a", "b"}) == "*1\r\n$1\r\na\r\n");
  CHECK(client.Run({"COMMAND", "GETKEYS", "NOSUCH", "a"}) == "-ERR Invalid command specified\r\n");
}

}  // namespace
}  // namespace sluice::server
