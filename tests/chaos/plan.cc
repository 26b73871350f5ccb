#include "tests/chaos/plan.h"

#include <cstring>
#include <initializer_list>
#include <span>

namespace sluice::tests::chaos {
namespace {

using Words = std::vector<std::string>;

void Add(Words& words, std::initializer_list<std::string> more) {
  words.insert(words.end(), more);
}

std::string Packed(std::initializer_list<std::int64_t> numbers) {
  std::string bytes(numbers.size() * sizeof(std::int64_t), '\0');
  std::memcpy(bytes.data(), numbers.begin(), bytes.size());
  return bytes;
}

std::string Number(std::size_t number) {
  return std::to_string(number);
}

}  // namespace

// One function for each kind of command.
struct Choices {
  static std::string Payload(Plan& plan) {
    const std::size_t size = plan.Chance(3)    ? 1500000 + plan.Pick(1000000)
                             : plan.Chance(15) ? 16000 + plan.Pick(60000)
                                               : plan.Pick(400);
    return std::string(size, static_cast<char>('a' + plan.Pick(26)));
  }
  static std::string Key(Plan& plan) { return plan.Name("k", 40); }
  static std::string Tag(Plan& plan) {
    return "{\"g\":" + Number(plan.Pick(5)) + ",\"w\":" + Number(1 + plan.Pick(9)) + "}";
  }
  // Usually with BLOCK.
  static Request Write(Plan& plan, Words words) {
    Request request = {.words = std::move(words), .write = true};
    if (plan.Chance(85)) {
      request.block_ms = plan.BlockMs();
      Add(request.words, {"BLOCK", std::to_string(*request.block_ms)});
    }
    return request;
  }

  static Request Put(Plan& plan) {
    Request request = Write(plan, {"KV.PUT", plan.Wild(), Key(plan)});
    if (plan.Chance(70)) {
      Add(request.words, {"TAG", Tag(plan)});
    }
    Add(request.words, {"FIELD", plan.Chance(70) ? "x" : "z", "bytes", "BLOB", Payload(plan)});
    if (plan.Chance(50)) {
      Add(request.words, {"FIELD", "y", "int64", "VALUES", Number(plan.Pick(100))});
    }
    return request;
  }
  static Request PutTag(Plan& plan) {
    Request request = Write(plan, {"KV.PUT", plan.Wild(), Key(plan)});
    Add(request.words, {"TAG", Tag(plan)});
    return request;
  }
  static Request Append(Plan& plan) {
    Request request = Write(plan, {"KV.APPEND", plan.Wild(), Key(plan)});
    if (plan.Chance(20)) {
      Add(request.words, {"MORE"});
    }
    Add(request.words, {"FIELD", "x", "bytes", "BLOB", Payload(plan)});
    return request;
  }
  static Request PutNew(Plan& plan) {
    const std::size_t rows = 1 + plan.Pick(plan.Chance(20) ? 40 : 3);
    Request request = Write(plan, {"KV.MPUT", plan.Wild(), "NEW", Number(rows)});
    if (plan.Chance(80)) {
      Add(request.words, {"TAGS", Number(rows)});
      for (std::size_t i = 0; i < rows; ++i) {
        request.words.push_back(Tag(plan));
      }
    }
    const std::size_t dim = 1 + plan.Pick(300);
    Add(request.words, {"COLUMN", "n", "uint8", Number(dim), "BLOB", std::string(rows * dim, 'n')});
    return request;
  }
  static Request PutMany(Plan& plan) {
    const std::size_t first = plan.Pick(40);
    Request request = Write(
        plan, {"KV.MPUT", plan.Wild(), "KEYS", "2", "k" + Number(first), "k" + Number(40 + first)});
    Add(request.words, {"COLUMN", "y", "int64", "BLOB", Packed({1, 2})});
    return request;
  }

  static void Sampler(Plan& plan, Words& words) {
    const std::string rank = Number(plan.Pick(2));
    const std::string step = Number(plan.Pick(50));
    switch (plan.Pick(9)) {
      case 0:
        return Add(words, {"SAMPLER", "lifo"});
      case 1:
        return Add(words, {"SAMPLER", "random", "SEED", step});
      case 2:
        return Add(words, {"SAMPLER", "priority", "WEIGHT", "w"});
      case 3:
        return Add(words, {"SAMPLER", "group", "SIZE", "2"});
      case 4:
        return Add(words, {"SAMPLER", "group", "SIZE", "2", "BY", "g"});
      case 5:
        return Add(words, {"SAMPLER", "ranked", "RANK", rank, "STEP", step});
      case 6:
        return Add(words, {"SAMPLER", "balanced", "RANKS", "2", "WEIGHT", "w", "RANK", rank, "STEP",
                           step});
      case 7:
        return Add(words, {"SAMPLER", "budget", "TOKENS", "20", "WEIGHT", "w"});
      default:
        if (plan.Chance(30)) {
          Add(words, {"RANK", rank, "STEP", step});
        }
    }
  }
  static Request Fetch(Plan& plan) {
    Request request = {.words = {}, .partition = plan.Wild(), .task = plan.Task()};
    Words& words = request.words;
    const std::size_t count = 2 * (1 + plan.Pick(4));
    words = {"TASK.FETCH", request.partition,           request.task, "FIELDS",
             "1",          plan.Chance(50) ? "x" : "n", "COUNT",      Number(count)};
    if (plan.Chance(30)) {
      Add(words, {"MIN", "2"});
    }
    Sampler(plan, words);
    if (plan.Chance(20)) {
      Add(words, {"WHERE", "1", "g", "<", "3"});
    }
    if (plan.Chance(80)) {
      request.block_ms = plan.BlockMs();
      Add(words, {"BLOCK", std::to_string(*request.block_ms)});
    }
    if (plan.Chance(50)) {
      Add(words, {"LEASE", Number(1 + plan.Pick(300))});
      if (plan.Chance(50)) {
        Add(words, {"BOUND"});
      }
    }
    if (plan.Chance(30)) {
      Add(words, {"FORMAT", plan.Chance(50) ? "columns" : "rows"});
    }
    return request;
  }
  static Request Wait(Plan& plan) {
    const std::int64_t ms = plan.BlockMs();
    Words words = {"KV.WAIT", plan.Wild()};
    if (plan.Chance(70)) {
      Add(words, {"KEYS", "2", Key(plan), Key(plan)});
    } else {
      Add(words, {"ROWS", Packed({static_cast<std::int64_t>(plan.Pick(1000))})});
    }
    Add(words, {"FIELDS", "1", plan.Chance(50) ? "x" : "y", "TIMEOUT", std::to_string(ms)});
    return {.words = std::move(words), .block_ms = ms};
  }

  static Request Clear(Plan& plan) {
    Words words = {"KV.CLEAR", plan.Wild()};
    if (plan.Chance(50)) {
      Add(words, {"WHERE", "1", "g", "<", Number(plan.Pick(6))});
    } else if (plan.Chance(50)) {
      Add(words, {"KEYS", "2", Key(plan), Key(plan)});
    } else if (plan.Chance(85)) {
      Add(words, {"KEYS", "1", Key(plan), "FIELDS", "1", "x"});
    }
    return {.words = std::move(words)};
  }
  static Request OfTask(Plan& plan) {
    const std::string wild = plan.Wild();
    const std::string task = plan.Task();
    switch (plan.Pick(6)) {
      case 0:
        return {.words = {"TASK.RELEASE", wild, task, "WHERE", "1", "g", "=", "1"}};
      case 1:
        return {.words = {"TASK.ACK", wild, task, "WHERE", "1", "g", ">", "1"}};
      case 2:
        return {.words = {"TASK.RESET", wild, task}};
      case 3:
        return {.words = {"TASK.STATUS", wild, task, "BITMAP"}};
      case 4:
        return {.words = {"TASK.READY", wild, task, "FIELDS", "1", "x"}};
      default:
        return {.words = {"TASK.EXPLAIN", wild, task, "FIELDS", "1", "x", "COUNT", "3"}};
    }
  }
  static Request OfLease(Plan& plan) {
    const Plan::Lease lease = plan.PickLease();
    switch (plan.Pick(3)) {
      case 0:
        return {.words = {"TASK.RENEW", lease.partition, lease.task, "LEASE", lease.id, "200"}};
      case 1:
        return {.words = {"TASK.ACK", lease.partition, lease.task, "WHERE", "1", "g", "<", "9",
                          "LEASE", lease.id}};
      default:
        return {.words = {"TASK.RELEASE", lease.partition, lease.task, "WHERE", "1", "g", "<", "9",
                          "LEASE", lease.id}};
    }
  }
  static Request Look(Plan& plan) {
    const std::string wild = plan.Wild();
    switch (plan.Pick(6)) {
      case 0:
        return {.words = {"KV.MGET", wild, "WHERE", "1", "g", "<", "5", "FORMAT", "rows"}};
      case 1:
        return {.words = {"KV.LIST", wild}};
      case 2:
        return {.words = {"KV.CHANGES", wild, "0"}};
      case 3:
        return {.words = {"KV.FIELDS", wild}};
      case 4:
        return {.words = {"PARTITION.INFO", wild}};
      default:
        return {.words = {"INFO"}};
    }
  }
  static Request Text(Plan& plan) {
    const std::string name = plan.Name("s", 20);
    switch (plan.Pick(5)) {
      case 0:
        return {.words = {"SET", name, std::string(plan.Pick(5000), 's')}};
      case 1:
        return {.words = {"GET", name}};
      case 2:
        return {.words = {"APPEND", name, std::string(plan.Pick(3000), 'a')}};
      case 3:
        return {.words = {"PEXPIRE", plan.Chance(90) ? name : plan.Wild(), Number(plan.Pick(300))}};
      default:
        return {.words = {"DEL", plan.Chance(95) ? name : plan.Wild()}};
    }
  }
  static Request Ping(Plan& /*plan*/) { return {.words = {"PING"}}; }
  static Request Terms(Plan& plan) {
    Words words = {"PARTITION.CREATE", plan.Wild()};
    const bool lift = plan.Chance(20);
    if (plan.Chance(60)) {
      Add(words, {"MAXROWS", Number(lift ? 0 : 1 + plan.Pick(60))});
    }
    if (plan.Chance(40)) {
      Add(words, {"MAXBYTES", Number(lift ? 0 : 1000 + plan.Pick(300000))});
    }
    if (plan.Chance(15)) {
      Add(words, {"EXPECT", Number(lift ? 0 : plan.Pick(200))});
    }
    if (plan.Chance(10)) {
      Add(words, {"TASKS", "1", "t0"});
    }
    if (plan.Chance(5)) {
      Add(words, {"AUTOEVICT"});
    }
    if (plan.Chance(10)) {
      Add(words, {"TTL", Number(lift ? 0 : 1 + plan.Pick(500))});
    }
    return {.words = std::move(words)};
  }

  static Request MaxMemory(Plan& plan) {
    constexpr const char* kLimits[] = {"1mb", "1mb", "8mb", "64mb", "4gb", "4gb", "4gb"};
    return {.words = {"CONFIG", "SET", "maxmemory", kLimits[plan.Pick(std::size(kLimits))]}};
  }
  static Request KeptTerms(Plan& plan) {
    Words words = {"PARTITION.CREATE", kKept};
    Add(words, {"MAXROWS", Number(plan.Chance(30) ? 0 : 100 + plan.Pick(200)), "MAXBYTES",
                Number(plan.Chance(60) ? 0 : 100000 + plan.Pick(3000000))});
    return {.words = std::move(words)};
  }
  static Request ClearRows(Plan& plan) {
    return {.words = {"KV.CLEAR", plan.Wild(), "WHERE", "1", "g", "<", "9"}};
  }
  static Request Pause(Plan& plan) {
    return {
        .words = {"CLIENT", "PAUSE", Number(plan.Pick(150)), plan.Chance(50) ? "ALL" : "WRITE"}};
  }
  static Request Unpause(Plan& /*plan*/) { return {.words = {"CLIENT", "UNPAUSE"}}; }
  static Request Unblock(Plan& plan) {
    return {.words = {"CLIENT", "UNBLOCK", plan.Victim(), plan.Chance(50) ? "TIMEOUT" : "ERROR"}};
  }
  static Request Kill(Plan& plan) { return {.words = {"CLIENT", "KILL", "ID", plan.Victim()}}; }
  static Request List(Plan& /*plan*/) { return {.words = {"CLIENT", "LIST"}}; }
  static Request FlushAll(Plan& /*plan*/) { return {.words = {"FLUSHALL"}, .flush = true}; }
};

namespace {

struct Choice {
  unsigned weight;
  Request (*make)(Plan&);
};

constexpr Choice kAny[] = {{120, Choices::Put},    {60, Choices::PutTag},  {40, Choices::Append},
                           {60, Choices::PutNew},  {30, Choices::PutMany}, {120, Choices::Fetch},
                           {40, Choices::Wait},    {30, Choices::Clear},   {20, Choices::OfTask},
                           {20, Choices::OfLease}, {30, Choices::Look},    {60, Choices::Text},
                           {30, Choices::Ping},    {8, Choices::Terms}};

constexpr Choice kOperator[] = {
    {150, Choices::MaxMemory}, {150, Choices::KeptTerms}, {200, Choices::ClearRows},
    {40, Choices::Pause},      {60, Choices::Unpause},    {300, Choices::Unblock},
    {20, Choices::Kill},       {10, Choices::List},       {50, Choices::Ping},
    {150, Choices::Terms},     {2, Choices::FlushAll}};

Request Choose(Plan& plan, std::span<const Choice> choices) {
  unsigned sum = 0;
  for (const Choice& choice : choices) {
    sum += choice.weight;
  }
  std::size_t number = plan.Pick(sum);
  for (const Choice& choice : choices) {
    if (number < choice.weight) {
      return choice.make(plan);
    }
    number -= choice.weight;
  }
  return {};  // not reached
}

}  // namespace

Request Plan::Any() {
  return Choose(*this, kAny);
}

Request Plan::Operator() {
  return Choose(*this, kOperator);
}

std::int64_t Plan::BlockMs() {
  const std::size_t kind = Pick(100);
  return static_cast<std::int64_t>(kind < 4    ? 0
                                   : kind < 12 ? 60000
                                   : kind < 60 ? 1 + Pick(100)
                                               : 100 + Pick(2000));
}

void Plan::Remember(std::string partition, std::string task, std::string lease) {
  constexpr std::size_t kLeasesMax = 20;
  if (leases_.size() < kLeasesMax) {
    leases_.emplace_back();
  }
  leases_[Pick(leases_.size())] = {std::move(partition), std::move(task), std::move(lease)};
}

Plan::Lease Plan::PickLease() {
  return leases_.empty() ? Lease{Wild(), Task(), "1"} : leases_[Pick(leases_.size())];
}

std::string Plan::Victim() {
  return std::to_string(scene_.victims[Pick(scene_.victims.size())]);
}

}  // namespace sluice::tests::chaos
