#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/dialect.h"
#include "tests/bench/net.h"
#include "tests/bench/touched_memory.h"

namespace sluice::bench {

// One blocking connection that puts and gets values of one size under a few keys, one request at a
// time, at the lowest possible client cost: requests are formatted beforehand and sent in one call
// from touched memory; replies are received into one reused buffer.
//
// The head, length and end of every reply are checked. All methods throw std::runtime_error if a
// reply is unexpected, std::system_error if the connection fails. One caller at a time.
class LargeClient {
 public:
  struct Spec {
    Endpoint endpoint;
    Dialect dialect = Dialect::kString;
    std::size_t value_bytes = 0;
    std::size_t keys = 1;
  };

  // Connects and puts every key once, so that all servers begin with the memory that they need.
  explicit LargeClient(const Spec& spec);

  void Put(std::size_t key);
  void Get(std::size_t key);

  // Gets every key and compares all of its bytes with those that were put.
  void CheckContents();

 private:
  void SendAll(std::string_view head, std::string_view payload, std::string_view tail);
  std::string_view Payload(std::size_t key) const;

  Spec spec_;
  Fd socket_;
  TouchedMemory pattern_;  // key k's value begins k * 64 bytes into it, so all values differ
  TouchedMemory received_;
  std::string get_reply_head_;
  std::string head_received_;
  std::vector<std::string> put_heads_;
  std::vector<std::string> get_requests_;
};

}  // namespace sluice::bench
