#include "tests/stream_model/stream_run.h"

#include <algorithm>

#include <catch2/catch.hpp>

namespace sluice::tests {
namespace {

constexpr std::size_t kClients = 20;
constexpr std::size_t kIdleLeast = 4;      // if fewer clients are not blocked, time passes
constexpr int kStepsBetweenCompares = 20;  // of the whole state

}  // namespace

StreamRun::StreamRun(unsigned seed)
    : StreamPicks(seed, model_), clients_(kClients), probe_(server_) {
  model_.now_us = server_.GetClock().NowUs();
  for (std::size_t client = 0; client < kClients; ++client) {
    Connect(client);
  }
}

void StreamRun::Connect(std::size_t number) {
  clients_[number].connection.reset();  // the old connection closes before the new one opens
  clients_[number].connection = std::make_unique<TestClient>(server_);
  clients_[number].waiting.reset();
  if (number % 2 == 0) {
    clients_[number].connection->Run({"HELLO", "3"});
  }
}

std::vector<std::size_t> StreamRun::Idle() const {
  std::vector<std::size_t> idle;
  for (std::size_t client = 0; client < clients_.size(); ++client) {
    if (!clients_[client].waiting) {
      idle.push_back(client);
    }
  }
  return idle;
}

std::vector<std::size_t> StreamRun::InOrderOfArrival() const {
  std::vector<std::size_t> waiting;
  for (std::size_t client = 0; client < clients_.size(); ++client) {
    if (clients_[client].waiting) {
      waiting.push_back(client);
    }
  }
  std::sort(waiting.begin(), waiting.end(), [this](std::size_t a, std::size_t b) {
    return clients_[a].waiting->arrival < clients_[b].waiting->arrival;
  });
  return waiting;
}

void StreamRun::Step() {
  const std::vector<std::size_t> idle = Idle();
  const std::size_t what = Pick(100);
  if (idle.size() < kIdleLeast || what < 3) {
    LetTimePass();
  } else if (what < 4) {
    Disconnect(Pick(clients_.size()));
  } else {
    const std::size_t client = OneOf(idle);
    what < 9 ? RunTransaction(client) : RunOne(client);
    ServeWaiters();
  }
  if (++steps_ % kStepsBetweenCompares == 0) {
    CompareState();
  }
}

Value StreamRun::Ask(TestClient& client, const std::string& who, const Words& words) {
  const std::string output = client.Run(words);
  if (&client != &probe_) {
    log_.Note(who, words, output);
  }
  const std::vector<Value> values = DecodeAll(output);
  if (values.size() != 1) {
    log_.Fail("expected one reply");
  }
  return values[0];
}

bool StreamRun::IsToWait(const Command& command, bool time_is_up) const {
  if (command.fetch) {
    return !command.fetch->Wrong() &&
           model_.PlanFetch(*command.fetch, time_is_up).kind == Plan::Kind::kWaits;
  }
  return command.write && !time_is_up && model_.Waits(*command.write);
}

void StreamRun::RunOne(std::size_t number) {
  TestClient& client = *clients_[number].connection;
  const Command command = PickCommand(number);
  ++counts_[command.words[0]];
  const bool waits = IsToWait(command, command.fetch && !command.fetch->block_ms);
  const std::string output = client.Run(command.words);
  log_.Note(Who(number), command.words, output);
  if (waits != (output.empty() && client.Get().Blocked())) {
    log_.Fail(waits ? "it is to wait" : "it is not to wait");
  }
  if (waits) {
    Park(number, command);
  } else if (command.fetch) {
    JudgeFetchAndEvict(*command.fetch, {.client = number, .time_is_up = !command.fetch->block_ms},
                       DecodeAll(output).at(0));
  } else {
    command.judge(DecodeAll(output).at(0));
  }
}

void StreamRun::Park(std::size_t number, const Command& command) {
  if (command.fetch) {
    model_.NoteFetch(*command.fetch);
  }
  ++counts_[command.fetch ? "waits: fetch" : "waits: write"];
  const std::int64_t ms = command.fetch ? *command.fetch->block_ms : *command.write->block_ms;
  clients_[number].waiting = {.command = command, .arrival = arrivals_++};
  if (command.fetch && model_.partitions.count(command.fetch->partition) != 0) {
    clients_[number].waiting->admitted = model_.partitions[command.fetch->partition].number;
  }
  if (ms > 0) {
    clients_[number].waiting->deadline_us = model_.now_us + ms * 1000;
  }
}

void StreamRun::Answer(std::size_t number, bool time_is_up) {
  ConnectionInfo& client = clients_[number];
  const Command command = client.waiting->command;
  const Asked asked = {.client = number, .time_is_up = time_is_up, .waited = true};
  const std::string output = client.connection->Resume();
  log_.Note(Who(number) + (time_is_up ? " (time is up)" : " (waited)"), command.words, output);
  if (output.empty()) {
    log_.Fail("expected a reply");
  }
  ++counts_[time_is_up ? "time-out" : command.fetch ? "served: fetch" : "served: write"];
  client.waiting.reset();
  const Value reply = DecodeAll(output).at(0);
  if (!command.fetch) {
    command.judge(reply);
  } else if (time_is_up) {
    JudgeFetchAndEvict(*command.fetch, asked, reply);
  } else {
    EvictLater(command.fetch->partition, JudgeFetch(*command.fetch, asked, reply));
  }
}

void StreamRun::RunTransaction(std::size_t number) {
  TestClient& client = *clients_[number].connection;
  ++counts_["EXEC"];
  std::vector<Command> commands;
  Ask(client, Who(number), {"MULTI"});
  for (std::size_t n = Pick(4) + 1; n > 0; --n) {
    commands.push_back(PickCommand(number));
    log_.Expect("queued", "QUEUED", Flat(Ask(client, Who(number), commands.back().words)));
  }
  const Value reply = Ask(client, Who(number), {"EXEC"});
  if (reply.items.size() != commands.size()) {
    log_.Fail("expected a reply for each command");
  }
  in_transaction_ = true;
  for (std::size_t i = 0; i < commands.size(); ++i) {
    if (commands[i].fetch) {
      JudgeFetchAndEvict(*commands[i].fetch, {.client = number, .time_is_up = true},
                         reply.items[i]);
    } else {
      commands[i].judge(reply.items[i]);
    }
  }
  in_transaction_ = false;
}

void StreamRun::EndLeases() {
  model_.EndLeases();
  if (Chance(50)) {  // as the housekeeper does
    server_.EndLeases();
    return;
  }
  for (const std::string partition : {"p0", "p1", "p2"}) {
    Ask(probe_, "probe", {"TASK.LIST", partition});
  }
}

void StreamRun::LetTimePass() {
  const std::int64_t ms = Between(1, 40);
  server_.GetClock().Advance(ms * 1000);
  model_.now_us = server_.GetClock().NowUs();
  log_.Note("time", {std::to_string(ms) + " ms"}, "");
  EndLeases();
  ServeWaiters();
  for (const std::size_t number : InOrderOfArrival()) {
    if (clients_[number].waiting && TimeIsUp(*clients_[number].waiting)) {
      Answer(number, true);
      ServeWaiters();
    }
  }
}

bool StreamRun::TimeIsUp(const Waiting& waiting) const {
  return waiting.deadline_us && *waiting.deadline_us <= model_.now_us;
}

void StreamRun::Disconnect(std::size_t number) {
  ++counts_[clients_[number].waiting ? "disconnects while blocked" : "disconnects"];
  log_.Note(Who(number), {"disconnects"}, "");
  Connect(number);
  model_.OnConnectionClosed(static_cast<int>(number));
  ServeWaiters();
}

void StreamRun::Finish() {
  Ask(probe_, "probe", {"FLUSHALL"});
  for (const auto& [name, partition] : model_.partitions) {
    ledger_.Dropped(name);
  }
  model_.partitions.clear();
  ServeWaiters();
  clients_.clear();
  Ask(probe_, "probe", {"FLUSHALL"});  // of writes that had waited for space
  CHECK(server_.GetMemory().GetArena().GetStats().used_bytes == 0);
  CHECK(server_.Get().blocked_clients == 0);
}

}  // namespace sluice::tests
