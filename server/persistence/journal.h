// Journal: the logs of the data directory. What changes the store adds a frame; one thread writes
// the frames and syncs them, all that wait together in one sync.
//
//   engine lock held     Ready(), Add()   never a sync; Ready() seldom reserves space on disk
//   the journal's thread writes, syncs, and tells the listener how far the log is on disk
//
// How much of what was acknowledged may be lost (appendfsync):
//   kAlways    nothing: replies wait for Synced(), see Listener
//   kEverySec  what was added in the last two seconds
//   kNo        what the kernel has not written yet
//
// A write that fails, for lack of space or another reason, is repeated until it succeeds; meanwhile
// Ready() says why nothing may be changed. If a sync fails, nobody knows what is on disk: the
// journal has failed until the server starts again, and nothing more is acknowledged.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <thread>

#include "base/mutex.h"
#include "base/status.h"
#include "server/persistence/log.h"

namespace sluice::server {

enum class AppendFsync : std::uint8_t { kAlways, kEverySec, kNo };

class Journal {
 public:
  struct Recovery {
    std::uint64_t frames = 0;
    std::uint64_t torn_bytes = 0;  // that were cut off, for a warning
  };
  // Called by the journal's thread, without a lock, when more frames are on disk or the journal
  // failed.
  using Listener = std::function<void()>;
  struct Options {
    AppendFsync fsync = AppendFsync::kEverySec;
    std::uint64_t salt = 0;  // random, of the new log
    Listener listener;
  };

  // Reads all logs in `folder` and calls apply(sequence, payload) for each frame; begins a new log.
  // Errors: those of `apply`; as ReadLog(); kError that names the file if a log is missing.
  static Result<std::unique_ptr<Journal>> Open(Folder folder, const ApplyFrame& apply,
                                               Options options, Recovery& recovery);
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;
  // Writes and syncs what was added.
  ~Journal();

  // Makes sure that there is space on disk for a frame of this payload; a command that changes the
  // store asks before it changes anything. Errors: as File; those of the journal's last write or
  // sync. Thread safety: any thread.
  [[nodiscard]] Status Ready(std::uint64_t payload_bytes);
  // Adds a frame and returns its sequence. What was acknowledged is on disk once Synced() has
  // reached it. Errors: std::bad_alloc; nothing was added then. Thread safety: any thread.
  Sequence Add(std::string_view payload);
  // Thread safety: any thread.
  [[nodiscard]] Sequence Synced() const;
  // Waits until all that was added before is on disk, or cannot be written.
  Status Flush();

 private:
  using Time = std::chrono::steady_clock::time_point;

  Journal(LogWriter log, Options options);
  void Run();
  // What the thread has to do now, and when to look again if it is nothing.
  struct Due {
    bool write = false;
    bool sync = false;
    Time next = Time::max();
  };
  [[nodiscard]] Due WhatIsDue(Time now) const REQUIRES(mutex_);
  void Work(const Due& due) EXCLUDES(mutex_);

  const Options options_;
  LogWriter log_;  // Reserve(): under the mutex; the rest: of the journal's thread

  mutable Mutex mutex_;
  std::condition_variable_any changed_;
  LogFrames added_ GUARDED_BY(mutex_);
  LogFrames batch_;                              // of the journal's thread: what it writes
  std::uint64_t file_bytes_ GUARDED_BY(mutex_);  // with all that was added
  std::uint64_t reserved_bytes_ GUARDED_BY(mutex_) = 0;
  Sequence last_ GUARDED_BY(mutex_);  // added
  Sequence written_ GUARDED_BY(mutex_);
  Sequence synced_ GUARDED_BY(mutex_);
  Time last_sync_ GUARDED_BY(mutex_) = {};
  Time retry_ GUARDED_BY(mutex_) = {};            // of a write that failed
  Status ready_ GUARDED_BY(mutex_);               // the error of the last write or sync
  bool failed_ GUARDED_BY(mutex_) = false;        // a sync failed
  std::uint64_t flushes_ GUARDED_BY(mutex_) = 0;  // callers of Flush() that wait
  bool ends_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace sluice::server
