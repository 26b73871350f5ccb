// For tests of waiters in partition p: the requests, their replies as short texts, and a server
// with a client that writes and several that wait.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/resp_decoder.h"
#include "tests/support/test_server.h"

namespace sluice::server {

using Words = std::vector<std::string>;

inline constexpr std::int64_t kSecondUs = 1000000;

// TASK.FETCH p t FIELDS 1 x COUNT n BLOCK 0, and further arguments.
inline Words Fetch(const std::string& count, const Words& more = {"BLOCK", "0"}) {
  Words words = {"TASK.FETCH", "p", "t", "FIELDS", "1", "x", "COUNT", count};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

inline Words Make(int rows) {
  return {"KV.MPUT",
          "p",
          "NEW",
          std::to_string(rows),
          "COLUMN",
          "x",
          "uint8",
          "BLOB",
          std::string(static_cast<std::size_t>(rows), 'x')};
}

// The reply to a fetch: "0 1", "end", "nil", an error's text; "" while it is blocked.
inline std::string Got(const std::string& reply) {
  if (reply.empty()) {
    return "";
  }
  tests::Value value;
  REQUIRE(tests::Decode(reply, value) == reply.size());
  if (value.type == '_') {
    return "nil";
  }
  if (value.type == '-') {
    return value.text;
  }
  std::string got;
  for (std::size_t i = 0; i + 1 < value.items.size(); i += 2) {
    if (value.items[i].text == "end") {
      return "end";
    }
    const std::string& rows = value.items[i + 1].text;
    for (std::size_t at = 0; value.items[i].text == "rows" && at < rows.size(); at += 8) {
      std::int64_t row = 0;
      std::memcpy(&row, rows.data() + at, sizeof(row));
      got += (got.empty() ? "" : " ") + std::to_string(row);
    }
  }
  return got;
}

// A server with a client that writes, and several that fetch.
class Stage {
 public:
  explicit Stage(std::size_t clients) : writer_(server) {
    for (std::size_t i = 0; i < clients; ++i) {
      clients_.push_back(std::make_unique<tests::TestClient>(server));
    }
  }

  std::string Write(const Words& words) { return writer_.Run(words); }
  std::string Ask(std::size_t i, const Words& words) { return Got(clients_[i]->Run(words)); }
  std::string Answer(std::size_t i) { return Got(clients_[i]->Resume()); }
  tests::TestClient& ConnectionInfo(std::size_t i) { return *clients_[i]; }
  void Drop(std::size_t i) { clients_[i] = nullptr; }
  // Returns `ready leased consumed` of the task.
  std::string Status() {
    tests::Value value;
    const std::string reply = writer_.Run({"TASK.STATUS", "p", "t", "FIELDS", "1", "x"});
    tests::Decode(reply, value);
    return value.items.size() < 12
               ? reply
               : value.items[7].text + " " + value.items[9].text + " " + value.items[11].text;
  }

  tests::TestServer server;

 private:
  tests::TestClient writer_;
  std::vector<std::unique_ptr<tests::TestClient>> clients_;
};

}  // namespace sluice::server
