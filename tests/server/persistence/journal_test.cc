// The journal: what is acknowledged is on disk, whoever adds, and whatever fails. SLUICE_SEED:
// first seed; SLUICE_SEEDS: number of seeds.
#include "server/persistence/journal.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <future>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/memory_files.h"
#include "tests/support/random_picks.h"

namespace sluice::server {
namespace {

using Payloads = std::vector<std::string>;

struct Opened {
  std::unique_ptr<Journal> journal;
  Journal::Recovery recovery;
  Payloads frames;  // that were there
  Status status;
};

Opened Open(FileSystem& files, AppendFsync fsync = AppendFsync::kAlways,
            Journal::Listener listener = {}) {
  Opened opened;
  auto folder = Folder::Open(files, "data");
  REQUIRE(folder.ok());
  Sequence next = 1;
  auto journal = Journal::Open(
      *std::move(folder),
      [&](Sequence sequence, std::string_view payload) {
        CHECK(sequence == next++);
        opened.frames.emplace_back(payload);
        return Status();
      },
      {.fsync = fsync, .salt = 42, .listener = std::move(listener)}, opened.recovery);
  opened.status = journal.GetStatus();
  if (journal.ok()) {
    opened.journal = *std::move(journal);
  }
  return opened;
}

TEST_CASE("frames are read again in the order in which they were added", "[persistence]") {
  const AppendFsync fsync =
      GENERATE(AppendFsync::kAlways, AppendFsync::kEverySec, AppendFsync::kNo);
  MemoryFiles files;
  Payloads all;
  for (int start = 0; start < 4; ++start) {
    const Opened opened = Open(files, fsync);
    REQUIRE(opened.status.ok());
    CHECK(opened.frames == all);
    CHECK(opened.recovery.frames == all.size());
    CHECK(opened.recovery.torn_bytes == 0);
    for (int i = 0; i < 100 * start; ++i) {
      all.push_back(std::to_string(all.size()) + std::string(all.size() % 3000, 'x'));
      REQUIRE(opened.journal->Ready(all.back().size()).ok());
      CHECK(opened.journal->Add(all.back()) == all.size());
    }
    if (start % 2 == 0) {
      REQUIRE(opened.journal->Flush().ok());
      CHECK(opened.journal->Synced() == all.size());
    }
  }
  std::mt19937_64 random(1);
  CHECK(Open(*files.Crash(random)).frames == all);  // the end of a journal syncs
}

constexpr std::size_t kThreads = 3;

// What a thread adds: its number, and how often it has added.
std::string PayloadOf(std::size_t thread, int count) {
  return std::to_string(thread) + " " + std::to_string(count) +
         std::string(static_cast<std::size_t>(count) * 37 % 2000, 'y');
}

// Threads that add and flush until the file system has been called `calls` times. Then the machine
// loses its power.
struct PowerLoss {
  std::unique_ptr<MemoryFiles> image;
  std::array<int, kThreads> acknowledged = {};
};

PowerLoss RunThreads(std::mt19937_64& random, AppendFsync fsync) {
  MemoryFiles files;
  std::array<std::atomic<int>, kThreads> acknowledged = {};
  PowerLoss loss;
  std::atomic<bool> over = false;
  {
    const Opened opened = Open(files, fsync);
    std::uint64_t calls = random() % 60;
    files.fault = [&](std::string_view) {
      if (calls-- == 0) {
        std::copy(acknowledged.begin(), acknowledged.end(), loss.acknowledged.begin());
        loss.image = files.Crash(random);
        over = true;
      }
      return 0;
    };
    std::vector<std::thread> threads;
    for (std::size_t thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        for (int count = 1; !over; ++count) {
          const std::string payload = PayloadOf(thread, count);
          static_cast<void>(opened.journal->Ready(payload.size()));
          opened.journal->Add(payload);
          if (count % 3 != 0) {
            static_cast<void>(opened.journal->Flush());
            acknowledged[thread] = count;
          }
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
  }
  return loss;
}

TEST_CASE("nothing that several threads know to be on disk is lost with the power",
          "[persistence]") {
  const unsigned first = tests::FromEnvironment("SLUICE_SEED", 1);
  const unsigned seeds = tests::FromEnvironment("SLUICE_SEEDS", 30);
  for (unsigned seed = first; seed < first + seeds; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    const AppendFsync fsync = seed % 2 == 0 ? AppendFsync::kAlways : AppendFsync::kNo;
    const PowerLoss loss = RunThreads(random, fsync);
    Opened opened = Open(*loss.image);
    REQUIRE(opened.status.Message().empty());
    std::array<int, kThreads> found = {};
    for (const std::string& payload : opened.frames) {
      const auto thread = static_cast<std::size_t>(payload[0] - '0');
      CHECK(payload == PayloadOf(thread, ++found.at(thread)));
    }
    for (std::size_t thread = 0; thread < kThreads; ++thread) {
      CHECK(found.at(thread) >= loss.acknowledged.at(thread));
    }
    // The journal goes on, and a torn end is not found again.
    opened.journal->Add("more");
    opened.journal.reset();
    const Opened again = Open(*loss.image);
    REQUIRE(again.status.Message().empty());
    CHECK(again.recovery.torn_bytes == 0);
    CHECK(again.frames.size() == opened.frames.size() + 1);
  }
}

TEST_CASE("the listener hears when frames are on disk", "[persistence]") {
  const AppendFsync fsync = GENERATE(AppendFsync::kAlways, AppendFsync::kEverySec);
  MemoryFiles files;
  std::promise<void> heard;
  std::atomic<int> times = 0;
  const Opened opened = Open(files, fsync, [&] {
    if (times++ == 0) {
      heard.set_value();
    }
  });
  opened.journal->Add("x");
  REQUIRE(heard.get_future().wait_for(std::chrono::seconds(20)) == std::future_status::ready);
  CHECK(opened.journal->Synced() == 1);
}

TEST_CASE("without space nothing may be changed, and with space the journal goes on",
          "[persistence]") {
  MemoryFiles files;
  std::atomic<bool> full = true;
  files.fault = [&](std::string_view call) {
    return full && (call == "reserve" || call == "write") ? -ENOSPC : 0;
  };
  full = false;
  const Opened opened = Open(files);
  full = true;
  CHECK(opened.journal->Ready(3).Message() ==
        "data/log-0000000000: cannot reserve space: No space left on device");
  opened.journal->Add("one");  // by one who did not ask
  CHECK(opened.journal->Flush().Message() ==
        "data/log-0000000000: cannot write: No space left on device");
  CHECK(opened.journal->Ready(3).Message() ==
        "data/log-0000000000: cannot write: No space left on device");
  opened.journal->Add("two");
  full = false;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (opened.journal->Synced() < 2 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  CHECK(opened.journal->Ready(3).ok());
  std::mt19937_64 random(1);
  CHECK(Open(*files.Crash(random)).frames == Payloads{"one", "two"});
}

TEST_CASE("after a failed sync the journal acknowledges nothing more", "[persistence]") {
  MemoryFiles files;
  const Opened opened = Open(files);
  files.fault = [](std::string_view call) { return call == "sync" ? -EIO : 0; };
  opened.journal->Add("lost");
  const std::string why = "data/log-0000000000: cannot sync: Input/output error";
  CHECK(opened.journal->Flush().Message() == why);
  files.fault = nullptr;
  CHECK(opened.journal->Ready(1).Message() == why);
  opened.journal->Add("lost, too");
  CHECK(opened.journal->Flush().Message() == why);
  CHECK(opened.journal->Synced() == 0);
}

TEST_CASE("a journal of which a log is missing is refused", "[persistence]") {
  MemoryFiles files;
  for (int start = 0; start < 3; ++start) {
    Open(files).journal->Add(std::to_string(start));
  }
  auto folder = Folder::Open(files, "data");
  REQUIRE(folder.ok());
  SECTION("in the middle") {
    REQUIRE(folder->Remove("log-0000000001").ok());
    CHECK(Open(files).status.Message() ==
          "data/log-0000000002: begins with frame 3, expected 2: a log is missing");
  }
  SECTION("under another name") {
    REQUIRE(folder->Rename("log-0000000002", "log-0000000007").ok());
    CHECK(Open(files).status.Message() == "data/log-0000000007: this is log 2");
  }
  SECTION("other files do not matter") {
    REQUIRE(folder->Open("log-1", FileSystem::Mode::kCreate).ok());
    REQUIRE(folder->Open("log-000000000x", FileSystem::Mode::kCreate).ok());
    CHECK(Open(files).frames.size() == 3);
  }
}

}  // namespace
}  // namespace sluice::server
