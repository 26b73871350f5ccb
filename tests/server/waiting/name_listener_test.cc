// Notifications of the store's listener: every change of the value of a name, and nothing else.
#include <catch2/catch.hpp>

#include "tests/support/test_server.h"

namespace sluice::server {
namespace {

using Words = std::vector<std::string>;

class Recorder final : public store::Listener {
 public:
  void OnNameChanged(std::string_view name) noexcept override { told_ += std::string(name) + " "; }
  void OnAllRemoved(store::Store& /*before*/) noexcept override { told_ += "* "; }
  std::string Take() { return std::exchange(told_, {}); }

 private:
  std::string told_;
};

TEST_CASE("the store notifies its listener of every change of a name, and nothing else",
          "[store]") {
  const Words put = {"KV.PUT", "p", "k", "FIELD", "x", "utf8", "BLOB", "v"};
  const std::vector<std::pair<Words, std::string>> steps = {
      {{"KV.MPUT", "p", "ROWS", std::string(8, '\0')}, ""},  // no such row: nothing is created
      {put, "p "},
      {put, "p "},
      {{"KV.PUT", "p", "k", "FIELD", "x", "int8", "VALUES", "1"}, ""},  // DTYPE
      {{"KV.MPUT", "p", "NEW", "1"}, "p "},
      {{"KV.PUT", "p", "k", "TAG", "{}"}, "p "},
      {{"KV.APPEND", "p", "k", "FIELD", "x", "utf8", "BLOB", "v"}, "p "},
      {{"KV.MGET", "p", "KEYS", "1", "k"}, ""},
      {{"KV.CLEAR", "p", "KEYS", "1", "k", "FIELDS", "1", "nope"}, ""},
      {{"KV.CLEAR", "p", "KEYS", "1", "k", "FIELDS", "1", "x"}, "p "},
      {{"KV.CLEAR", "p", "KEYS", "1", "nope"}, ""},
      {{"KV.CLEAR", "p", "KEYS", "1", "k"}, "p "},
      {{"KV.CLEAR", "nope"}, ""},
      {{"KV.CLEAR", "p"}, "p "},
      {{"SET", "s", "1"}, "s "},
      {{"SET", "s", "1"}, "s "},
      {{"SET", "s", "1", "NX"}, ""},
      {{"GET", "s"}, ""},
      {{"MSET", "s", "1", "t", "2"}, "s t "},
      {{"MSETNX", "s", "1", "u", "2"}, ""},
      {{"APPEND", "s", "2"}, "s "},
      {{"SETRANGE", "s", "0", ""}, ""},
      {{"SETRANGE", "s", "0", "3"}, "s "},
      {{"INCR", "s"}, "s "},
      {{"EXPIRE", "s", "100"}, "s "},
      {{"EXPIRE", "s", "100", "NX"}, ""},
      {{"PERSIST", "s"}, "s "},
      {{"PERSIST", "s"}, ""},
      {{"GETEX", "s"}, ""},
      {{"GETEX", "s", "EX", "10"}, "s "},
      {{"GETDEL", "t"}, "t "},
      {{"GETDEL", "t"}, ""},
      {{"DEL", "s", "t"}, "s "},
      {{"AI.TENSORSET", "x", "FLOAT", "1"}, "ai "},
      {{"EXPIRE", "ai", "1"}, "ai "},
      {{"PEXPIRE", "ai", "-1"}, "ai "},
      {{"FLUSHALL"}, "* "},
  };
  Recorder recorder;
  tests::TestServer server;
  tests::TestClient client(server);
  server.GetStore().AddListener(recorder);
  for (const auto& [words, told] : steps) {
    CAPTURE(words);
    client.Run(words);
    CHECK(recorder.Take() == told);
  }
  client.Run({"SET", "brief", "v", "PX", "5"});
  CHECK(recorder.Take() == "brief ");
  server.GetClock().Advance(6000);
  CHECK(recorder.Take().empty());
  client.Run({"EXISTS", "brief"});
  CHECK(recorder.Take() == "brief ");
}

}  // namespace
}  // namespace sluice::server
