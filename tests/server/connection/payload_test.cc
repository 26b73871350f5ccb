// Payloads: not copied on their way in and out of safetensors files, and reported by INFO.
#include <catch2/catch.hpp>

#include "server/reports/memory_report.h"
#include "store/safetensors/safetensors.h"
#include "tests/support/resp_decoder.h"
#include "tests/support/test_server.h"

namespace sluice::server {
namespace {

constexpr std::size_t kRows = 64;
constexpr std::size_t kRowBytes = 32768;

// Two columns of 64 rows of 32 KiB, and a ragged one of the same size.
std::string File() {
  const std::int64_t values = kRows * kRowBytes;
  const std::vector<store::SafetensorsTensor> tensors = {
      {.name = "c.shapes", .dtype = store::DType::kInt64, .shape = {kRows, 1}, .bytes = kRows * 8},
      {.name = "a",
       .dtype = store::DType::kUint8,
       .shape = {kRows, kRowBytes},
       .bytes = kRows * kRowBytes},
      {.name = "b",
       .dtype = store::DType::kInt8,
       .shape = {kRows, kRowBytes},
       .bytes = kRows * kRowBytes},
      {.name = "c.values",
       .dtype = store::DType::kUint8,
       .shape = {values},
       .bytes = kRows * kRowBytes}};
  std::string file = store::SafetensorsHeader(tensors, {});
  for (std::size_t row = 0; row < kRows; ++row) {
    const std::int64_t length = kRowBytes;
    file.append(reinterpret_cast<const char*>(&length), sizeof(length));
  }
  for (std::size_t i = 0; i < 3 * kRows * kRowBytes; ++i) {
    file += static_cast<char>(i * 31 + i / 32768);
  }
  return file;
}

TEST_CASE("neither direction of safetensors copies payload", "[payload]") {
  tests::TestServer server;
  tests::TestClient client(server);
  const std::string file = File();
  CHECK(client.Run({"KV.MPUT", "p", "NEW", std::to_string(kRows), "SAFETENSORS", file})
            .starts_with("*2\r\n:64\r\n"));
  // The columns lie where the file was received: no other memory was taken.
  CHECK(server.GetMemory().GetArena().GetStats().used_bytes == store::Arena::RunBytes(file.size()));

  std::string keys;
  for (std::size_t i = 0; i < kRows; ++i) {
    keys += std::to_string(i) + "\n";
  }
  client.FeedOnly(tests::Encode({"KV.MGET", "p", "KEYS", "LINES", keys, "FORMAT", "safetensors"}));
  const resp::Reply& output = client.Get().Output();
  const std::size_t pending = output.PendingBytes();
  CHECK(pending > 3 * kRows * kRowBytes);
  CHECK(output.ScratchBytes() < 4096);  // header and shapes; the rest is sent in place
  const auto reply = tests::DecodeAll(client.TakeOutput()).at(0);
  const auto columns = store::ReadSafetensors(reply.text, kRows);
  REQUIRE(columns.ok());
  CHECK(columns->size() == 3);
  for (const store::SafetensorsColumn& column : *columns) {
    const std::size_t at = static_cast<std::size_t>(column.field[0] - 'a') * kRows * kRowBytes;
    const std::string_view sent =
        std::string_view(file).substr(file.size() - 3 * kRows * kRowBytes + at, kRows * kRowBytes);
    CHECK(column.bytes == sent);
  }
}

TEST_CASE("INFO reports memory by kind, and the parts add up", "[payload]") {
  tests::TestServer server;
  tests::TestClient client(server);
  const MemoryReport empty = ReportMemory(server.Get());
  CHECK(empty.payload == 0);
  const std::string value(std::size_t{1} << 20, 'v');
  const auto put = [&](const std::string& key) {
    client.Run({"KV.PUT", "p", key, "TAG", R"({"a":1})", "FIELD", "x", "uint8",
                std::to_string(value.size()), "BLOB", value});
  };
  put("a");
  put("b");
  const MemoryReport stored = ReportMemory(server.Get());
  CHECK(stored.stored == std::int64_t{2} << 20);
  CHECK(stored.in_flight == 0);
  CHECK(stored.bookkeeping > empty.bookkeeping + 200);
  CHECK(stored.bookkeeping < 4096);
  CHECK(stored.used == stored.payload + stored.bookkeeping + stored.connections);

  client.FeedOnly(tests::Encode({"KV.MGET", "p", "KEYS", "1", "a"}));  // its reply is not sent yet
  client.FeedOnly(tests::Encode({"KV.CLEAR", "p", "KEYS", "1", "a"}));
  CHECK(ReportMemory(server.Get()).stored == std::int64_t{1} << 20);
  CHECK(ReportMemory(server.Get()).in_flight == std::int64_t{1} << 20);
  client.TakeOutput();
  CHECK(ReportMemory(server.Get()).in_flight == 0);

  const std::string upload = tests::Encode({"SET", "s", value});
  client.FeedOnly(std::string_view(upload).substr(0, upload.size() / 2));
  CHECK(ReportMemory(server.Get()).in_flight == std::int64_t{1} << 20);
  client.FeedOnly(std::string_view(upload).substr(upload.size() / 2));
  CHECK(ReportMemory(server.Get()).in_flight == 0);
  CHECK(ReportMemory(server.Get()).stored == std::int64_t{2} << 20);
  client.Run({"SET", "s", "small"});
  client.Run({"KV.CLEAR", "p"});
  CHECK(ReportMemory(server.Get()).payload == 0);
}

}  // namespace
}  // namespace sluice::server
