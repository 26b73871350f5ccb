// Bad inputs, by row of docs/hostile-input.md, and functions that play them: in-process, over
// sockets, and, if Redis has the same reply, against redis-server. After each a second connection
// gets its PONG, the other connections are closed, and used memory is back at its start value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/live_server.h"
#include "tests/support/socket_client.h"
#include "tests/support/test_server.h"

namespace sluice::tests {

inline const std::string kPing = "*1\r\n$4\r\nPING\r\n";
inline const std::string kPong = "+PONG\r\n";

enum class Protocol : std::uint8_t { k2, k3 };  // k3: after HELLO 3, whose answer is not `output`
enum class Differs : std::uint8_t {
  kNo,
  kFromRedis
};  // kFromRedis: by intent, or Redis lacks the feature

struct Case {
  int row;
  std::string input;
  std::string output;
  bool closed = false;
  Differs differs = Differs::kNo;
  Protocol protocol = Protocol::k2;
};

// Options as in a configuration.
using Settings = std::vector<std::pair<std::string_view, std::string_view>>;

std::string ProtocolError(const std::string& text);
std::string Repeat(const std::string& text, int count);

// Whole, byte by byte, and split elsewhere; each on a new server.
void PlayInProcess(const std::vector<Case>& cases, const Settings& settings);
// Over TCP and a Unix socket.
void PlayOverSockets(const std::vector<Case>& cases, const Settings& settings);
// The cases that do not differ from Redis. `password` is the server's password.
void PlayAgainstRedis(const std::vector<Case>& cases, const std::string& password = {});

// Checks the state after a test. Construct it while no client is connected; Check() waits until all
// connections but its own are closed and used memory is back.
class Aftermath {
 public:
  // `password` is the server's password, for the second connection.
  explicit Aftermath(LiveServer& server, std::string password = {});
  void Check();

 private:
  LiveServer& server_;
  std::string password_;
  std::int64_t used_bytes_;
  std::size_t descriptors_;
};

}  // namespace sluice::tests
