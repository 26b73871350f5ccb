#include "tests/bench/dialect.h"

#include <vector>

#include <fmt/format.h>

#include "tests/support/resp_encoder.h"

namespace sluice::bench {

std::string PutHead(Dialect dialect, const std::string& key, std::size_t bytes) {
  std::vector<std::string> arguments = {"SET", key};
  if (dialect == Dialect::kTensor) {
    arguments = {"KV.PUT", "p", key, "FIELD", "x", "uint8", std::to_string(bytes), "BLOB"};
  }
  std::string text = tests::Encode(arguments);
  text[1] = static_cast<char>(text[1] + 1);  // one more argument, the value: "*2" becomes "*3"
  return text + fmt::format("${}\r\n", bytes);
}

std::string_view PutReply(Dialect dialect, bool is_new) {
  if (dialect == Dialect::kString) {
    return "+OK\r\n";
  }
  return is_new ? ":1\r\n" : ":0\r\n";
}

std::string GetRequest(Dialect dialect, const std::string& key) {
  if (dialect == Dialect::kString) {
    return tests::Encode({"GET", key});
  }
  return tests::Encode({"KV.MGET", "p", "KEYS", "1", key, "FIELDS", "1", "x"});
}

std::string GetReplyHead(Dialect dialect, std::size_t bytes) {
  std::string text;
  if (dialect == Dialect::kTensor) {
    // One field: name, dtype, shape [1, bytes], shapes nil, then the data.
    text = fmt::format("*1\r\n*5\r\n$1\r\nx\r\n$5\r\nuint8\r\n*2\r\n:1\r\n:{}\r\n$-1\r\n", bytes);
  }
  return text + fmt::format("${}\r\n", bytes);
}

}  // namespace sluice::bench
