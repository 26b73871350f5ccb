// The log of the journal: what is synced is read again, whatever a power loss leaves behind it.
// SLUICE_SEED: first seed; SLUICE_SEEDS: number of seeds.
#include "server/persistence/log.h"

#include <algorithm>
#include <cerrno>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/memory_files.h"
#include "tests/support/random_picks.h"

namespace sluice::server {
namespace {

constexpr LogStart kStart = {.number = 7, .first = 100, .salt = 0x5EED};
const std::string kName = LogName(kStart.number);

struct ReadBack {
  std::vector<std::string> payloads;
  LogEnd end;
};

Folder Top(MemoryFiles& files) {
  auto folder = Folder::Open(files, "data");
  REQUIRE(folder.ok());
  return *std::move(folder);
}

LogWriter NewLog(MemoryFiles& files) {
  Folder folder = Top(files);
  auto log = LogWriter::Create(folder, kStart);
  REQUIRE(log.ok());
  return *std::move(log);
}

Result<ReadBack> ReadAll(MemoryFiles& files) {
  Folder folder = Top(files);
  TRY_ASSIGN(File file, folder.Open(kName, FileSystem::Mode::kRead));
  TRY_ASSIGN(const auto start, ReadLogStart(file));
  ReadBack back;
  if (start) {
    Sequence next = start->first;
    TRY_ASSIGN(back.end, ReadLog(file, *start, [&](Sequence sequence, std::string_view payload) {
                 CHECK(sequence == next++);
                 back.payloads.emplace_back(payload);
                 return Status();
               }));
  }
  return back;
}

std::string RandomPayload(std::mt19937_64& random) {
  constexpr std::size_t kSizes[] = {0, 1, 7, 8, 40, 511, 3000, 9000};
  std::string payload(kSizes[random() % std::size(kSizes)], '\0');
  for (char& byte : payload) {
    byte = static_cast<char>(random() % 4);  // many zeros
  }
  return payload;
}

// Adds frames, writes and syncs in random order, and remembers what was acknowledged.
struct Workload {
  LogFrames frames;
  std::vector<std::string> payloads;
  std::size_t written = 0;
  std::size_t synced = 0;

  void Step(LogWriter& log, std::mt19937_64& random) {
    const auto what = random() % 10;
    if (what < 6) {
      payloads.push_back(RandomPayload(random));
      frames.Add(payloads.back());
    } else if (what < 8) {
      REQUIRE(log.Reserve(log.Bytes() + frames.Bytes() + random() % 100000).ok());
      REQUIRE(log.Write(frames).ok());
      written = payloads.size();
      CHECK(log.Written() == kStart.first + written - 1);
    } else {
      REQUIRE(log.Sync().ok());
      synced = written;
      CHECK(log.Synced() == kStart.first + synced - 1);
    }
  }
};

void CheckIsBeginning(const std::vector<std::string>& read, const std::vector<std::string>& of) {
  REQUIRE(read.size() <= of.size());
  CHECK(std::equal(read.begin(), read.end(), of.begin()));
}

TEST_CASE("after a power loss a log has all that was synced, and nothing that was not written",
          "[persistence]") {
  const unsigned first_seed = tests::FromEnvironment("SLUICE_SEED", 1);
  const unsigned seeds = tests::FromEnvironment("SLUICE_SEEDS", 30);
  for (unsigned seed = first_seed; seed < first_seed + seeds; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    MemoryFiles files;
    LogWriter log = NewLog(files);
    Workload workload;
    for (std::uint64_t steps = random() % 60; steps > 0; --steps) {
      workload.Step(log, random);
    }
    const auto image = files.Crash(random);
    const auto back = ReadAll(*image);
    REQUIRE(back.GetStatus().Message().empty());
    CHECK(back->payloads.size() >= workload.synced);
    CheckIsBeginning(back->payloads, workload.payloads);

    // A second loss of power, before what is torn was cut off, changes nothing.
    const auto second = image->Crash(random);
    const auto again = ReadAll(*second);
    REQUIRE(again.ok());
    CHECK(again->payloads == back->payloads);
  }
}

TEST_CASE("a log that was still being created has no frame", "[persistence]") {
  std::mt19937_64 random(1);
  for (int run = 0; run < 100; ++run) {
    MemoryFiles files;
    std::unique_ptr<MemoryFiles> image;
    int call = 0;
    const int last = run % 5;  // the calls of Create(): open, write, two syncs
    files.fault = [&](std::string_view) {
      if (image == nullptr && call++ == last) {
        image = files.Crash(random);
      }
      return 0;
    };
    NewLog(files);
    files.fault = nullptr;
    image = image == nullptr ? files.Crash(random) : std::move(image);
    Folder folder = Top(*image);
    const auto names = folder.Names();
    REQUIRE(names.ok());
    if (!names->empty()) {
      const auto back = ReadAll(*image);
      REQUIRE(back.ok());
      CHECK(back->payloads.empty());
    }
  }
}

void Write(LogWriter& log, std::initializer_list<std::string_view> payloads) {
  LogFrames frames;
  for (const std::string_view payload : payloads) {
    frames.Add(payload);
  }
  REQUIRE(log.Write(frames).ok());
  CHECK(frames.Empty());
}

// A log whose frames were synced one by one.
std::vector<std::string> SmallLog(MemoryFiles& files, std::size_t frames) {
  LogWriter log = NewLog(files);
  std::vector<std::string> payloads;
  for (std::size_t i = 0; i < frames; ++i) {
    payloads.push_back("frame " + std::to_string(i) + std::string(5 * i, 'x'));
    Write(log, {payloads.back()});
    REQUIRE(log.Sync().ok());
  }
  return payloads;
}

TEST_CASE("a log that is cut anywhere in its last frame loses that frame only", "[persistence]") {
  MemoryFiles files;
  std::vector<std::string> payloads = SmallLog(files, 4);
  const std::string whole = files.BytesOf(kName);
  const auto all = ReadAll(files);
  REQUIRE(all.ok());
  REQUIRE(all->payloads == payloads);
  payloads.pop_back();
  std::uint64_t before = 48;
  for (const std::string& payload : payloads) {
    before += 40 + (payload.size() + 7) / 8 * 8;
  }
  const std::uint64_t last_byte = whole.find_last_not_of('\0') + 1;
  for (std::uint64_t length = before; length < last_byte; ++length) {
    CAPTURE(length);
    files.BytesOf(kName) = whole.substr(0, length);
    const auto back = ReadAll(files);
    REQUIRE(back.ok());
    CHECK(back->payloads == payloads);
    CHECK(back->end.bytes == before);
    CHECK(back->end.torn_bytes <= length - before);
  }
}

TEST_CASE("a log of which any byte is changed never gives a wrong payload", "[persistence]") {
  MemoryFiles files;
  const std::vector<std::string> payloads = SmallLog(files, 5);
  const std::string whole = files.BytesOf(kName);
  const std::size_t last_frame = whole.find("frame 4") - 40;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    CAPTURE(at);
    files.BytesOf(kName)[at] =
        static_cast<char>(static_cast<unsigned char>(whole[at]) ^ (1 + at % 255));
    const auto back = ReadAll(files);
    if (back.ok()) {
      CheckIsBeginning(back->payloads, payloads);
      CHECK((at >= last_frame || back->payloads.size() == payloads.size()));  // padding
    } else {
      const std::string why = back.GetStatus().Message();
      CHECK(why.find("data/" + kName + ": corrupt at offset ") == 0);
    }
    files.BytesOf(kName)[at] = whole[at];
  }
}

TEST_CASE("a frame in the place of another is not taken for it", "[persistence]") {
  MemoryFiles files;
  LogWriter log = NewLog(files);
  Write(log, {"first", "other", "third"});
  std::string& bytes = files.BytesOf(kName);
  constexpr std::size_t kStartBytes = 48;
  constexpr std::size_t kFrameBytes = 48;
  bytes.replace(kStartBytes + kFrameBytes, kFrameBytes, bytes.substr(kStartBytes, kFrameBytes));
  const auto back = ReadAll(files);
  REQUIRE(back.ok());
  CHECK(back->payloads == std::vector<std::string>{"first"});
  CHECK(back->end.torn_bytes == 2 * kFrameBytes - 3);  // but the zeros at the end
}

TEST_CASE("calls that are short or interrupted are repeated", "[persistence]") {
  MemoryFiles files;
  int call = 0;
  files.bytes_max = 13;
  files.fault = [&](std::string_view name) {
    return (name == "write" || name == "read") && ++call % 3 == 0 ? -EINTR : 0;
  };
  const std::vector<std::string> payloads = SmallLog(files, 3);
  files.BytesOf(kName).resize(4096);  // or reading takes long
  const auto back = ReadAll(files);
  REQUIRE(back.ok());
  CHECK(back->payloads == payloads);
}

TEST_CASE("without space a reservation is refused, and with space the log goes on",
          "[persistence]") {
  MemoryFiles files;
  LogWriter log = NewLog(files);
  bool full = true;
  files.fault = [&](std::string_view name) { return full && name == "reserve" ? -ENOSPC : 0; };
  const Status refused = log.Reserve(1000);
  CHECK(refused.Message() == "data/log-0000000007: cannot reserve space: No space left on device");
  full = false;
  REQUIRE(log.Reserve(1000).ok());
  Write(log, {"hello"});
  REQUIRE(log.Sync().ok());
  const auto back = ReadAll(files);
  REQUIRE(back.ok());
  CHECK(back->payloads == std::vector<std::string>{"hello"});
}

TEST_CASE("a failed write is repeated as a whole", "[persistence]") {
  MemoryFiles files;
  LogWriter log = NewLog(files);
  LogFrames frames;
  frames.Add("one");
  frames.Add(std::string(100, 'y'));
  files.bytes_max = 50;  // so that a part is written
  int writes = 0;
  files.fault = [&](std::string_view name) { return name == "write" && ++writes == 2 ? -EIO : 0; };
  CHECK(log.Write(frames).Message() == "data/log-0000000007: cannot write: Input/output error");
  CHECK(log.Written() == kStart.first - 1);
  REQUIRE(log.Write(frames).ok());
  Write(log, {"three"});
  REQUIRE(log.Sync().ok());
  CHECK(log.Synced() == kStart.first + 2);
  const auto back = ReadAll(files);
  REQUIRE(back.ok());
  CHECK(back->payloads == std::vector<std::string>{"one", std::string(100, 'y'), "three"});
}

TEST_CASE("after a failed sync a log is never used again", "[persistence]") {
  MemoryFiles files;
  LogWriter log = NewLog(files);
  bool fails = true;
  files.fault = [&](std::string_view name) { return fails && name == "sync" ? -EIO : 0; };
  Write(log, {"lost"});
  const Status failed = log.Sync();
  CHECK(failed.Message() == "data/log-0000000007: cannot sync: Input/output error");
  fails = false;
  LogFrames frames;
  frames.Add("more");
  CHECK(log.Sync().Message() == failed.Message());
  CHECK(log.Write(frames).Message() == failed.Message());
  CHECK(log.Synced() == kStart.first - 1);
}

TEST_CASE("an error of the one who applies a frame ends the reading", "[persistence]") {
  MemoryFiles files;
  SmallLog(files, 3);
  Folder folder = Top(files);
  auto file = folder.Open(kName, FileSystem::Mode::kRead);
  REQUIRE(file.ok());
  int applied = 0;
  const auto end = ReadLog(*file, kStart, [&](Sequence, std::string_view) {
    return ++applied == 2 ? Status(Code::kError, "no") : Status();
  });
  CHECK(end.GetStatus().Message() == "no");
  CHECK(applied == 2);
}

}  // namespace
}  // namespace sluice::server
