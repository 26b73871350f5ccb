// The table of bad inputs, by row, and what plays a row: in-process, over sockets, and, where Redis
// has the same answer, against redis-server. After each a second connection gets its PONG, the
// other clients are gone, and memory is back.
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
};  // kFromRedis: by intent, or it has no such thing

struct Case {
  int row;
  std::string input;
  std::string output;
  bool closed = false;
  Differs differs = Differs::kNo;
  Protocol protocol = Protocol::k2;
};

// Options, as of a configuration.
using Settings = std::vector<std::pair<std::string_view, std::string_view>>;

std::string ProtocolError(const std::string& text);
std::string Repeat(const std::string& text, int count);

// Whole, byte by byte, and cut elsewhere; each on a server of its own.
void PlayInProcess(const std::vector<Case>& cases, const Settings& settings);
// Over TCP and a Unix socket.
void PlayOverSockets(const std::vector<Case>& cases, const Settings& settings);
// Those that do not differ. A `password` is what the server wants.
void PlayAgainstRedis(const std::vector<Case>& cases, const std::string& password = {});

// What a test leaves behind. Made while nobody is connected; Check() waits until all clients but
// its own are gone and memory is what it was.
class Aftermath {
 public:
  // A `password`: what the server wants, for the second connection.
  explicit Aftermath(LiveServer& server, std::string password = {});
  void Check();

 private:
  LiveServer& server_;
  std::string password_;
  std::int64_t used_bytes_;
  std::size_t descriptors_;
};

}  // namespace sluice::tests
