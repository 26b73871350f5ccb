// Replies as the model test of the streaming API compares them.
#pragma once

#include <deque>
#include <string>

#include "tests/stream_model/stream_requests.h"
#include "tests/support/resp_decoder.h"

namespace sluice::tests {

// "nil", "-CODE" of an error, "[a,b]" of an array or map, and the text of all else.
std::string Flat(const Value& reply);
std::string FlatList(const Words& items);

// Of a map; nullptr where it has none of this name.
const Value* Member(const Value& map, const std::string& name);
// The names and values of a map, flat, by name.
std::string FlatByName(const Value& map);
std::string FlatByName(const Words& names_and_values);
// The items of an array, by their text.
std::string FlatSorted(const Value& array);

// JSON with the members of objects by name.
std::string Canonical(const std::string& json);

// The last commands, to be shown when something is not as it should be.
class StreamLog {
 public:
  void Note(const std::string& who, const Words& words, const std::string& answer);
  // Fails the test where the two differ.
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
