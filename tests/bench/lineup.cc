#include "tests/bench/lineup.h"

#include <utility>

#include <fmt/format.h>

namespace sluice::bench {

Contestant Lineup::StartOurs(const std::vector<std::string>& options) {
  if (!HasServer()) {
    return StartBare();
  }
  Child::Spec spec{.name = "ours", .command = {programs_.server}, .environment = {}, .log = {}};
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

Contestant Lineup::Start(Child::Spec spec, Dialect dialect) {
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
  contestant.child = std::make_unique<Child>(std::move(spec));
  contestant.child->AwaitPong(contestant.tcp);
  contestant.child->AwaitPong(contestant.unix_socket);
  return contestant;
}

}  // namespace sluice::bench
