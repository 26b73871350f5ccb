// Short requests with every name of the command table, and the check of their replies: for the test
// that sends all of them and the fuzz target that sends any of them.
#pragma once

#include <algorithm>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/ascii.h"
#include "server/arguments/arg_reader.h"
#include "server/dispatch/command_table.h"
#include "tests/support/resp_decoder.h"
#include "tests/support/test_server.h"

namespace sluice::tests {

// The beginnings of requests: each row's name as one word ("client|id" too, which no client should
// send), a subcommand's name as two words, and some that resemble names.
inline std::vector<std::vector<std::string>> Beginnings() {
  std::vector<std::vector<std::string>> all = {
      {"|"}, {"client|"}, {"|id"}, {"client|nosuch"}, {"get|key"}, {""}, {"\r\n|"}};
  for (const auto family : server::Families()) {
    for (const server::Command& row : family) {
      all.push_back({std::string(row.name)});
      if (const std::size_t bar = row.name.find('|'); bar != std::string_view::npos) {
        all.push_back(
            {std::string(row.name.substr(0, bar)), std::string(row.name.substr(bar + 1))});
      }
    }
  }
  return all;
}

// (P|S)SUBSCRIBE and their opposites reply once per name.
inline std::size_t RepliesTo(const std::vector<std::string>& request) {
  const bool each = sluice::UpperCased(request[0]).ends_with("SUBSCRIBE");
  return each ? std::max<std::size_t>(1, request.size() - 1) : 1;
}

// Sends the request over a new connection and lets blocked commands reach their time-out. Returns
// the fault of the reply; "" if it is correct.
inline std::string Complaint(TestServer& server, const std::vector<std::string>& request,
                             resp::Version version = resp::Version::k2) {
  constexpr std::int64_t kHourUs = std::int64_t{3600} * 1000 * 1000;
  TestClient client(server);
  try {
    if (version == resp::Version::k3) {
      client.Run({"HELLO", "3"});
    }
    std::string answer = client.Run(request);
    server.GetClock().Advance(kHourUs);
    answer += client.Resume();
    if (answer.empty() && server.Stopped()) {
      return "";  // SHUTDOWN, as in Redis
    }
    const std::size_t replies = DecodeAll(answer).size();
    if (replies != RepliesTo(request)) {
      return std::to_string(replies) + " replies: " + answer;
    }
    const bool listens = client.Get().GetInfo().monitor;  // it receives its own PING, too
    if (!client.Closed() && !listens && DecodeAll(client.Run({"PING"})).size() != 1) {
      return "the connection no longer replies, after: " + answer;
    }
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

}  // namespace sluice::tests
