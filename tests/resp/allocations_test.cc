// Requests and replies in the steady state allocate nothing. The test counts by replacing operator
// new, hence an executable of its own.
#include <array>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#include <catch2/catch.hpp>

#include "resp/reply.h"
#include "resp/request_parser.h"
#include "tests/resp/parser_driver.h"

namespace {

// Counts every call of operator new.
// NOLINTBEGIN(cppcoreguidelines-avoid-non-const-global-variables)
std::size_t allocation_count = 0;
std::size_t allocations_allowed = static_cast<std::size_t>(-1);
// NOLINTEND(cppcoreguidelines-avoid-non-const-global-variables)

void* Allocate(std::size_t bytes) {
  ++allocation_count;
  if (allocations_allowed == 0) {
    throw std::bad_alloc();
  }
  --allocations_allowed;
  void* const memory = std::malloc(bytes > 0 ? bytes : 1);
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  return memory;
}

}  // namespace

void* operator new(std::size_t bytes) {
  return Allocate(bytes);
}
void* operator new[](std::size_t bytes) {
  return Allocate(bytes);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace sluice::tests {
namespace {

using Event = resp::RequestParser::Event;

// Fails the allocations in its scope from the n-th on (0-based).
struct FailFrom {
  explicit FailFrom(std::size_t n) { allocations_allowed = n; }
  FailFrom(const FailFrom&) = delete;
  FailFrom& operator=(const FailFrom&) = delete;
  ~FailFrom() { allocations_allowed = static_cast<std::size_t>(-1); }
};

// Reads `bytes` as a socket would, large bulks into `buffer`. Returns the number of requests.
std::size_t Read(resp::RequestParser& parser, std::string_view bytes, char* buffer) {
  std::size_t requests = 0;
  while (!bytes.empty()) {
    const std::span<char> bulk = parser.BulkSpace();
    const std::span<char> space = parser.Space();
    const std::size_t to_bulk = std::min(bulk.size(), bytes.size());
    const std::size_t to_space = std::min(space.size(), bytes.size() - to_bulk);
    std::copy_n(bytes.begin(), to_bulk, bulk.begin());
    std::memcpy(space.data(), bytes.data() + to_bulk, to_space);
    parser.Filled(to_bulk + to_space);
    bytes.remove_prefix(to_bulk + to_space);
    for (Event event = parser.Next(); event != Event::kNeedMore; event = parser.Next()) {
      if (event == Event::kBulk) {
        parser.GiveBuffer(buffer);
      } else if (event == Event::kRequest) {
        ++requests;
      } else {
        return 0;
      }
    }
  }
  return requests;
}

void SendAll(resp::Reply& reply) {
  std::array<iovec, 64> buffers;
  while (reply.PendingBytes() > 0) {
    std::size_t bytes = 0;
    const std::size_t count = reply.Gather(buffers, 1 << 20);
    for (std::size_t i = 0; i < count; ++i) {
      bytes += buffers[i].iov_len;
    }
    reply.Consume(bytes);
  }
}

TEST_CASE("reading requests allocates nothing once it is warm", "[allocations]") {
  std::string bytes;
  for (int i = 0; i < 100; ++i) {
    bytes +=
        Encode({"KV.PUT", "p", "key", "FIELD", "x", "uint8", "64", "BLOB", std::string(64, 'v')});
    bytes += "PING 'a b'\r\n" + Encode({"SET", "k", std::string(20'000, 'l')});
  }
  std::string buffer(20'000, '\0');
  const resp::Limits limits;
  resp::RequestParser parser(limits);
  CHECK(Read(parser, bytes, buffer.data()) == 300);
  const std::size_t before = allocation_count;
  const std::size_t requests = Read(parser, bytes, buffer.data());
  const std::size_t allocated = allocation_count - before;
  CHECK(requests == 300);
  CHECK(allocated == 0);
}

TEST_CASE("writing and sending replies allocates nothing once it is warm", "[allocations]") {
  const std::string memory(100'000, 'm');
  resp::Reply reply;
  reply.SetVersion(resp::Version::k3);
  int released = 0;
  std::size_t allocated = 0;
  for (int round = 0; round < 2000; ++round) {
    const std::size_t before = allocation_count;
    for (int i = 0; i < 16; ++i) {
      static_cast<void>(reply.Prepare());
      reply.Map(1);
      reply.Bulk("some text that is longer than a short string");
      reply.Double(0.1);
      reply.Simple("OK");
      reply.Integer(round);
      reply.BeginPayload(memory.size());
      reply.Reference(memory);
      reply.EndPayload();
      reply.Hold({&released, [](void* object) noexcept { ++*static_cast<int*>(object); }});
    }
    SendAll(reply);
    allocated += round >= 10 ? allocation_count - before : 0;
  }
  CHECK(allocated == 0);
  CHECK(released == 2000 * 16);
}

TEST_CASE("after Prepare an error fits, wherever an allocation failed", "[allocations]") {
  const std::string memory(100'000, 'm');
  const std::string text(resp::Reply::kErrorBytesMax, 'e');
  bool whole = false;
  for (std::size_t allowed = 0; !whole; ++allowed) {
    int released = 0;
    bool failed_again = false;
    resp::Reply reply;
    reply.Bulk(std::string(15'000, 'b'));
    if (allowed % 2 == 0) {
      reply.Bulk(std::string(1'000, 'b'));  // Prepare() needs a block
    }
    const resp::Reply::Mark mark = reply.Prepare();
    const std::size_t pending = reply.PendingBytes();
    {
      const FailFrom fail(allowed);
      try {
        for (int i = 0; i < 20; ++i) {
          reply.Bulk(memory);
          reply.BeginPayload(2000);
          reply.Reference(std::string_view(memory).substr(0, 1000));
          reply.Hold({&released, [](void* object) noexcept { ++*static_cast<int*>(object); }});
          reply.Reference(std::string_view(memory).substr(2000, 1000));
          reply.EndPayload();
        }
        whole = true;
      } catch (const std::bad_alloc&) {
        whole = false;
      }
    }
    {
      const FailFrom fail(0);
      try {
        reply.Rewind(mark);
        if (allowed % 3 == 0) {
          SendAll(reply);
        }
        reply.Error(text);
      } catch (const std::bad_alloc&) {
        failed_again = true;
      }
    }
    CHECK_FALSE(failed_again);
    CHECK(reply.PendingBytes() == (allowed % 3 == 0 ? 0 : pending) + text.size() + 3);
  }
}

TEST_CASE("a parser whose input buffer cannot grow is unchanged", "[allocations]") {
  const resp::Limits limits;
  resp::RequestParser parser(limits);
  const std::string bytes = Encode({"ECHO", std::string(3000, 'x')});
  bool failed = false;
  for (std::string_view left = bytes; !left.empty();) {
    {
      const FailFrom fail(0);
      try {
        static_cast<void>(parser.Space());
      } catch (const std::bad_alloc&) {
        failed = true;
      }
    }
    const std::span<char> space = parser.Space();
    const std::string_view part = left.substr(0, space.size());
    std::memcpy(space.data(), part.data(), part.size());
    parser.Filled(part.size());
    left.remove_prefix(part.size());
    CHECK(parser.Next() == (left.empty() ? Event::kRequest : Event::kNeedMore));
  }
  CHECK(failed);
  CHECK(parser.Args()[1].text == std::string(3000, 'x'));
}

}  // namespace
}  // namespace sluice::tests
