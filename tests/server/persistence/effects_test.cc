// Effects: random commands change a server; what was recorded makes another one that gives the same
// answers, revisions included.
#include "server/persistence/effects.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "store/removed_names.h"
#include "tests/support/random_picks.h"
#include "tests/support/test_server.h"

namespace sluice::tests {
namespace {

using Words = std::vector<std::string>;

std::string Packed(const std::vector<std::int64_t>& numbers) {
  return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(std::int64_t)};
}

std::string BytesOf(resp::Reply& commands) {
  std::string bytes;
  std::array<iovec, 16> buffers = {};
  while (const std::size_t filled = commands.Gather(buffers, SIZE_MAX)) {
    std::size_t taken = 0;
    for (std::size_t i = 0; i < filled; ++i) {
      bytes.append(static_cast<const char*>(buffers[i].iov_base), buffers[i].iov_len);
      taken += buffers[i].iov_len;
    }
    commands.Consume(taken);
  }
  return bytes;
}

// PARTITION.INFO without the times that have passed: only one of the clocks goes on.
std::string WithoutTimes(std::string reply) {
  for (const std::string_view name : {"$4\r\nidle\r\n", "$20\r\noldest_unconsumed_ms\r\n"}) {
    for (std::size_t at = 0; (at = reply.find(name, at)) != std::string::npos;) {
      at += name.size();
      reply.erase(at, reply.find("\r\n", at) - at);
    }
  }
  return reply;
}

// A server whose changes are recorded, and one that repeats them.
class Pair : protected RandomPicks {
 public:
  explicit Pair(unsigned seed) : RandomPicks(seed), client_(recorded_), repeater_(repeated_) {
    recorded_.GetStore().SetRecorder(&effects_);
  }
  ~Pair() { recorded_.GetStore().SetRecorder(nullptr); }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;

  std::string Run(const Words& words) { return client_.Run(words); }
  TestServer& Recorded() { return recorded_; }

  void Repeat() {
    repeated_.GetStore().ReplayAt(recorded_.GetStore().NowMs());
    const std::unique_ptr<resp::Reply> commands = effects_.Take();
    const std::string bytes = BytesOf(*commands);
    INFO(bytes);
    const std::string replies = repeater_.Feed(bytes);
    INFO(replies);
    REQUIRE((replies.empty() || replies.front() != '-'));
    REQUIRE(replies.find("\r\n-") == std::string::npos);
  }

  void Compare() {
    Alike({"KV.LIST"});
    CHECK(recorded_.GetStore().LastRevision() == repeated_.GetStore().LastRevision());
    for (int i = 0; i < 3; ++i) {
      const std::string partition = "p" + std::to_string(i);
      Alike({"KV.LIST", partition});
      Alike({"KV.CHANGES", partition, "0"});
      Alike({"KV.FIELDS", partition});
      Alike({"PARTITION.INFO", partition});
      Alike({"KV.MGET", partition, "ROWS", Packed({0}), "FORMAT", "rows"});
      for (int key = 0; key < 6; ++key) {
        Alike({"KV.MGET", partition, "KEYS", "1", "k" + std::to_string(key), "FORMAT", "rows"});
        Alike({"KV.TAGS", partition, "KEYS", "1", "k" + std::to_string(key)});
      }
      for (int row = 0; row < 20; ++row) {
        Alike({"KV.MGET", partition, "KEYS", "1", std::to_string(row), "FORMAT", "rows"});
      }
    }
    for (int i = 0; i < 4; ++i) {
      const std::string name = "s" + std::to_string(i);
      Alike({"GET", name});
      Alike({"PEXPIRETIME", name});
      Alike({"PEXPIRETIME", "p" + std::to_string(i)});
      Alike({"AI.TENSORGET", "t" + std::to_string(i)});
    }
    Alike({"DBSIZE"});
  }

 private:
  void Alike(const Words& words) {
    CAPTURE(words);
    CHECK(WithoutTimes(client_.Run(words)) == WithoutTimes(repeater_.Run(words)));
  }

  TestServer recorded_{std::size_t{1} << 28};
  TestServer repeated_{std::size_t{1} << 28};
  server::Effects effects_;
  TestClient client_;
  TestClient repeater_;
};

class RandomChanges : public Pair {
 public:
  using Pair::Pair;

  void Step() {
    switch (Pick(16)) {
      case 0:
      case 1:
      case 2:
        Run(Put());
        break;
      case 3:
      case 4:
        Run(MPut());
        break;
      case 5:
        Run({"KV.MPUT", Partition(), "NEW", "2", "TAGS", "2", "{\"a\": 1}", "{\n\"b\":null}"});
        break;
      case 6:
      case 7:
        Run(Append());
        break;
      case 8:
        Run(Clear());
        break;
      case 9:
      case 10:
      case 11:
        Run(ChangeString());
        break;
      case 12:
        Run(Expire());
        break;
      case 13:
        Run(Create());
        break;
      case 14:
        Run({"AI.TENSORSET", Name("t", 2), Pick(2) == 0 ? "FLOAT" : "INT32", "1", "VALUES", "7"});
        break;
      default:
        RunRarely();
    }
  }

 private:
  std::string Partition() { return Name("p", 3); }
  std::string Key() { return Name("k", 6); }
  std::string Field() { return Name("f", 3); }
  // Sizes on both sides of what is copied.
  std::size_t Elements() { return std::vector<std::size_t>{0, 1, 3, 700, 5000}[Pick(5)]; }
  std::string Tag() { return Pick(2) == 0 ? R"({"a":1,"b":null})" : R"({"c":[1.0,"x"]})"; }

  void AddValue(Words& words) {
    const std::size_t count = Elements();
    if (Pick(3) == 0) {
      words.insert(words.end(), {"FIELD", "text", "utf8", "BLOB", std::string(count, 'x')});
    } else if (Pick(4) == 0) {
      words.insert(words.end(), {"FIELD", "scalar", "float64", "VALUES", std::to_string(count)});
    } else {
      words.insert(words.end(), {"FIELD", Field(), "int32", "2", std::to_string(count), "BLOB",
                                 Bytes(8 * count)});
    }
  }

  Words Put() {
    Words words = {"KV.PUT", Partition(), Key()};
    if (Pick(2) == 0) {
      words.insert(words.end(), {"TAG", Tag()});
    }
    if (Pick(4) == 0) {
      words.insert(words.end(), {"FIELD", Field(), "SAME", Key()});
    }
    if (Pick(3) != 0) {
      AddValue(words);
    }
    return words;
  }

  Words MPut() {
    const std::size_t count = Elements();
    Words words = {"KV.MPUT", Partition()};
    if (Pick(2) == 0) {
      words.insert(words.end(), {"KEYS", "3", "k0", "k1", "k2"});
    } else {
      words.insert(words.end(), {"ROWS", Packed({2, 0, 1})});
    }
    switch (Pick(4)) {
      case 0:
        words.insert(words.end(), {"COLUMN", Field(), "int32", "2", std::to_string(count), "BLOB",
                                   Bytes(24 * count)});
        break;
      case 1:
        words.insert(words.end(), {"COLUMN", Field(), "int32", "SHAPES", "2",
                                   Packed({0, 2, 1, static_cast<std::int64_t>(count), 2, 3}),
                                   "BLOB", Bytes(4 * count + 24)});
        break;
      case 2:
        words.insert(words.end(), {"COLUMN", Field(), "int32", "2", std::to_string(count), "DICT",
                                   Packed({1, 0, 0}), "BLOB", Bytes(16 * count)});
        break;
      default:
        words.insert(words.end(), {"COLUMN", "text", "utf8", "SHAPES", "1", Packed({3, 0, 2}),
                                   "BLOB", "abcde", "TAGS", "3", "{}", Tag(), "{ }"});
    }
    return words;
  }

  Words Append() {
    Words words = {"KV.APPEND", Partition(), Key()};
    if (Pick(3) == 0) {
      words.emplace_back("MORE");
    }
    const std::size_t count = Elements();
    if (Pick(2) == 0) {
      words.insert(words.end(), {"FIELD", "text", "utf8", "BLOB", std::string(4 * count, 'y')});
    } else {
      words.insert(words.end(), {"FIELD", "grows", "int64", std::to_string(count), "2", "BLOB",
                                 Bytes(16 * count)});
    }
    return words;
  }

  Words Clear() {
    Words words = {"KV.CLEAR", Partition()};
    switch (Pick(8)) {
      case 0:
        return words;
      case 1:
        words.insert(words.end(), {"WHERE", "1", "a", "=", "1"});
        break;
      case 2:
        words.insert(words.end(), {"ROWS", Packed({0, 3})});
        break;
      default:
        words.insert(words.end(), {"KEYS", "2", Key(), "nobody"});
    }
    if (Pick(2) == 0) {
      words.insert(words.end(), {"FIELDS", "1", Field()});
    }
    return words;
  }

  Words ChangeString() {
    const std::string name = Name("s", 4);
    const std::string value = Bytes(Elements() * 8);
    switch (Pick(7)) {
      case 0:
        return {"SET", name, value, "PX", std::to_string(1 + Pick(5000))};
      case 1:
        return {"SET", name, value, "KEEPTTL"};
      case 2:
        return {"MSET", name, value, Name("s", 4), "\r\n"};
      case 3:
        return {"APPEND", name, value};
      case 4:
        return {"SETRANGE", name, "5", value};
      case 5:
        return {"INCR", name};
      default:
        return {"SET", name, "7"};
    }
  }

  Words Expire() {
    const std::string name = Pick(2) == 0 ? Partition() : Name("s", 4);
    switch (Pick(4)) {
      case 0:
        return {"PEXPIRE", name, std::to_string(1 + Pick(3000))};
      case 1:
        return {"PERSIST", name};
      case 2:
        return {"GETDEL", name};
      default:
        return {"DEL", name};
    }
  }

  Words Create() {
    Words words = {"PARTITION.CREATE", Partition()};
    switch (Pick(5)) {
      case 0:
        words.insert(words.end(), {"MAXROWS", std::to_string(1 + Pick(30)), "EXPECT", "40"});
        break;
      case 1:
        words.insert(words.end(), {"FIELD", "f0", "int32", "2", "-1"});
        break;
      case 2:
        words.insert(words.end(), {"TASKS", "2", "train", "critic"});
        break;
      case 3:
        words.insert(words.end(), {"TTL", std::to_string(1000 + Pick(5000))});
        break;
      default:
        words.insert(words.end(), {"MAXBYTES", std::to_string(100000 + Pick(100000))});
    }
    return words;
  }

  void RunRarely() {
    if (Pick(20) == 0) {
      Run({"FLUSHALL"});
    }
    Repeat();
    Recorded().GetClock().Advance(static_cast<std::int64_t>(Pick(400)) * 1000);
    store::RemovedNames removed(Recorded().GetMemory());
    Recorded().RemoveExpired(removed);
  }
};

TEST_CASE("what was recorded makes the same store", "[effects]") {
  const unsigned first = FromEnvironment("SLUICE_SEED", 1);
  const unsigned seeds = FromEnvironment("SLUICE_SEEDS", 20);
  for (unsigned seed = first; seed < first + seeds; ++seed) {
    CAPTURE(seed);
    RandomChanges changes(seed);
    for (int step = 0; step < 400; ++step) {
      changes.Step();
      if (step % 20 == 0) {
        changes.Repeat();
        store::RemovedNames removed(changes.Recorded().GetMemory());
        changes.Recorded().RemoveExpired(removed);
        changes.Repeat();
        changes.Compare();
      }
    }
  }
}

}  // namespace
}  // namespace sluice::tests
