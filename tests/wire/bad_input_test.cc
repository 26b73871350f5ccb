// Bad requests: each in-process, whole and byte by byte, and over TCP and a Unix socket; after each
// a second connection gets its PONG and used memory is back.
#include "tests/wire/bad_input.h"

#include <fstream>
#include <set>
#include <vector>

#include <catch2/catch.hpp>
#include <unistd.h>

#include "tests/wire/pinger.h"

namespace sluice::tests {
namespace {

using std::string_literals::operator""s;

std::string Unknown(const std::string& name, const std::string& args = "") {
  return "-ERR unknown command '" + name + "', with args beginning with: " + args + "\r\n";
}
std::string AllBytes() {
  std::string bytes = "\0\r\n"s;
  for (int i = 0; i < 256; ++i) {
    bytes += static_cast<char>(i);
  }
  return bytes;
}

std::vector<Case> InlineCases() {
  const std::string too_big = ProtocolError("too big inline request");
  const std::string nul = ProtocolError("NUL byte in inline request");
  return {
      {1, "PING\r\n", kPong},
      {1, "PING\n", kPong},
      {1, "\tPING\t\r\n", kPong},
      {2, "\r\n" + kPing, kPong},
      {2, "    \r\n" + kPing, kPong},
      {2, "\r\n\n\r\n\n\r\n" + kPing, kPong},
      {3, "ECHO \"a\\x41\\n b\"\r\n", "$5\r\naA\n b\r\n"},
      {3, "ECHO 'a\\'b'\r\n", "$3\r\na'b\r\n"},
      {4, "SET \"foo bar\r\n", ProtocolError("unbalanced quotes in request"), true},
      {4, "ECHO \"a\"b\r\n", ProtocolError("unbalanced quotes in request"), true},
      {5, std::string(65536 + 10, 'x'), too_big, true},
      {6, "ECHO " + std::string(65636, 'A') + "\r\n", too_big, true},
      {6, "ECHO " + std::string(65531, 'A') + "\r\n",
       "$65531\r\n" + std::string(65531, 'A') + "\r\n"},
      {7, "PING\0X\r\n"s, nul, true},
      {7, "\0\0PING\r\n"s, nul, true},
      {8, "\xff\xfe\xfd\r\n" + kPing, Unknown("\\xff\\xfe\\xfd") + kPong},
      {8, "\xef\xbb\xbfPING\r\n" + kPing, Unknown("\xef\xbb\xbfPING") + kPong},
      {9, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"s,
       ProtocolError("TLS handshake on a plain port"), true},
      {10, "SSH-2.0-OpenSSH\r\n" + kPing, Unknown("SSH-2.0-OpenSSH") + kPong},
      {10, "stats\r\n" + kPing, Unknown("stats") + kPong},
      {11, "+OK\r\n" + kPing, Unknown("+OK") + kPong},
      {11, "-ERR x\r\n" + kPing, Unknown("-ERR", "'x' ") + kPong},
      {11, ":1\r\n" + kPing, Unknown(":1") + kPong},
      {12, "%1\r\n" + kPing, Unknown("%1") + kPong},
      {12, ">1\r\n" + kPing, Unknown(">1") + kPong},
      {14, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "", true},
      {15, "POST /x HTTP/1.1\r\n", "", true},
      {15, "post /x\r\n", "", true},
      {15, "Host: localhost\r\n", "", true},
      {16, "*2\r\n$4\r\nPOST\r\n$1\r\n/\r\n", "", true},
      {16, "*2\r\n$5\r\nHost:\r\n$1\r\nx\r\n", "", true},
      {17, "POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nFLUSHALL\r\n", "", true},
  };
}

std::vector<Case> LengthCases() {
  const std::string multibulk = ProtocolError("invalid multibulk length");
  const std::string bulk = ProtocolError("invalid bulk length");
  std::vector<Case> cases = {
      {13, "*?\r\n", multibulk, true},
      {13, "*1\r\n$?\r\n", bulk, true},
      {18, "*0\r\n" + kPing, kPong},
      {18, "*-1\r\n" + kPing, kPong},
      {18, "*-10\r\n" + kPing, kPong},
      {21, "*2147483647\r\n", multibulk, true},
      {21, "*20000000\r\n", multibulk, true},
      {22, Repeat("*0\r\nPING\r\n*0\r\n" + kPing, 1000), Repeat(kPong, 2000)},
      {23, "*1\n$4\nPING\n", multibulk, true},
      {24, "*1\r$4\rPING\r", ProtocolError("expected '$', got '4'"), true},
      {25, "*" + std::string(65546, '1'), ProtocolError("too big mbulk count string"), true},
      {26, "*1\r\n$" + std::string(65546, '1'), ProtocolError("too big bulk count string"), true},
      {27, "*1\r\nPING\r\n", ProtocolError("expected '$', got 'P'"), true},
      {27, "*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", ProtocolError("expected '$', got 'f'"), true},
      {27, "*1\r\n:5\r\n", ProtocolError("expected '$', got ':'"), true},
      {27, "*1\r\n+PING\r\n", ProtocolError("expected '$', got '+'"), true},
      {27, "*1\r\n*1\r\n", ProtocolError("expected '$', got '*'"), true},
      {27, "*1\r\n\x01", ProtocolError("expected '$', got '\\x01'"), true},
  };
  for (const char* const length : {"", "abc", "+1", "01", " 1"}) {
    cases.push_back({19, "*" + std::string(length) + "\r\n", multibulk, true});
  }
  for (const char* const length :
       {"2147483648", "9223372036854775807", "9223372036854775808", "18446744073709551617"}) {
    cases.push_back({20, "*" + std::string(length) + "\r\n", multibulk, true});
  }
  for (const char* const length : {"-1", "-10", "blabla", "", "0x4", "2000000000", "536870913",
                                   "9223372036854775807", "18446744073709551615"}) {
    cases.push_back({28, "*2\r\n$3\r\nGET\r\n$" + std::string(length) + "\r\n", bulk, true});
  }
  return cases;
}

std::vector<Case> ContentCases() {
  const std::string crlf = ProtocolError("expected CRLF after bulk");
  const std::string name(180, 'n');
  std::string many = "*31\r\n$180\r\n" + name + "\r\n";
  for (int i = 0; i < 30; ++i) {
    many += "$100\r\n" + std::string(100, 'a') + "\r\n";
  }
  const std::string bytes = AllBytes();
  const std::string size = std::to_string(bytes.size());
  return {
      {29, "*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$536870912\r\n", ""},
      {30, "*2\r\n$4\r\nECHO\r\n$3\r\nabcdef\r\n", crlf, true},
      {31, "*2\r\n$4\r\nECHO\r\n$6\r\nabc\r\n" + kPing, crlf, true},
      {32, "*2\r\n$4\r\nECHO\r\n$3\r\nabcXX", crlf, true},
      {33, "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", "$0\r\n\r\n"},
      {33, "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$0\r\n\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\nFLUSHALL\r\n",
       "+OK\r\n$0\r\n\r\n+OK\r\n"},
      {34, "*2\r\n$4\r\nECHO\r\n$" + size + "\r\n" + bytes + "\r\n",
       "$" + size + "\r\n" + bytes + "\r\n"},
      {37, many,
       Unknown(std::string(128, 'n'),
               "'" + std::string(100, 'a') + "' '" + std::string(25, 'a') + "' ")},
      {38, "*2\r\n$5\r\nFO\r\nO\r\n$3\r\na\nb\r\n", Unknown("FO  O", "'a b' ")},
      {39, "*1\r\n$0\r\n\r\n" + kPing, Unknown("") + kPong},
  };
}

std::vector<Case> Cases() {
  std::vector<Case> cases = InlineCases();
  for (const auto& more : {LengthCases(), ContentCases()}) {
    cases.insert(cases.end(), more.begin(), more.end());
  }
  return cases;
}

TEST_CASE("every framing row of docs/hostile-input.md has a case", "[bad-input]") {
  std::set<int> rows = {35, 36};  // have their own test cases
  for (const Case& bad : Cases()) {
    rows.insert(bad.row);
  }
  CHECK(rows.size() == 39);
  CHECK(*rows.begin() == 1);
  CHECK(*rows.rbegin() == 39);
}

const Settings kSettings = {{"proto-max-bulk-len", "512mb"}};

TEST_CASE("bad inputs get their reply in-process, however they are split", "[bad-input]") {
  PlayInProcess(Cases(), kSettings);
}

TEST_CASE("bad inputs get their reply over sockets", "[bad-input]") {
  PlayOverSockets(Cases(), kSettings);
}

std::int64_t ResidentBytes() {
  std::ifstream stream("/proc/self/statm");
  std::int64_t total = 0;
  std::int64_t resident = 0;
  stream >> total >> resident;
  return resident * sysconf(_SC_PAGE_SIZE);
}

TEST_CASE("headers of large arguments use almost no memory while their clients wait",
          "[bad-input]") {
  LiveServer server("proto-max-bulk-len", "512mb");
  SocketClient other = server.Unix();
  CHECK(other.Ask("PING").text == "PONG");
  const std::int64_t used = server.UsedMemory();
  const std::int64_t resident = ResidentBytes();
  constexpr int kClients = 40;
  constexpr std::int64_t kBytesMax = kClients * (std::int64_t{2} << 20);
  std::vector<SocketClient> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(server.Tcp());
    clients.back().Send(kPing + "*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$536870912\r\n");
    CHECK(clients.back().Receive().text == "PONG");
  }
  CHECK(other.Ask("PING").text == "PONG");
  CHECK(server.UsedMemory() - used < kBytesMax);
  CHECK((kSanitized || ResidentBytes() - resident < kBytesMax));
  clients.clear();
  WaitUntil([&] { return server.Connections() == 1 && server.UsedMemory() == used; });
}

TEST_CASE("a peer that half-closes gets its replies, and an incomplete request does not run",
          "[bad-input]") {
  LiveServer server;
  SocketClient client = server.Tcp();
  client.Send(kPing + "*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$100000\r\nhalf");
  client.HalfClose();
  CHECK(client.ReceiveUntilClosed() == kPong);
  SocketClient second = server.Unix();
  CHECK(second.Ask("DBSIZE").text == "0");
}

TEST_CASE("a large value may arrive byte by byte", "[bad-input]") {
  TestServer server;
  TestClient client(server);
  std::string value(200000, '\0');
  for (std::size_t i = 0; i < value.size(); ++i) {
    value[i] = static_cast<char>(i * 7);
  }
  CHECK(client.Feed(Encode({"SET", "k", value}), 1) == "+OK\r\n");
  CHECK(client.Run({"GET", "k"}) == "$200000\r\n" + value + "\r\n");
}

}  // namespace
}  // namespace sluice::tests
