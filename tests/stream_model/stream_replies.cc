#include "tests/stream_model/stream_replies.h"

#include <algorithm>
#include <cstdlib>
#include <map>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>

#include "tests/support/show.h"

namespace sluice::tests {
namespace {

namespace json = boost::json;

std::string Canonical(const json::value& value) {
  if (!value.is_object()) {
    return json::serialize(value);
  }
  std::map<std::string, std::string> members;
  for (const auto& [name, member] : value.as_object()) {
    members[std::string(name)] = Canonical(member);
  }
  std::string text = "{";
  for (const auto& [name, member] : members) {
    text.append(text.size() == 1 ? "" : ",").append(name).append(":").append(member);
  }
  return text + "}";
}

// A blob of indexes as numbers, other text unchanged.
std::string Shown(const std::string& text) {
  const bool packed = text.size() % 8 == 0 && text.find('\0') != std::string::npos;
  if (!packed) {
    return Quoted(text);
  }
  std::string shown = "<";
  for (const Index index : Unpacked(text)) {
    shown += (shown.size() == 1 ? "" : " ") + std::to_string(index);
  }
  return shown + ">";
}

constexpr std::size_t kEntries = 40;  // the number kept

}  // namespace

std::string Canonical(const std::string& text) {
  return Canonical(json::parse(text));
}

std::string FlatList(const Words& items) {
  std::string text = "[";
  for (std::size_t i = 0; i < items.size(); ++i) {
    text += (i == 0 ? "" : ",") + items[i];
  }
  return text + "]";
}

std::string Flat(const Value& reply) {
  if (reply.type == '_') {
    return "nil";
  }
  if (reply.type == '-') {
    return "-" + reply.text.substr(0, reply.text.find(' '));
  }
  if (reply.type == '=') {
    return reply.text.substr(4);
  }
  if (std::string("*%~>").find(reply.type) == std::string::npos) {
    return reply.text;
  }
  Words items;
  for (std::size_t i = 0; i < reply.items.size(); ++i) {
    if (reply.items[i].text == "incarnation") {  // tests/e2e/test_incarnations.py compares it
      ++i;
    } else {
      items.push_back(Flat(reply.items[i]));
    }
  }
  return FlatList(items);
}

const Value* Member(const Value& map, const std::string& name) {
  for (std::size_t i = 0; i + 1 < map.items.size(); i += 2) {
    if (map.items[i].text == name) {
      return &map.items[i + 1];
    }
  }
  return nullptr;
}

std::string FlatByName(const Words& names_and_values) {
  std::map<std::string, std::string> members;
  for (std::size_t i = 0; i + 1 < names_and_values.size(); i += 2) {
    members[names_and_values[i]] = names_and_values[i + 1];
  }
  Words items;
  for (const auto& [name, value] : members) {
    items.insert(items.end(), {name, value});
  }
  return FlatList(items);
}

std::string FlatByName(const Value& map) {
  if (map.type == '-' || map.type == '_') {
    return Flat(map);
  }
  Words items;
  for (std::size_t i = 0; i + 1 < map.items.size(); i += 2) {
    if (map.items[i].text != "incarnation") {
      items.insert(items.end(), {Flat(map.items[i]), Flat(map.items[i + 1])});
    }
  }
  return FlatByName(items);
}

std::string FlatSorted(const Value& array) {
  if (array.type == '-') {
    return Flat(array);
  }
  Words items;
  for (const Value& item : array.items) {
    items.push_back(Flat(item));
  }
  std::sort(items.begin(), items.end());
  return FlatList(items);
}

void StreamLog::Note(const std::string& who, const Words& words, const std::string& answer) {
  last_.push_back({who, words, answer});
  if (last_.size() > kEntries) {
    last_.pop_front();
  }
}

void StreamLog::Expect(const std::string& what, const std::string& expected,
                       const std::string& got) const {
  if (expected != got) {
    Fail(what + "\n  expected " + Quoted(expected) + "\n  got      " + Quoted(got));
  }
}

void StreamLog::Fail(const std::string& why) const {
  std::string text;
  for (const Entry& entry : last_) {
    text += entry.who + ":";
    for (const std::string& word : entry.words) {
      text += " " + Shown(word);
    }
    text += "\n      -> " + Quoted(entry.answer) + "\n";
  }
  FAIL(text << why);
  std::abort();  // FAIL throws, which the compiler does not know
}

}  // namespace sluice::tests
