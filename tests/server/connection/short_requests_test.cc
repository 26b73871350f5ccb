// Every name of the command table with 0 to 3 arguments.
#include "tests/support/short_requests.h"

#include <functional>

#include <catch2/catch.hpp>

namespace sluice::server {
namespace {

using Words = std::vector<std::string>;

const Words kArguments = {"", "0", "-1", "a", "*", "help"};

// Calls function(request) for `request`, and with up to `more` further arguments.
void ForEachLonger(Words& request, int more, const std::function<void(const Words&)>& function) {
  function(request);
  for (std::size_t i = 0; more > 0 && i < kArguments.size(); ++i) {
    request.push_back(kArguments[i]);
    ForEachLonger(request, more - 1, function);
    request.pop_back();
  }
}

void CheckAll(int arguments_max, resp::Version version) {
  for (Words& beginning : tests::Beginnings()) {
    tests::TestServer server(std::size_t{1} << 26);
    ForEachLonger(beginning, arguments_max, [&](const Words& request) {
      const std::string complaint = tests::Complaint(server, request, version);
      if (!complaint.empty()) {
        CAPTURE(request);
        FAIL_CHECK(complaint);
      }
    });
  }
}

TEST_CASE("every name with up to 3 arguments gets one well-formed reply", "[commands]") {
  CheckAll(3, resp::Version::k2);
}

TEST_CASE("the same in RESP3, with up to 1 argument", "[commands]") {
  CheckAll(1, resp::Version::k3);
}

TEST_CASE("a subcommand's whole name is not a command, as in Redis", "[commands]") {
  tests::TestServer server;
  tests::TestClient client(server);
  CHECK(client.Run({"CLIENT|ID"}) ==
        "-ERR unknown command 'CLIENT|ID', with args beginning with: \r\n");
  CHECK(client.Run({"config|get", "a", "b", "c"}) ==
        "-ERR unknown command 'config|get', with args beginning with: 'a' 'b' 'c' \r\n");
  CHECK(client.Run({"CLIENT", "ID|x"}) == "-ERR unknown subcommand 'ID|x'. Try CLIENT HELP.\r\n");
  CHECK(client.Run({"CLIENT"}) == "-ERR wrong number of arguments for 'client' command\r\n");
}

TEST_CASE("an argument that does not exist is empty", "[commands]") {
  const RequestArg args[] = {{.text = "a", .blob = {}}, {.text = "b", .blob = {}}};
  const RequestView request(args);
  CHECK(request.front().text == "a");
  CHECK(request[1].text == "b");
  CHECK(request[2].text.empty());
  CHECK(request.subspan(1).front().text == "b");
  CHECK(request.subspan(3).empty());
  CHECK(request.subspan(3).front().text.empty());
  CHECK(request.first(3).size() == 2);
  CHECK(RequestView().front().text.empty());
}

}  // namespace
}  // namespace sluice::server
