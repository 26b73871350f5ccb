// Sends a whole server, without sockets, requests that begin with any name of the command table,
// whole or cut at "|", and have 0 to 3 arguments; each must get one well-formed reply.
//
//   input: requests. Each: 1 byte: RESP3?, 2: the name, 1: number of arguments; then each argument:
//   1 byte: its length, or one of the words used as options; its bytes.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "tests/support/short_requests.h"

namespace {

using Words = std::vector<std::string>;

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}
  [[nodiscard]] bool Empty() const { return left_ == 0; }
  std::size_t Byte() {
    if (left_ == 0) {
      return 0;
    }
    --left_;
    return *data_++;
  }
  std::string Bytes(std::size_t count) {
    std::string bytes;
    while (bytes.size() < count && !Empty()) {
      bytes += static_cast<char>(Byte());
    }
    return bytes;
  }

 private:
  const std::uint8_t* data_;
  std::size_t left_;
};

std::string Argument(Input& input) {
  static const Words kWords = {"0",     "1",         "-1",     "9223372036854775807",
                               "a",     "*",         "KEYS",   "ROWS",
                               "NEW",   "WHERE",     "LINES",  "TAG",
                               "FIELD", "BLOCK",     "RETURN", "SHAPES",
                               "HELP",  "{\"a\":1}", "int64",  "MATCH",
                               "COUNT"};
  const std::size_t kind = input.Byte();
  return kind < 128 ? input.Bytes(kind) : kWords[kind % kWords.size()];
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<Words> kBeginnings = sluice::tests::Beginnings();
  sluice::tests::TestServer server(std::size_t{1} << 26);
  Input input(data, size);
  while (!input.Empty()) {
    const auto version =
        input.Byte() % 2 == 0 ? sluice::resp::Version::k2 : sluice::resp::Version::k3;
    const std::size_t high = input.Byte();
    Words request = kBeginnings[(high * 256 + input.Byte()) % kBeginnings.size()];
    for (std::size_t left = input.Byte() % 4; left > 0; --left) {
      request.push_back(Argument(input));
    }
    // Requests that suppress or postpone the reply.
    if (sluice::server::UpperCase(request[0]) == "CLIENT" && request.size() > 1) {
      const std::string child = sluice::server::UpperCase(request[1]);
      if (child == "REPLY" || child == "PAUSE") {
        continue;
      }
    }
    const std::string complaint = sluice::tests::Complaint(server, request, version);
    if (!complaint.empty()) {
      for (const std::string& word : request) {
        std::fprintf(stderr, "'%s' ", word.c_str());
      }
      std::fprintf(stderr, "\n%s\n", complaint.c_str());
      std::abort();
    }
  }
  return 0;
}
