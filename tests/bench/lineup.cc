#include "tests/bench/lineup.h"

#include <array>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <sys/socket.h>

#include "tests/support/resp_encoder.h"

namespace sluice::bench {
namespace {

bool AnswersPing(const Endpoint& endpoint) {
  try {
    const Fd socket = Connect(endpoint);
    const std::string ping = tests::Encode({"PING"});
    std::array<char, 64> reply{};
    return ::send(socket.number(), ping.data(), ping.size(), MSG_NOSIGNAL) > 0 &&
           ::recv(socket.number(), reply.data(), reply.size(), 0) > 0 && reply[0] == '+';
  } catch (const std::system_error&) {
    return false;
  }
}

}  // namespace

Contestant Lineup::StartOurs(const std::vector<std::string>& options) {
  if (!HasServer()) {
    return StartBare();
  }
  tests::Child::Spec spec{
      .name = "ours", .command = {programs_.server}, .environment = {}, .log = {}};
  spec.command.insert(spec.command.end(), options.begin(), options.end());
  return Start(std::move(spec), Dialect::kTensor);
}

Contestant Lineup::StartBare() {
  return Start({.name = "bare", .command = {programs_.bare}, .environment = {}, .log = {}},
               Dialect::kString);
}

Contestant Lineup::StartRedis() {
  return Start({.name = "redis",
                .command = {programs_.redis, "--save", "", "--appendonly", "no"},
                .environment = {},
                .log = {}},
               Dialect::kString);
}

Contestant Lineup::StartTunedRedis() {
  // Redis forbids huge pages by default, even if the machine always enables them.
  return Start(
      {.name = "redis tuned",
       .command = {programs_.redis, "--save", "", "--appendonly", "no", "--disable-thp", "no"},
       .environment = {"MALLOC_CONF=dirty_decay_ms:-1,muzzy_decay_ms:-1,"
                       "oversize_threshold:0,thp:always"},
       .log = {}},
      Dialect::kString);
}

Contestant Lineup::Start(tests::Child::Spec spec, Dialect dialect) {
  const int number = started_++;
  Contestant contestant{
      .name = spec.name,
      .dialect = dialect,
      .tcp = {.port = FreePort(), .path = {}},
      .unix_socket = {.port = 0, .path = scratch_.Path(fmt::format("{}.sock", number))},
      .child = nullptr};
  spec.log = scratch_.Path(fmt::format("{}.log", number));
  for (const std::string& argument : {std::string("--port"), std::to_string(contestant.tcp.port),
                                      std::string("--unixsocket"), contestant.unix_socket.path}) {
    spec.command.push_back(argument);
  }
  contestant.child = std::make_unique<tests::Child>(std::move(spec));
  contestant.child->AwaitStart([&] { return AnswersPing(contestant.tcp); });
  contestant.child->AwaitStart([&] { return AnswersPing(contestant.unix_socket); });
  return contestant;
}

}  // namespace sluice::bench
