#include "resp/reply.h"

#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <string>

#include <catch2/catch.hpp>

#include "tests/support/resp_decoder.h"

namespace sluice::tests {
namespace {

using resp::Pin;
using resp::Reply;
using resp::Version;

// Counts its releases in an int.
Pin Counting(int& count) {
  return {&count, [](void* object) noexcept { ++*static_cast<int*>(object); }};
}

std::string Take(Reply& reply, std::size_t bytes_max = std::string::npos) {
  std::string bytes;
  std::array<iovec, 5> buffers;
  while (bytes.size() < bytes_max && reply.PendingBytes() > 0) {
    const std::size_t count = reply.Gather(buffers, bytes_max - bytes.size());
    std::size_t gathered = 0;
    for (std::size_t i = 0; i < count; ++i) {
      bytes.append(static_cast<const char*>(buffers[i].iov_base), buffers[i].iov_len);
      gathered += buffers[i].iov_len;
    }
    REQUIRE(gathered > 0);
    reply.Consume(gathered);
  }
  return bytes;
}

// Returns the bytes that `write` appends.
template <typename Write>
std::string Written(Version version, Write write) {
  Reply reply;
  reply.SetVersion(version);
  write(reply);
  return Take(reply);
}

TEST_CASE("each element has its bytes in both protocol versions", "[reply]") {
  struct Row {
    std::function<void(Reply&)> write;
    std::string resp2;
    std::string resp3;
  };
  const auto number = [](double value, const std::string& text) {
    return Row{[value](Reply& r) { r.Double(value); },
               "$" + std::to_string(text.size()) + "\r\n" + text + "\r\n", "," + text + "\r\n"};
  };
  const std::vector<Row> rows = {
      {[](Reply& r) { r.Simple("OK"); }, "+OK\r\n", "+OK\r\n"},
      {[](Reply& r) { r.Simple("a\r\nb"); }, "+a  b\r\n", "+a  b\r\n"},
      {[](Reply& r) { r.Error("ERR a\r\n+b"); }, "-ERR a  +b\r\n", "-ERR a  +b\r\n"},
      {[](Reply& r) { r.Integer(-7); }, ":-7\r\n", ":-7\r\n"},
      {[](Reply& r) { r.Integer(std::numeric_limits<std::int64_t>::min()); },
       ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"},
      {[](Reply& r) { r.Bulk(""); }, "$0\r\n\r\n", "$0\r\n\r\n"},
      {[](Reply& r) { r.Bulk("a\r\nb"); }, "$4\r\na\r\nb\r\n", "$4\r\na\r\nb\r\n"},
      {[](Reply& r) { r.Null(); }, "$-1\r\n", "_\r\n"},
      {[](Reply& r) { r.NullArray(); }, "*-1\r\n", "_\r\n"},
      {[](Reply& r) { r.Verbatim("a b"); }, "$3\r\na b\r\n", "=7\r\ntxt:a b\r\n"},
      {[](Reply& r) { r.Array(3); }, "*3\r\n", "*3\r\n"},
      {[](Reply& r) { r.Map(3); }, "*6\r\n", "%3\r\n"},
      {[](Reply& r) { r.Set(3); }, "*3\r\n", "~3\r\n"},
      {[](Reply& r) { r.Push(3); }, "*3\r\n", ">3\r\n"},
      number(1.5, "1.5"),
      number(3, "3"),
      number(-0.0, "-0"),
      number(0.1, "0.1"),
      number(1e300, "1e+300"),
      number(-std::numeric_limits<double>::denorm_min(), "-5e-324"),
      number(-std::numeric_limits<double>::max(), "-1.7976931348623157e+308"),
      number(std::numeric_limits<double>::infinity(), "inf"),
      number(-std::numeric_limits<double>::infinity(), "-inf"),
      number(std::nan(""), "nan"),
      number(-std::nan(""), "nan"),
  };
  for (const Row& row : rows) {
    CHECK(Written(Version::k2, row.write) == row.resp2);
    CHECK(Written(Version::k3, row.write) == row.resp3);
  }
}

TEST_CASE("a nested reply is decoded to the same value", "[reply]") {
  const Version version = GENERATE(Version::k2, Version::k3);
  const std::string payload(50'000, 'p');
  const std::string bytes = Written(version, [&](Reply& r) {
    CHECK(r.GetVersion() == version);
    r.Map(2);
    r.Bulk("name");
    r.Array(4);
    r.Integer(1);
    r.Null();
    r.Verbatim("text");
    r.Bulk(std::string(40'000, 'b'));
    r.Bulk("data");
    r.BeginPayload(payload.size() + 3);
    r.Copy("abc");
    r.Reference(payload);
    r.EndPayload();
    r.Push(1);
    r.Set(1);
    r.Integer(1);
  });
  const std::vector<Value> values = DecodeAll(bytes);
  REQUIRE(values.size() == 2);
  const bool resp3 = version == Version::k3;
  CHECK(values[0].type == (resp3 ? '%' : '*'));
  REQUIRE(values[0].items.size() == 4);
  const Value& list = values[0].items[1];
  CHECK(list.items[1] == Value{'_', resp3 ? "" : "$-1", {}});
  CHECK(list.items[2] == (resp3 ? Value{'=', "txt:text", {}} : Value{'$', "text", {}}));
  CHECK(list.items[3].text == std::string(40'000, 'b'));
  CHECK(values[0].items[3] == Value{'$', "abc" + payload, {}});
  CHECK(values[1] == (resp3 ? Value{'>', "", {{'~', "", {{':', "1", {}}}}}}
                            : Value{'*', "", {{'*', "", {{':', "1", {}}}}}}));
}

TEST_CASE("adjacent slices are sent as one buffer, others are not", "[reply]") {
  const std::string memory(60'000, 'm');
  const std::string_view view = memory;
  Reply reply;
  reply.BeginPayload(50'000);
  reply.Reference(view.substr(0, 20'000));
  reply.Reference(view.substr(20'000, 20'000));
  reply.Reference(view.substr(50'000));
  reply.EndPayload();
  std::array<iovec, 8> buffers;
  REQUIRE(reply.Gather(buffers, 1 << 20) == 4);
  CHECK(buffers[1].iov_base == memory.data());
  CHECK(buffers[1].iov_len == 40'000);
  CHECK(buffers[2].iov_base == memory.data() + 50'000);
  CHECK(reply.PendingBytes() == 50'000 + 8 + 2);
  CHECK(reply.ScratchBytes() == 8 + 2);
  // both bytes_max and the number of buffers limit it
  REQUIRE(reply.Gather(buffers, 9) == 2);
  CHECK(buffers[1].iov_len == 1);
  CHECK(reply.Gather(std::span(buffers).first(3), 1 << 20) == 3);
  CHECK(reply.Gather(buffers, 0) == 0);
}

TEST_CASE("a pin is released once, after everything before it is sent", "[reply]") {
  const std::string memory(100, 'm');
  int first = 0;
  int second = 0;
  int at_once = 0;
  int dropped = 0;
  {
    Reply reply;
    reply.Hold(Counting(at_once));  // no output waits
    CHECK(at_once == 1);
    reply.BeginPayload(100);  // "$100\r\n": 6 bytes
    reply.Reference(memory);
    reply.Hold(Counting(first));
    reply.EndPayload();
    reply.Integer(1);
    reply.Hold(Counting(second));
    reply.Consume(105);
    CHECK(first == 0);
    reply.Consume(1);
    CHECK(first == 1);
    reply.Consume(5);
    CHECK(second == 0);
    reply.Consume(1);
    CHECK(second == 1);
    reply.Integer(2);
    reply.Hold(Counting(dropped));
    CHECK(dropped == 0);
  }
  CHECK(at_once == 1);
  CHECK(first == 1);
  CHECK(second == 1);
  CHECK(dropped == 1);
}

TEST_CASE("Rewind takes back bytes and pins, and earlier output is sent", "[reply]") {
  const std::string memory(200, 'm');
  const std::string big(70'000, 'b');
  int kept = 0;
  int taken_back = 0;
  Reply reply;
  reply.BeginPayload(100);
  reply.Reference(std::string_view(memory).substr(0, 100));
  reply.Hold(Counting(kept));
  const Reply::Mark in_slice = reply.Prepare();
  reply.Rewind(in_slice);  // no effect
  reply.EndPayload();
  const Reply::Mark mark = reply.Prepare();
  const int rounds = GENERATE(1, 3);
  for (int i = 0; i < rounds; ++i) {
    reply.Bulk(big);  // over several blocks
    reply.BeginPayload(500);
    reply.Reference(memory);
    reply.Hold(Counting(taken_back));
    reply.Copy("half");
    reply.Rewind(mark);
    CHECK(taken_back == i + 1);
  }
  CHECK(kept == 0);
  reply.Error("ERR no");
  CHECK(reply.CapacityBytes() == 2 * 16 * 1024);  // the one in use, and a spare
  CHECK(reply.ScratchBytes() == 6 + 2 + 9);
  CHECK(Take(reply) == "$100\r\n" + std::string(100, 'm') + "\r\n-ERR no\r\n");
  CHECK(kept == 1);
  CHECK(taken_back == rounds);
}

TEST_CASE("Rewind cuts a slice that was merged with one before the mark", "[reply]") {
  const std::string memory(200, 'm');
  Reply reply;
  reply.BeginPayload(100);
  reply.Reference(std::string_view(memory).substr(0, 100));
  const Reply::Mark mark = reply.Prepare();
  reply.Rewind(mark);
  reply.BeginPayload(100);
  reply.Rewind(mark);
  reply.EndPayload();
  CHECK(Take(reply) == "$100\r\n" + std::string(100, 'm') + "\r\n");
}

TEST_CASE("a long error is truncated between characters and stays one line", "[reply]") {
  Reply reply;
  std::string text = "ERR " + std::string(1019, 'x');
  reply.Error(text + "\xc3\xa4 and more");  // the 1024th byte is the first half of an a-umlaut
  CHECK(Take(reply) == "-" + text + "\r\n");
  reply.Error(std::string(5000, '\x80'));  // no valid characters
  CHECK(Take(reply).size() > 1000);
  reply.Simple(std::string(40'000, '\n'));
  CHECK(Take(reply) == "+" + std::string(40'000, ' ') + "\r\n");
}

TEST_CASE("scratch memory is bounded by the waiting output, and one block is kept", "[reply]") {
  Reply reply;
  CHECK(reply.CapacityBytes() == 0);
  const std::string text(10'000, 't');
  for (int i = 0; i < 100; ++i) {
    reply.Bulk(text);
  }
  CHECK(reply.CapacityBytes() < 1'100'000);
  Take(reply, 500'000);
  CHECK(reply.CapacityBytes() < 600'000);
  Take(reply);
  CHECK(reply.CapacityBytes() == 16 * 1024);
}

// Random operations compared with a string that grows and shrinks.
struct Model {
  Reply reply;
  std::string bytes;
  const std::string memory = std::string(40'000, 'r');
  std::mt19937 random{99};
  int held = 0;
  int released = 0;

  void Append() {
    switch (random() % 5) {
      case 0: {
        const auto value = static_cast<std::int64_t>(random());
        reply.Integer(value);
        bytes += ":" + std::to_string(value) + "\r\n";
        break;
      }
      case 1:
        AppendBulk(random() % 300);
        break;
      case 2:
        AppendBulk(random() % 20'000);
        break;
      case 3:
        AppendPayload();
        break;
      default:
        reply.Hold(Counting(released));
        ++held;
    }
  }
  void AppendBulk(std::size_t size) {
    const std::string text(size, static_cast<char>(random()));
    reply.Bulk(text);
    bytes += "$" + std::to_string(size) + "\r\n" + text + "\r\n";
  }
  void AppendPayload() {
    const std::size_t begin = random() % 20'000;
    const std::size_t size = random() % 20'000;
    reply.BeginPayload(size + 2);
    reply.Copy("ab");
    reply.Reference(std::string_view(memory).substr(begin, size / 2));
    reply.Reference(std::string_view(memory).substr(begin + size / 2, size - size / 2));
    reply.EndPayload();
    bytes += "$" + std::to_string(size + 2) + "\r\nab" + memory.substr(begin, size) + "\r\n";
  }
  void AppendAndRewind() {
    const Reply::Mark mark = reply.Prepare();
    const std::string before = bytes;
    for (std::size_t count = random() % 6; count > 0; --count) {
      Append();
    }
    reply.Rewind(mark);
    bytes = before;
  }
  bool Consume() {
    const std::size_t size = random() % (bytes.size() + 1);
    const bool same = Take(reply, size) == bytes.substr(0, size);
    bytes.erase(0, size);
    return same;
  }
};

TEST_CASE("appending, rewinding and sending in any order give the bytes in order", "[reply]") {
  Model model;
  for (int step = 0; step < 20'000; ++step) {
    switch (model.random() % 4) {
      case 0:
        REQUIRE(model.Consume());
        break;
      case 1:
        model.AppendAndRewind();
        break;
      default:
        model.Append();
    }
    REQUIRE(model.reply.PendingBytes() == model.bytes.size());
  }
  CHECK(Take(model.reply) == model.bytes);
  CHECK(model.reply.ScratchBytes() == 0);
  CHECK(model.reply.CapacityBytes() == 16 * 1024);
  CHECK(model.released == model.held);
}

TEST_CASE("gathered pointers stay valid while more is appended", "[reply]") {
  Reply reply;
  reply.Bulk("first");
  std::array<iovec, 4> buffers;
  REQUIRE(reply.Gather(buffers, 1000) == 1);
  for (int i = 0; i < 1000; ++i) {
    reply.Bulk(std::string(1000, 'x'));
  }
  CHECK(std::string_view(static_cast<const char*>(buffers[0].iov_base), buffers[0].iov_len) ==
        "$5\r\nfirst\r\n");
}

}  // namespace
}  // namespace sluice::tests
