// Replies as the model test of the streaming API compares them.
#pragma once

#include <deque>
#include <string>

#include "tests/stream_model/stream_requests.h"
#include "tests/support/resp_decoder.h"

namespace sluice::tests {

// Returns "nil", "-CODE" of an error, "[a,b]" of an array or map, or the text of any other reply.
std::string Flat(const Value& reply);
std::string FlatList(const Words& items);

// Looks up a map's value; returns nullptr if the name is missing.
const Value* Member(const Value& map, const std::string& name);
// Returns the names and values of a map, flat, sorted by name.
std::string FlatByName(const Value& map);
std::string FlatByName(const Words& names_and_values);
// Returns the items of an array, by their text.
std::string FlatSorted(const Value& array);

// Returns JSON with the members of objects sorted by name.
std::string Canonical(const std::string& json);

// The last commands, shown if a comparison fails.
class StreamLog {
 public:
  void Note(const std::string& who, const Words& words, const std::string& answer);
  // Fails the test if the two differ.
  void Expect(const std::string& what, const std::string& expected, const std::string& got) const;
  [[noreturn]] void Fail(const std::string& why) const;

 private:
  struct Entry {
    std::string who;
    Words words;
    std::string answer;
  };
  std::deque<Entry> last_;
};

}  // namespace sluice::tests
