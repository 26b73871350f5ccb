// One seed's run of names_model_test.cc: sends random commands to the server and to the model and
// compares all state after each.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "store/removed_names.h"
#include "tests/support/random_picks.h"
#include "tests/support/resp_decoder.h"
#include "tests/support/test_server.h"

namespace sluice::tests {

inline constexpr std::int64_t kNever = INT64_MAX;

struct Modelled {
  bool partition = false;
  std::string value = {};  // of a string
  std::int64_t expires_ms = kNever;
};

class NamesRun : private RandomPicks {
 public:
  explicit NamesRun(unsigned seed) : RandomPicks(seed), client_(server_) {}

  void Step() {
    switch (Pick(16)) {
      case 0:
      case 1:
      case 2:
        Set();
        break;
      case 3:
        Mset();
        break;
      case 4:
      case 5:
        Append();
        break;
      case 6:
        SetRange();
        break;
      case 7:
        Increase();
        break;
      case 8:
      case 9:
        Expire();
        break;
      case 10:
        Persist();
        break;
      case 11:
        Del();
        break;
      case 12:
        Put();
        break;
      case 13:
        GetAndChange();
        break;
      case 14:
        server_.GetClock().Advance(static_cast<std::int64_t>(Pick(40)) * 1000000);
        break;
      default:
        RemoveExpired();
    }
    Forget();
    Compare();
  }

  void Finish() {
    Ask({"FLUSHALL"});
    CHECK(server_.GetMemory().GetArena().GetStats().used_bytes == 0);
    CHECK(server_.GetMemory().GetBudget().Used() == server_.Get().client_bytes);
    store::RemovedNames removed(server_.GetMemory());
    CHECK(server_.GetStore().RemoveExpired(1, removed));
    CHECK(server_.GetStore().Expiries() == 0);
  }

 private:
  static std::string Key(std::size_t number) { return "k" + std::to_string(number); }
  std::string PickKey() { return Key(Pick(12)); }
  std::int64_t NowMs() { return server_.GetClock().WallUs() / 1000; }

  // The reply: "nil", "OK", "5", "-WRONGTYPE", or a value.
  std::string Ask(const std::vector<std::string>& words) {
    last_.clear();
    for (const std::string& word : words) {
      last_ += word.substr(0, 30) + " ";
    }
    const std::vector<Value> values = DecodeAll(client_.Run(words));
    REQUIRE(values.size() == 1);
    return Text(values.front());
  }
  static std::string Text(const Value& value) {
    if (value.type == '_') {
      return "nil";
    }
    if (value.type == '-') {
      return "-" + value.text.substr(0, value.text.find(' '));
    }
    std::string text = value.text;
    for (const Value& item : value.items) {
      text += Text(item) + ",";
    }
    return text;
  }
  void Check(const std::vector<std::string>& words, const std::string& expected) {
    const std::string answer = Ask(words);
    CAPTURE(last_);
    REQUIRE(answer == expected);
  }

  // As in Redis: in the millisecond of its expiry a name still exists.
  void Forget() {
    std::erase_if(names_, [this](const auto& name) { return name.second.expires_ms < NowMs(); });
  }
  // Null if there is none.
  Modelled* Find(const std::string& key) {
    Forget();
    const auto it = names_.find(key);
    return it == names_.end() ? nullptr : &it->second;
  }

  std::string PickValue() {
    const std::size_t kind = Pick(6);
    if (kind == 0) {
      return Bytes(16384 + Pick(20000));
    }
    return kind < 3 ? std::to_string(Pick(1000)) : Bytes(Pick(60));
  }

  void Set() {
    const std::string key = PickKey();
    const std::string value = PickValue();
    std::vector<std::string> words = {"SET", key, value};
    const Modelled* const old = Find(key);
    Modelled next = {.value = value};
    const std::size_t condition = Pick(4);
    if (condition < 2) {
      words.emplace_back(condition == 0 ? "NX" : "XX");
    }
    const bool get = Pick(4) == 0;
    if (get) {
      words.emplace_back("GET");
    }
    switch (Pick(5)) {
      case 0:
        words.emplace_back("KEEPTTL");
        next.expires_ms = old == nullptr ? kNever : old->expires_ms;
        break;
      case 1:
        words.insert(words.end(), {"EX", "30"});
        next.expires_ms = NowMs() + 30000;
        break;
      case 2:
        words.insert(words.end(), {"PXAT", std::to_string(NowMs() + 45000)});
        next.expires_ms = NowMs() + 45000;
        break;
      default:
        break;
    }
    const bool refused = (condition == 0 && old != nullptr) || (condition == 1 && old == nullptr);
    const bool wrong = old != nullptr && old->partition && (get || !refused);
    std::string expected = refused ? "nil" : "OK";
    if (get) {
      expected = old == nullptr ? "nil" : old->value;
    }
    Check(words, wrong ? "-WRONGTYPE" : expected);
    if (!wrong && !refused) {
      names_[key] = next;
    }
  }

  void Mset() {
    const bool only_new = Pick(3) == 0;
    std::vector<std::string> words = {only_new ? "MSETNX" : "MSET"};
    std::map<std::string, Modelled> next;
    bool wrong = false;
    bool exists = false;
    for (std::size_t i = Pick(4) + 1; i > 0; --i) {
      const std::string key = PickKey();
      const std::string value = PickValue();
      words.insert(words.end(), {key, value});
      next[key] = {.value = value};
      const Modelled* const old = Find(key);
      exists |= old != nullptr;
      wrong |= old != nullptr && old->partition;
    }
    if (only_new) {
      Check(words, exists ? "0" : "1");
    } else {
      Check(words, wrong ? "-WRONGTYPE" : "OK");
    }
    if (only_new ? !exists : !wrong) {
      for (const auto& [key, name] : next) {
        names_[key] = name;
      }
    }
  }

  // The following commands change a string in place, and keep its expiry.
  void Edit(const std::vector<std::string>& words, const std::optional<std::string>& next) {
    const std::string& key = words[1];
    const Modelled* const old = Find(key);
    if (old != nullptr && old->partition) {
      Check(words, "-WRONGTYPE");
    } else if (!next) {
      Check(words, "-ERR");
    } else {
      Check(words, words[0].starts_with("INCR") ? *next : std::to_string(next->size()));
      if (old != nullptr || !next->empty()) {
        names_[key].value = *next;
      }
    }
  }
  std::string ValueOf(const std::string& key) {
    const Modelled* const old = Find(key);
    return old == nullptr ? "" : old->value;
  }

  void Append() {
    const std::string key = PickKey();
    const std::string more = Pick(3) == 0 ? Bytes(Pick(30000) + 1) : Bytes(Pick(30) + 1);
    Edit({"APPEND", key, more}, ValueOf(key) + more);
  }

  void SetRange() {
    const std::string key = PickKey();
    const std::size_t offset = Pick(4) == 0 ? Pick(40000) : Pick(40);
    const std::string bytes = Bytes(Pick(20));
    std::string next = ValueOf(key);
    if (!bytes.empty()) {
      next.resize(std::max(next.size(), offset + bytes.size()));
      next.replace(offset, bytes.size(), bytes);
    }
    Edit({"SETRANGE", key, std::to_string(offset), bytes}, next);
  }

  void Increase() {
    const std::string key = PickKey();
    const std::string old = Find(key) == nullptr ? "0" : ValueOf(key);
    const std::int64_t number = std::atoll(old.c_str());
    Edit({"INCRBY", key, "7"},
         old == std::to_string(number) ? std::optional(std::to_string(number + 7)) : std::nullopt);
  }

  void Expire() {
    const std::string key = PickKey();
    const auto seconds = static_cast<std::int64_t>(Pick(60)) - 5;
    const std::int64_t at = NowMs() + seconds * 1000;
    const bool absolute = Pick(2) == 0;
    std::vector<std::string> words = {absolute ? "PEXPIREAT" : "EXPIRE", key,
                                      std::to_string(absolute ? at : seconds)};
    const std::size_t option = Pick(7);
    if (option < 4) {
      words.emplace_back(std::vector<const char*>{"NX", "XX", "GT", "LT"}[option]);
    }
    Modelled* const old = Find(key);
    const std::int64_t before = old == nullptr ? 0 : old->expires_ms;
    const bool allowed = old != nullptr && !(option == 0 && before != kNever) &&
                         !(option == 1 && before == kNever) && !(option == 2 && at <= before) &&
                         !(option == 3 && at >= before);
    Check(words, allowed ? "1" : "0");
    if (allowed && at <= NowMs()) {
      names_.erase(key);
    } else if (allowed) {
      old->expires_ms = at;
    }
  }

  void Persist() {
    const std::string key = PickKey();
    Modelled* const old = Find(key);
    const bool expires = old != nullptr && old->expires_ms != kNever;
    Check({"PERSIST", key}, expires ? "1" : "0");
    if (expires) {
      old->expires_ms = kNever;
    }
  }

  void Del() {
    std::vector<std::string> words = {Pick(2) == 0 ? "DEL" : "UNLINK"};
    std::size_t removed = 0;
    Forget();
    for (std::size_t i = Pick(3) + 1; i > 0; --i) {
      words.push_back(PickKey());
      removed += names_.erase(words.back());
    }
    Check(words, std::to_string(removed));
  }

  // Only names that are free, or partitions: the other model covers their rows.
  void Put() {
    const std::string key = PickKey();
    const Modelled* const old = Find(key);
    if (old != nullptr && !old->partition) {
      Check({"KV.PUT", key, "row", "TAG", "{}"}, "-WRONGTYPE");
      return;
    }
    Check({"KV.PUT", key, "row", "TAG", "{}"}, old == nullptr ? "1" : "0");
    names_.try_emplace(key, Modelled{.partition = true});
  }

  void GetAndChange() {
    const std::string key = PickKey();
    const Modelled* const old = Find(key);
    const std::string expected =
        old == nullptr ? "nil" : (old->partition ? "-WRONGTYPE" : old->value);
    const bool works = old != nullptr && !old->partition;
    switch (Pick(3)) {
      case 0:
        Check({"GETDEL", key}, expected);
        if (works) {
          names_.erase(key);
        }
        break;
      case 1:
        Check({"GETEX", key, "EX", "20"}, expected);
        if (works) {
          names_[key].expires_ms = NowMs() + 20000;
        }
        break;
      default:
        Check({"GETSET", key, "new"}, expected);
        if (old == nullptr || works) {
          names_[key] = {.value = "new"};
        }
    }
  }

  void RemoveExpired() {
    store::RemovedNames removed(server_.GetMemory());
    static_cast<void>(server_.GetStore().RemoveExpired(Pick(4), removed));
  }

  std::set<std::string> Scan() {
    std::set<std::string> found;
    std::string cursor = "0";
    do {
      const Value reply = DecodeAll(client_.Run({"SCAN", cursor, "COUNT", "3"}))[0];
      cursor = reply.items[0].text;
      for (const Value& name : reply.items[1].items) {
        CHECK(found.insert(name.text).second);
      }
    } while (cursor != "0");
    return found;
  }

  void Compare() {
    CAPTURE(last_);
    std::set<std::string> expected;
    std::size_t expiries = 0;
    for (const auto& [key, name] : names_) {
      expected.insert(key);
      expiries += name.expires_ms == kNever ? 0 : 1;
    }
    REQUIRE(Scan() == expected);
    for (std::size_t i = 0; i < 12; ++i) {
      const std::string key = Key(i);
      const Modelled* const name = Find(key);
      const bool string = name != nullptr && !name->partition;
      Check({"TYPE", key}, name == nullptr ? "none" : (string ? "string" : "partition"));
      Check({"MGET", key}, (string ? name->value : "nil") + ",");
      const bool expires = name != nullptr && name->expires_ms != kNever;
      Check({"PTTL", key},
            expires ? std::to_string(name->expires_ms - NowMs()) : (name == nullptr ? "-2" : "-1"));
    }
    // All expired names have been found by now.
    REQUIRE(Ask({"DBSIZE"}) == std::to_string(names_.size()));
    REQUIRE(server_.GetStore().Expiries() == expiries);
  }

  TestServer server_;
  TestClient client_;
  std::map<std::string, Modelled> names_;
  std::string last_;  // the last request
};

}  // namespace sluice::tests
