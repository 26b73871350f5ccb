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
// time, at the least cost a client can have: requests are formatted beforehand and sent in one call
// from memory it touched before, replies are received into one reused buffer.
//
// Every reply's head, length and end is checked. All of it throws std::runtime_error when a reply
// is not the expected one, std::system_error when the connection fails. One caller at a time.
class LargeClient {
 public:
  struct Spec {
    Endpoint endpoint;
    Dialect dialect = Dialect::kString;
    std::size_t value_bytes = 0;
    std::size_t keys = 1;
  };

  // Connects and puts every key once, so that all sides begin with the memory they need.
  explicit LargeClient(const Spec& spec);

  void Put(std::size_t key);
  void Get(std::size_t key);

  // Gets every key and compares all of its bytes with what was put.
  void CheckContents();

 private:
  void SendAll(std::string_view head, std::string_view payload, std::string_view tail);
  std::string_view Payload(std::size_t key) const;

  Spec spec_;
  Fd socket_;
  TouchedMemory pattern_;  // key k's value begins k * 64 bytes into it, so no two are alike
  TouchedMemory received_;
  std::string get_reply_head_;
  std::string head_received_;
  std::vector<std::string> put_heads_;
  std::vector<std::string> get_requests_;
};

}  // namespace sluice::bench
